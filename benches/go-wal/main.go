// go-wal times etcd's reader on a write-ahead log, for comparison with `cargo bench -p varve-wal replay`:
//
//	VARVE_BENCH_KEEP=/var/tmp/log cargo bench -p varve-wal -- replay
//	cd benches/go-wal && go run . /var/tmp/log
//
// It opens the log from its beginning and reads everything, as a member does at its start, and prints the
// best of several rounds. The bytes counted are those of the records' frames, which the first line of the
// Rust bench prints; pass them as the second argument to get a rate.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

const rounds = 20

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go-wal WAL_DIR [BYTES]")
		os.Exit(2)
	}
	var least time.Duration
	var entries int
	for i := 0; i < rounds; i++ {
		// What the round before left is not this one's work.
		runtime.GC()
		began := time.Now()
		log, err := wal.OpenForRead(zap.NewNop(), os.Args[1], walpb.Snapshot{})
		if err != nil {
			fail(err)
		}
		_, _, read, err := log.ReadAll()
		if err != nil {
			fail(err)
		}
		took := time.Since(began)
		log.Close()
		if i == 0 || took < least {
			least = took
		}
		entries = len(read)
	}
	fmt.Printf("%d entries in %v, best of %d, GOMAXPROCS %d\n", entries, least, rounds, runtime.GOMAXPROCS(0))
	if len(os.Args) > 2 {
		bytes, err := strconv.ParseFloat(os.Args[2], 64)
		if err != nil {
			fail(err)
		}
		fmt.Printf("%.2f GB/s\n", bytes/least.Seconds()/1e9)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "go-wal:", err)
	os.Exit(1)
}

// Opens a db file as etcd does and prints how long that took: backend, index and leases, without raft.
//
//	go run . FILE.db [ROUNDS]
//
// For comparison with `cargo bench -p varve-mvcc -- reopen` on the same file (VARVE_BENCH_KEEP keeps it).
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/mvcc"
	"go.etcd.io/etcd/server/v3/mvcc/backend"
	"go.uber.org/zap"
)

func cpu() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func main() {
	rounds := 1
	if len(os.Args) > 2 {
		rounds, _ = strconv.Atoi(os.Args[2])
	}
	logger := zap.NewNop()
	for range rounds {
		start, cpuStart := time.Now(), cpu()
		config := backend.DefaultBackendConfig()
		config.Path = os.Args[1]
		config.Logger = logger
		db := backend.New(config)
		lessor := lease.NewLessor(logger, db, lease.LessorConfig{MinLeaseTTL: 2})
		store := mvcc.NewStore(logger, db, lessor, mvcc.StoreConfig{})
		took, used := time.Since(start), cpu()-cpuStart
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		fmt.Printf("opened at revision %d in %.2f s, %.2f s of processor time, heap %d MiB\n",
			store.Rev(), took.Seconds(), used.Seconds(), memory.HeapAlloc>>20)
		store.Close()
		lessor.Stop()
		db.Close()
		runtime.GC()
	}
}

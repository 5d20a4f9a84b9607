// bbolt in a process of its own, for the comparison in ../src.
//
// It reads one command per line from standard input and answers with one line: nanoseconds of wall
// clock, nanoseconds of CPU time, bytes given to the file system, bytes of values read. The commands are
// the jobs of ../src/store.rs; keys, values and random sequences are the same.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

var bucket = []byte("key")

// The settings etcd gives bbolt, unless the second argument is "defaults".
func open(path string, defaults bool) (*bolt.DB, error) {
	options := *bolt.DefaultOptions
	if !defaults {
		options.NoFreelistSync = true
		options.FreelistType = bolt.FreelistMapType
		options.InitialMmapSize = 10 << 30
	}
	db, err := bolt.Open(path, 0o600, &options)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	return db, err
}

type numbers struct{ state, below uint64 }

func (n *numbers) next() uint64 {
	n.state = n.state*6364136223846793005 + 1442695040888963407
	return (n.state >> 33) % n.below
}

func revision(main uint64) []byte {
	key := make([]byte, 17)
	binary.BigEndian.PutUint64(key, main)
	key[8] = '_'
	return key
}

var values = func() []byte {
	words := numbers{7, 1 << 31}
	all := make([]byte, 0, 4<<15)
	for range 1 << 15 {
		all = binary.LittleEndian.AppendUint32(all, uint32(words.next()))
	}
	return all
}()

func value(main uint64, length uint64) []byte {
	at := main * 61 % (uint64(len(values)) - length)
	return values[at : at+length]
}

// Reads every cache line of a value.
func consume(value []byte) uint64 {
	sum := uint64(len(value))
	for at := 0; at < len(value); at += 64 {
		sum += uint64(value[at])
	}
	return sum
}

func usage() (time.Duration, uint64) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	io, _ := os.ReadFile("/proc/self/io")
	written := uint64(0)
	for _, line := range strings.Split(string(io), "\n") {
		if n, found := strings.CutPrefix(line, "wchar: "); found {
			written, _ = strconv.ParseUint(n, 10, 64)
		}
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), written
}

func appendRevisions(db *bolt.DB, a []uint64) error {
	from, commits, perCommit, length := a[0], a[1], a[2], a[3]
	for n := range commits {
		err := db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucket)
			// What etcd sets on the bucket of revisions.
			b.FillPercent = 0.9
			for main := from + n*perCommit; main < from+(n+1)*perCommit; main++ {
				if err := b.Put(revision(main), value(main, length)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func deleteRevisions(db *bolt.DB, a []uint64) error {
	from, to, step, hit := a[0], a[1], a[2], a[3]
	return db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		b.FillPercent = 0.9
		for main := from; main < to; main++ {
			if (main%step == 0) == (hit == 1) {
				if err := b.Delete(revision(main)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func get(db *bolt.DB, a []uint64) (uint64, error) {
	n, total := numbers{a[0], a[2]}, uint64(0)
	one := func(tx *bolt.Tx) error {
		key := n.next()
		v := tx.Bucket(bucket).Get(revision(key))
		if v == nil {
			return fmt.Errorf("no revision %d", key)
		}
		total += consume(v)
		return nil
	}
	if a[3] == 1 {
		for range a[1] {
			if err := db.View(one); err != nil {
				return 0, err
			}
		}
		return total, nil
	}
	err := db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		for range a[1] {
			key := n.next()
			v := b.Get(revision(key))
			if v == nil {
				return fmt.Errorf("no revision %d", key)
			}
			total += consume(v)
		}
		return nil
	})
	return total, err
}

func scan(db *bolt.DB, a []uint64) (uint64, error) {
	length := a[2]
	n, total := numbers{a[0], a[3] - length}, uint64(0)
	err := db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		for range a[1] {
			c, left := b.Cursor(), length
			for k, v := c.Seek(revision(n.next())); k != nil && left > 0; k, v = c.Next() {
				total += consume(v)
				left--
			}
		}
		return nil
	})
	return total, err
}

func run(db *bolt.DB, name string, a []uint64) (read uint64, err error) {
	switch name {
	case "append":
		err = appendRevisions(db, a)
	case "delete":
		err = deleteRevisions(db, a)
	case "get":
		read, err = get(db, a)
	case "scan":
		read, err = scan(db, a)
	default:
		err = fmt.Errorf("no command %q", name)
	}
	return read, err
}

func main() {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "bbolt:", err)
		os.Exit(1)
	}
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: %s FILE [defaults]", os.Args[0]))
	}
	began := time.Now()
	db, err := open(os.Args[1], len(os.Args) > 2 && os.Args[2] == "defaults")
	if err != nil {
		fail(err)
	}
	// The first answer tells how long opening took.
	fmt.Println(time.Since(began).Nanoseconds(), 0, 0, 0)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		args := make([]uint64, 0, 4)
		for _, word := range words[1:] {
			n, err := strconv.ParseUint(word, 10, 64)
			if err != nil {
				fail(err)
			}
			args = append(args, n)
		}
		began, cpu, written := time.Now(), time.Duration(0), uint64(0)
		cpu, written = usage()
		read, err := run(db, words[0], args)
		if err != nil {
			fail(err)
		}
		wall := time.Since(began)
		cpu2, written2 := usage()
		fmt.Println(wall.Nanoseconds(), (cpu2 - cpu).Nanoseconds(), written2-written, read)
	}
	if err := db.Close(); err != nil {
		fail(err)
	}
}

// The loop of ../src/group.rs around etcd's raft: three nodes in memory, synchronous writes or messages
// to storage threads, batches of entries of 256 bytes.
//
// Prints lines of the same table. Processor time is that of all threads: the collector's is part of it.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

const keep = 10000

type node struct {
	raw     *raft.RawNode
	storage *raft.MemoryStorage
	applied uint64
	last    uint64
}

type group struct {
	nodes []*node
	async bool
	wire  []*pb.Message
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func newGroup(async bool) *group {
	g := &group{async: async}
	for id := uint64(1); id <= 3; id++ {
		storage := raft.NewMemoryStorage()
		metadata := pb.SnapshotMetadata{
			Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &pb.ConfState{Voters: []uint64{1, 2, 3}},
		}
		must(storage.ApplySnapshot(&pb.Snapshot{Metadata: &metadata}))
		raw, err := raft.NewRawNode(&raft.Config{
			ID: id, ElectionTick: 10, HeartbeatTick: 1, Storage: storage,
			MaxSizePerMsg: 1 << 62, MaxInflightMsgs: 512, CheckQuorum: true,
			AsyncStorageWrites: async,
			Logger:             &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
		})
		must(err)
		g.nodes = append(g.nodes, &node{raw: raw, storage: storage})
	}
	must(g.nodes[0].raw.Campaign())
	g.settle(nil)
	return g
}

func (n *node) apply(entries []*pb.Entry) {
	for _, entry := range entries {
		if len(entry.GetData()) > 0 {
			n.applied++
		}
		n.last = entry.GetIndex()
	}
}

func (g *group) work(n *node, id uint64) {
	for n.raw.HasReady() {
		ready := n.raw.Ready()
		if !raft.IsEmptyHardState(ready.HardState) {
			must(n.storage.SetHardState(ready.HardState))
		}
		must(n.storage.Append(ready.Entries))
		n.apply(ready.CommittedEntries)
		if !g.async {
			g.wire = append(g.wire, ready.Messages...)
			n.raw.Advance(ready)
			continue
		}
		for _, message := range ready.Messages {
			if !raft.IsLocalMsgTarget(message.GetTo()) {
				g.wire = append(g.wire, message)
				continue
			}
			for _, response := range message.GetResponses() {
				if response.GetTo() == id {
					must(n.raw.Step(response))
				} else {
					g.wire = append(g.wire, response)
				}
			}
		}
	}
	first, _ := n.storage.FirstIndex()
	if n.last > first+keep {
		must(n.storage.Compact(n.last - 1))
	}
}

type counts struct {
	messages uint64
	stepping time.Duration
}

func (g *group) settle(c *counts) {
	for {
		for at, n := range g.nodes {
			g.work(n, uint64(at)+1)
		}
		if len(g.wire) == 0 {
			return
		}
		messages := g.wire
		g.wire = nil
		began := time.Now()
		for _, message := range messages {
			must(g.nodes[message.GetTo()-1].raw.Step(message))
		}
		if c != nil {
			c.stepping += time.Since(began)
			c.messages += uint64(len(messages))
		}
	}
}

func (g *group) propose(batch int, payload []byte) {
	entries := make([]*pb.Entry, batch)
	for at := range entries {
		entries[at] = &pb.Entry{Data: payload}
	}
	must(g.nodes[0].raw.Step(&pb.Message{Type: pb.MsgProp.Enum(), From: new(uint64(1)), Entries: entries}))
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func main() {
	proposals := flag.Int("proposals", 64000, "entries to propose")
	rounds := flag.Int("rounds", 5, "rounds; the fastest counts")
	flag.Parse()
	for _, batch := range []int{1, 16, 64} {
		for _, async := range []bool{true, false} {
			var fastest, stepping time.Duration
			var messages, mallocs uint64
			for range *rounds {
				g := newGroup(async)
				payload := make([]byte, 256)
				for range *proposals / 10 / batch {
					g.propose(batch, payload)
					g.settle(nil)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				c := counts{}
				began := processorTime()
				for range *proposals / batch {
					g.propose(batch, payload)
					g.settle(&c)
				}
				took := processorTime() - began
				runtime.ReadMemStats(&after)
				if fastest == 0 || took < fastest {
					fastest = took
				}
				if stepping == 0 || c.stepping < stepping {
					stepping = c.stepping
				}
				messages, mallocs = c.messages, after.Mallocs-before.Mallocs
			}
			n := float64(*proposals / batch * batch)
			writes := "sync"
			if async {
				writes = "async"
			}
			fmt.Printf("| etcd raft 3.7.0 (Go) | %s | %d | %.0f | %.2f | %.0f | %.2f |\n",
				writes, batch, n/fastest.Seconds(), float64(messages)/n,
				float64(stepping.Nanoseconds())/float64(messages), float64(mallocs)/n)
		}
	}
}

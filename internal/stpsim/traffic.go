package main

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// etherType is that of test frames, one for local experiments (IEEE 802, 9.2.4).
const etherType frame.EtherType = 0x88b5

// traffic is what hosts send, and what the cables between bridges see.
type traffic struct {
	sent     []probe
	expected map[uint32]int // of those on their way: where they are in sent
	next     uint32         // number of the next frame
	talking  bool
	stream   *stream // nil: none

	bpdus   uint64 // put in cables between bridges
	carried uint64 // other frames put there
	stormed uint64 // of those, held back by storm control
	peak    int    // frames under way at one time
	astray  int    // test frames that went where their host was before
	doubles int    // test frames that reached a host twice while hosts talked
}

// A probe is a test frame.
type probe struct {
	from, to int     // hosts; to is negative for a broadcast
	arrived  []uint8 // how often at each host, 255 at most
}

// send puts a test frame on the cable of a host.
func (n *network) send(from, to int) {
	dst := frame.Broadcast
	if to >= 0 {
		dst = n.hosts[to].MAC()
	}
	if n.expected == nil {
		n.expected = map[uint32]int{}
	}
	n.next++
	n.expected[n.next] = len(n.sent)
	n.sent = append(n.sent, probe{from, to, make([]uint8, len(n.hosts))})
	payload := binary.BigEndian.AppendUint32(nil, n.next)
	n.must(n.hosts[from].Send(bridgetest.NewFrame(dst, n.hosts[from].MAC(), etherType, payload)))
}

// collect notes which test frames reached which hosts.
func (n *network) collect() {
	for i, h := range n.hosts {
		for _, f := range h.Received() {
			if len(f.Data) < frame.HeaderLen+4 || f.Type() != etherType && f.Type() != streamType {
				continue
			}
			number := binary.BigEndian.Uint32(f.Data[frame.HeaderLen:])
			if f.Type() == streamType {
				n.streamed(i, number)
			} else if at, ok := n.expected[number]; ok {
				c := &n.sent[at].arrived[i]
				*c = min(*c, 254) + 1
			}
		}
	}
}

// forget ends the wait for what was sent.
func (n *network) forget() {
	n.sent = n.sent[:0]
	clear(n.expected)
}

// talk has two hosts a second say something, one of them to everyone, until hush; a
// frame that reaches a host twice is counted.
func (n *network) talk() {
	n.talking = true
	n.forget()
	n.lab.After(time.Second, n.chat)
}

func (n *network) chat() {
	n.countDoubles()
	if !n.talking {
		return
	}
	n.send(n.rand.IntN(len(n.hosts)), -1)
	n.send(n.rand.IntN(len(n.hosts)), n.rand.IntN(len(n.hosts)))
	n.lab.After(time.Second, n.chat)
}

// countDoubles looks at what has arrived since the last time.
func (n *network) countDoubles() {
	n.collect()
	for i := range n.sent {
		for _, c := range n.sent[i].arrived {
			if c > 1 {
				n.doubles++
			}
		}
	}
	n.forget()
}

// hush ends the talk and waits until nothing is under way any more, if that comes.
func (n *network) hush() {
	n.talking = false
	n.lab.Run(time.Second)
}

// batchSize is how many test frames are under way at a time, fewer than storm control
// would hold back.
const batchSize = stormBurst / 2

// pause is how long storm control takes to forget a batch.
const pause = batchSize * time.Second / stormRate

// ask sends test frames, a batch at a time, and judges each batch by where it arrived.
func (n *network) ask(what string, probes []probe, judge func(p *probe) error) error {
	for len(probes) > 0 {
		batch := probes[:min(batchSize, len(probes))]
		probes = probes[len(batch):]
		n.collect() // what hosts said before
		n.forget()
		for _, p := range batch {
			n.send(p.from, p.to)
		}
		if err := n.drain(what); err != nil {
			return err
		}
		n.collect()
		for i := range n.sent {
			if err := judge(&n.sent[i]); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
		n.lab.Run(pause)
	}
	return nil
}

// Frames cross a network of 200 bridges in 200 latencies of a cable; with those of
// hosts and some room that is less than patience.
const patience = 5 * time.Millisecond

// drain waits for the test frames to arrive, after which nothing may be under way: but
// for BPDUs, which pass now and then, and are gone a moment later.
func (n *network) drain(what string) error {
	stormed := n.stormed
	n.lab.Run(patience)
	for range 50 {
		if n.lab.UnderWay() == 0 {
			break
		}
		n.lab.Run(patience / 5)
	}
	switch {
	case n.stormed != stormed:
		return fmt.Errorf("%s: frames circulate: storm control held %d back", what, n.stormed-stormed)
	case n.lab.UnderWay() != 0:
		return fmt.Errorf("%s: frames circulate: %d are still under way", what, n.lab.UnderWay())
	}
	return nil
}

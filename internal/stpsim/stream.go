package main

import (
	"encoding/binary"
	"time"

	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// streamType is that of the frames of a stream, the other type for local experiments.
const streamType frame.EtherType = 0x88b6

// streamEvery is how often each of two hosts sends, within what storm control lets pass.
const streamEvery = 50 * time.Millisecond

// A stream is two hosts that send to each other all the time.
type stream struct {
	hosts [2]int
	began time.Duration
	sent  []time.Duration // by the number of the frame; hosts[0] sends those that are even
	got   []bool
}

// startStream has two hosts begin. They end as soon as hosts do not talk.
func (n *network) startStream(a, b int) {
	n.stream = &stream{hosts: [2]int{a, b}, began: n.lab.Now()}
	n.streamNext()
}

func (n *network) streamNext() {
	s := n.stream
	if s == nil || !n.talking {
		return
	}
	for i, from := range s.hosts {
		f := binary.BigEndian.AppendUint32(nil, uint32(len(s.sent)))
		s.sent, s.got = append(s.sent, n.lab.Now()), append(s.got, false)
		n.must(n.hosts[from].Send(bridgetest.NewFrame(n.hosts[s.hosts[1-i]].MAC(), n.hosts[from].MAC(), streamType, f)))
	}
	n.lab.After(streamEvery, n.streamNext)
}

// streamed notes a frame that reached a host.
func (n *network) streamed(host int, number uint32) {
	s := n.stream
	if s != nil && int(number) < len(s.got) && host == s.hosts[1-number%2] {
		s.got[number] = true
	}
}

// stopStream gives the time from the stream's beginning from which on every frame
// arrived, in both directions: 0 if all did, negative if the last did not.
func (n *network) stopStream() time.Duration {
	n.collect()
	s := n.stream
	n.stream = nil
	for i := len(s.sent) - 1; i >= 0; i-- {
		switch {
		case s.got[i]:
		case i >= len(s.sent)-2:
			return -1
		default:
			return s.sent[i] + streamEvery - s.began
		}
	}
	return 0
}

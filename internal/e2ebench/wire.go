//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// A wire is what a station has in place of an interface when the switch serves unix
// sockets: a connection with the framing of QEMU's -netdev stream, as the process of a
// virtual machine has one.
type wire struct {
	conn   net.Conn
	self   frame.MAC
	mu     sync.Mutex    // one writes at a time
	frames atomic.Uint64 // came
}

// The EtherTypes of a wire's frames, both for experiments: one that is counted and one
// that is answered by the other kind.
const (
	typeCounted  frame.EtherType = 0x88b5
	typeAnswered frame.EtherType = 0x88b6
)

const wirePrefix = 4 // the length, in front of each frame

// openWire connects to a switch and takes what it sends, as long as the process lives.
func openWire(path string, self frame.MAC) (*wire, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	w := &wire{conn: conn, self: self}
	go w.take() // ends with the connection
	return w, nil
}

func (w *wire) take() {
	buf := make([]byte, 256<<10)
	for have := 0; ; {
		n, err := w.conn.Read(buf[have:])
		if err != nil {
			return
		}
		used, err := w.count(buf[:have+n])
		if err != nil {
			_ = w.conn.Close()
			return
		}
		have = copy(buf, buf[used:have+n])
	}
}

// count takes the whole frames at the beginning of b and says how long they are.
func (w *wire) count(b []byte) (used int, err error) {
	n := uint64(0)
	for len(b)-used >= wirePrefix {
		length := int(binary.BigEndian.Uint32(b[used:]))
		if length < frame.HeaderLen || length > 64<<10 {
			return used, fmt.Errorf("a frame of %d bytes", length)
		}
		end := used + wirePrefix + length
		if end > len(b) {
			break
		}
		if f := b[used+wirePrefix : end]; frame.EtherType(binary.BigEndian.Uint16(f[12:])) == typeAnswered {
			if err := w.send(frame.MAC(f[6:12]), typeCounted, 1); err != nil {
				return used, err
			}
		}
		n++
		used = end
	}
	w.frames.Add(n)
	return used, nil
}

// message is n frames with their lengths, of blastLen each.
func (w *wire) message(to frame.MAC, kind frame.EtherType, n int) []byte {
	f := blastFrame(to, w.self)
	binary.BigEndian.PutUint16(f[12:], uint16(kind))
	var m []byte
	for range n {
		m = append(binary.BigEndian.AppendUint32(m, uint32(len(f))), f...)
	}
	return m
}

func (w *wire) send(to frame.MAC, kind frame.EtherType, n int) error {
	return w.write(w.message(to, kind, n))
}

func (w *wire) write(m []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.conn.Write(m)
	return err
}

// reach waits until a frame has come back from the other station, whom it calls as a
// host would: by broadcast. Not every switch floods what it does not know.
func (w *wire) reach() error {

	before := w.frames.Load()
	for end := time.Now().Add(reachPatience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err := w.send(frame.Broadcast, typeAnswered, 1); err != nil {
			return err
		}
		for look := time.Now().Add(100 * time.Millisecond); time.Now().Before(look); time.Sleep(time.Millisecond) {
			if w.frames.Load() > before {
				return nil
			}
		}
	}
	return errors.New("no answer")
}

// blast writes batches of frames until ctx ends, and counts them.
func (w *wire) blast(ctx context.Context, to frame.MAC, sent *atomic.Uint64) error {
	m := w.message(to, typeCounted, blastBatch)
	for ctx.Err() == nil {
		if err := w.write(m); err != nil {
			return err
		}
		sent.Add(blastBatch)
	}
	return nil
}

// answer does what a station with a wire can do.
func (s *station) answerOnWire(q request) (r reply, err error) {
	switch q.Op {
	case "reach":
		return r, s.wire.reach()
	case "blast":
		to := frame.MAC(q.MAC)
		s.generate(func() error { return s.wire.blast(s.ctx, to, &s.sent) })
		return r, nil
	case "mark", "count":
		r.Count = counts{At: monotonic(), Frames: s.wire.frames.Load(), Sent: s.sent.Load()}
		return r, s.failure()
	case "halt":
		s.halt()
		return r, s.failure()
	}
	return r, fmt.Errorf("a station without an interface knows no %q", q.Op)
}

package frameiotest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// tb is what a check needs of a *testing.T. The suite's own tests put a recorder
// in its place, to see broken drivers fail.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// suite is the context of one run of one check.
type suite struct {
	t   tb
	opt Options
	mk  func() (a, b bridge.FrameIO)
	seq uint32 // of the last frame made
}

func newSuite(t tb, opts Options, mk func() (a, b bridge.FrameIO)) *suite {
	return &suite{t: t, opt: opts.withDefaults(), mk: mk}
}

// cable makes a new cable, closed when the check is over. Of its ends dut is the
// driver under test, peer what shows it.
func (s *suite) cable() (dut, peer *end) {
	s.t.Helper()
	a, b := s.mk()
	dut, peer = &end{s: s, name: "a", io: a}, &end{s: s, name: "b", io: b}
	dut.peer, peer.peer = peer, dut
	s.t.Cleanup(func() {
		for _, e := range []*end{dut, peer} {
			if err := e.close(); err != nil {
				s.t.Errorf("%v", err)
			}
		}
		for _, e := range []*end{dut, peer} {
			if err := e.awaitReader(); err != nil {
				s.t.Errorf("%v", err)
			}
		}
	})
	return dut, peer
}

// bounded runs f, and gives an error if it panics or does not come back.
func (s *suite) bounded(what string, f func()) error {
	done := make(chan any, 1)
	go func() { // ends with f
		defer func() { done <- recover() }()
		f()
	}()
	timeout := time.NewTimer(s.opt.Wait)
	defer timeout.Stop()
	select {
	case p := <-done:
		if p != nil {
			return fmt.Errorf("%s panics: %v", what, p)
		}
		return nil
	case <-timeout.C:
		return fmt.Errorf("%s does not come back within %v", what, s.opt.Wait)
	}
}

// must ends the check on an error.
func (s *suite) must(err error) {
	if err != nil {
		s.t.Helper()
		s.t.Fatalf("%v", err)
	}
}

// How the suite's frames begin: 02:f0 and the frame's number, 02:f0:0f:10:00:01.
var srcAddr = [6]byte{0x02, 0xf0, 0x0f, 0x10, 0x00, 0x01}

// ethertype is IEEE 802's first one for local experiments.
const ethertype = 0x88b5

// ours reports whether the suite made a frame that looks so on the wire.
func ours(wire []byte) bool {
	return len(wire) >= frame.HeaderLen && wire[0] == 0x02 && wire[1] == 0xf0 && bytes.Equal(wire[6:12], srcAddr[:])
}

// number is the frame's, for messages.
func number(wire []byte) uint32 { return binary.BigEndian.Uint32(wire[2:6]) }

// data makes size bytes that differ from those of any other call: addresses, the
// middle, and a pattern. Size has to hold addresses and middle.
func (s *suite) data(size int, middle ...byte) []byte {
	s.seq++
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(int(s.seq)*31 + i)
	}
	b[0], b[1] = 0x02, 0xf0
	binary.BigEndian.PutUint32(b[2:], s.seq)
	copy(b[6:], srcAddr[:])
	copy(b[12:], middle)
	return b
}

// plain makes a plain frame of size bytes.
func (s *suite) plain(size int) frame.Frame {
	return frame.Frame{Data: s.data(size, ethertype>>8, ethertype&0xff)}
}

// plains makes n plain frames of sizes from the shortest to about 1000 bytes.
func (s *suite) plains(n int) []frame.Frame {
	fs := make([]frame.Frame, n)
	span := max(1, min(s.opt.MaxFrame, 1000)-s.opt.MinFrame)
	for i := range fs {
		fs[i] = s.plain(s.opt.MinFrame + i*97%span)
	}
	return fs
}

// fit gives f in a form that the driver takes, as a bridge would.
func (s *suite) fit(f frame.Frame) frame.Frame {
	if s.opt.Caps.TagAside || f.Plain() || !f.WellFormed() {
		return f
	}
	return frame.Frame{Data: f.AppendWire(nil), Owed: f.OwedOnWire(), Tunnel: f.Tunnel, Time: f.Time, Nexthop: f.Nexthop}
}

// diff says how got differs from want, or nothing.
func diff(got, want frame.Frame) string {
	g, w := got.AppendWire(nil), want.AppendWire(nil)
	if !bytes.Equal(g, w) {
		at := 0
		for at < min(len(g), len(w)) && g[at] == w[at] {
			at++
		}
		return fmt.Sprintf("%d bytes instead of %d, different from byte %d on\n got: % x\nwant: % x\nof frame: tag %v, lifted %v",
			len(g), len(w), at, g[:min(len(g), 64)], w[:min(len(w), 64)], want.Tag, want.Lifted)
	}
	if got.OwedOnWire() != want.OwedOnWire() && !(got.Owed.None() && want.Owed.None()) {
		return fmt.Sprintf("owes %+v; want %+v, counted in the wire form", got.OwedOnWire(), want.OwedOnWire())
	}
	return ""
}

// carry sends f from one end and sees it arrive at the other, which listens.
func (s *suite) carry(from, to *end, f frame.Frame) error {
	f = s.fit(f)
	tries, wait := 1, s.opt.Wait
	if s.opt.Unreliable {
		tries, wait = 20, 5*s.opt.Settle
	}
	for range tries {
		if err := from.sendAll([]frame.Frame{f}); err != nil {
			return err
		}
		for {
			got, ok := to.next(wait)
			if !ok {
				break
			}
			d := diff(got, f)
			if d == "" {
				to.last = got
				return nil
			}
			if !to.again(got) {
				return fmt.Errorf("frame %d arrives as frame %d, %s", number(f.Data), number(got.Data), d)
			}
		}
	}
	return to.missing("frame %d (%d bytes, tag %v, lifted %v) from %s", number(f.Data), f.WireLen(), f.Tag, f.Lifted, from.name)
}

// expect sees fs arrive in order, and no other frame of ours.
func (s *suite) expect(to *end, fs []frame.Frame) error {
	if s.opt.Unreliable || s.opt.Full == FullDrops {
		return s.expectSome(to, fs)
	}
	for i := range fs {
		got, ok := to.next(s.opt.Wait)
		if !ok {
			return to.missing("frame %d, the %d. of %d,", number(fs[i].Data), i+1, len(fs))
		}
		if d := diff(got, fs[i]); d != "" {
			return fmt.Errorf("%s: the %d. of %d frames should be frame %d; frame %d arrives, %s", to.name, i+1, len(fs), number(fs[i].Data), number(got.Data), d)
		}
	}
	return to.quiet()
}

// expectSome sees some of fs arrive, in order and once each: at least one, unless
// an unreliable medium may have lost so few.
func (s *suite) expectSome(to *end, fs []frame.Frame) error {
	patience := max(5*s.opt.Settle, min(s.opt.Wait/20, 250*time.Millisecond))
	wait, at, seen := s.opt.Wait, 0, 0
	few := s.opt.Unreliable && len(fs) < 20 || len(fs) == 0
	if few {
		wait = patience
	}
	for at < len(fs) {
		got, ok := to.next(wait)
		if !ok {
			break
		}
		next := at
		for next < len(fs) && diff(got, fs[next]) != "" {
			next++
		}
		if next == len(fs) {
			return fmt.Errorf("%s: frame %d arrives changed, doubled or out of order: % x", to.name, number(got.Data), got.Data[:min(64, len(got.Data))])
		}
		wait, at, seen = patience, next+1, seen+1
	}
	if seen == 0 && !few {
		return to.missing("any of %d frames", len(fs))
	}
	return to.quiet()
}

// isClosed tells a call's answer after Close from the right one.
func isClosed(e *end, call string, n int, err error) error {
	if n == 0 && errors.Is(err, errClosed) {
		return nil
	}
	return fmt.Errorf("%s: %s after Close = %d, %v; want 0 and an error matching net.ErrClosed", e.name, call, n, err)
}

package qemu

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

const (
	// dgramSlab holds the frames of one ReadFrames: 64 of 1500 bytes with room for
	// one of the longest behind them.
	dgramSlab = 256 << 10

	// handshake is the first datagram of some versions of vfkit: it shows an
	// address, and is no frame.
	handshake = "VFKT"

	// errorPause is how long a reader that got nothing but errors waits, and
	// probePause how long a peer is taken to be there after a look.
	errorPause = time.Millisecond
	probePause = 100 * time.Millisecond
)

// DgramConfig says where the two ends of a Dgram are.
type DgramConfig struct {
	// Local is where the cable's own socket is: "unix:PATH" or "udp:HOST:PORT". If
	// Remote is a multicast group it is the address of the interface to use, with
	// port 0 ("udp:127.0.0.1:0"), or empty: the system chooses.
	Local string

	// Remote is where the peer's is. Of UDP nobody else is heard. It may be empty
	// for unix: then who sends first is the peer (vfkit), until nobody holds its
	// socket any more; what others send meanwhile is lost.
	Remote string
}

// A Dgram is a cable to a program that speaks QEMU's -netdev dgram, or socket with
// udp or mcast, whose datagrams are frames. On unix it takes frames of up to MaxFrame
// bytes, on UDP of up to 65507. A peer may come, go and come back: nothing but Close
// ends the cable.
//
// All methods may be called from several goroutines at once, but ReadFrames and
// WriteFrames each from one at a time (see bridge.FrameIO).
type Dgram struct {
	socks  sockets
	io     dgramIO
	most   int // bytes of a frame
	peer   atomic.Pointer[peer]
	probed time.Time     // when the peer was looked for last; the reader's
	done   chan struct{} // closed by Close
	close  func() error
	closed atomic.Bool

	tooLong, foreign, unreachable atomic.Uint64
}

var _ bridge.FrameIO = (*Dgram)(nil)

// dgramIO reads and writes, each called by one goroutine at a time. fs is not empty.
// Both fail with an error of their own making once the sockets are closed.
type dgramIO interface {
	read(fs []frame.Frame) (int, error)
	write(fs []frame.Frame) (int, error)
	lost() uint64 // datagrams that the system had no room for
}

// peer is where a unix socket sends.
type peer struct {
	name string // as package net writes it
	to   sockaddr
}

// DgramStats is what a Dgram has counted since it was opened.
type DgramStats struct {
	TooLong     uint64 // datagrams that came in and were longer than MaxFrame
	Foreign     uint64 // datagrams from others than the peer that was learned
	Unreachable uint64 // frames that nobody was there for; UDP is told late, and once for one frame or more
}

// OpenDgram binds a socket at cfg.Local, whether or not there is a peer yet. A unix
// socket is removed by Close, and one that a program left behind is replaced.
//
// Errors of a DgramConfig that makes no sense match bridge.EINVAL; others are those
// of package net.
func OpenDgram(cfg DgramConfig) (*Dgram, error) {
	socks, err := cfg.open()
	if err != nil {
		return nil, fmt.Errorf("qemu: open datagrams: %w", err)
	}
	d := &Dgram{socks: socks, most: MaxFrame, done: make(chan struct{})}
	if socks.kind == kindUDP || socks.kind == kindGroup {
		d.most = maxUDPFrame
	}
	if socks.kind == kindUnix {
		d.peer.Store(newPeer(socks.remote))
	}
	d.close = sync.OnceValue(func() error {
		close(d.done)
		return d.socks.close()
	})
	if d.io, err = newDgramIO(d); err != nil {
		d.Close()
		return nil, fmt.Errorf("qemu: open datagrams: %w", err)
	}
	return d, nil
}

func newPeer(name string) *peer { return &peer{name: name, to: sockaddrOf(name)} }

// Caps is what the cable takes, for bridge.PortConfig.Caps.
func (d *Dgram) Caps() bridge.Caps { return bridge.Caps{TagAside: true, MaxFrame: d.most} }

// Lost is how many frames came in that ReadFrames could not give: too long, or, of
// UDP on Linux, not read before the system's queue was full; for
// bridge.PortConfig.Lost.
func (d *Dgram) Lost() uint64 { return d.tooLong.Load() + d.io.lost() }

// Stats is what was counted.
func (d *Dgram) Stats() DgramStats {
	return DgramStats{TooLong: d.tooLong.Load(), Foreign: d.foreign.Load(), Unreachable: d.unreachable.Load()}
}

// LocalAddr is where the socket is bound, which tells the port if that of Local was 0.
func (d *Dgram) LocalAddr() net.Addr { return d.socks.in.LocalAddr() }

// ReadFrames waits for datagrams and, on Linux, takes as many as there are, fs has
// room for and 256 KB hold. A frame shorter than a header is given as it came: the
// bridge counts it. That there is no peer does not show here. After Close the error
// matches net.ErrClosed.
func (d *Dgram) ReadFrames(fs []frame.Frame) (int, error) {
	if len(fs) == 0 {
		return 0, nil
	}
	for {
		if d.closed.Load() {
			return 0, errClosed
		}
		n, err := d.io.read(fs)
		if n > 0 {
			return n, nil
		}
		if err != nil && !d.closed.Load() {
			d.rest()
		}
	}
}

// rest waits a little, or until Close.
func (d *Dgram) rest() {
	t := time.NewTimer(errorPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.done:
	}
}

// errNoPeer is what is answered for frames that there is nobody for.
var errNoPeer = fmt.Errorf("qemu: %w: nobody is at the other end", bridge.ENETDOWN)

// WriteFrames sends fs, a datagram each. ErrQueueFull: the peer reads too slowly (unix),
// or the system's own queue is full. *bridge.FrameError: fs[n] is too long, shorter
// than its header and tag, or owes something. The error matches bridge.ENETDOWN if
// nobody is there, which does not last longer than that is so.
func (d *Dgram) WriteFrames(fs []frame.Frame) (int, error) {
	if d.closed.Load() {
		return 0, errClosed
	}
	if len(fs) == 0 {
		return 0, nil
	}
	n, err := d.io.write(fs)
	if err != nil && d.closed.Load() {
		return n, errClosed
	}
	if err == errNoPeer {
		d.unreachable.Add(uint64(len(fs) - n))
	}
	return n, err
}

// Close closes the sockets. Nothing is queued here.
func (d *Dgram) Close() error {
	d.closed.Store(true)
	if err := d.close(); err != nil {
		return fmt.Errorf("qemu: close datagrams: %w", err)
	}
	return nil
}

// known says whether to listen to the unix socket of a name, which is learned if there
// is no peer, or that is there no more. The reader calls it.
func (d *Dgram) known(name []byte) bool {
	p := d.peer.Load()
	if p != nil && string(name) == p.name {
		return true
	}
	if len(name) == 0 || p != nil && d.there(p) {
		d.foreign.Add(1)
		return false
	}
	d.peer.Store(newPeer(string(name)))
	return true
}

// there reports whether somebody holds the peer's socket, as far as was seen lately.
func (d *Dgram) there(p *peer) bool {
	if now := time.Now(); now.Sub(d.probed) >= probePause {
		d.probed = now
		return somebodyHolds(p.name)
	}
	return true
}

// forget ends what was learned of a peer that is not there.
func (d *Dgram) forget(p *peer) {
	if d.socks.kind == kindLearned {
		d.peer.CompareAndSwap(p, nil)
	}
}

// isHandshake tells what is no frame.
func isHandshake(b []byte) bool { return string(b) == handshake }

var errNothing = errors.New("nothing but errors")

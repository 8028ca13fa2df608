package xdp

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns"
)

// A linuxPort is an interface with a program that hands its frames to sockets. When
// the process ends, however it does, the kernel takes the program off again.
type linuxPort struct {
	cfg      PortConfig
	ctl      *bridge.RawSocket // hears what happens to the interface; no frames come to it
	index    int
	mtu      int  // when opened
	channels int  // queues for frames that come in
	local    bool // the senders are in this machine, and may leave checksums to others
	tool     *ethtool
	untagged bool // the driver took tags out of frames, and does not now

	at       Mode
	zeroCopy bool
	why      []string
	hints    []string

	socks   *ebpf.Map // of a queue's number to its socket
	prog    *ebpf.Program
	hook    link.Link
	mem     *umem
	queues  []*linuxQueue
	state   atomic.Int32 // a linkState
	done    chan struct{}
	watcher sync.WaitGroup
	closed  atomic.Bool
}

// maxQueues is how many queues of an interface are served. A network card with more
// hands the rest of its frames to the kernel.
const maxQueues = 256

// linkState is what has become of the interface.
type linkState = int32

const (
	isUp linkState = iota
	isDown
	isGone
)

// openPort opens the interface, and attaches a program that does nothing yet.
func openPort(cfg PortConfig) (*linuxPort, error) {
	p := &linuxPort{cfg: cfg, done: make(chan struct{})}
	var err error
	// It gets what the program lets pass, which is nothing that is wanted.
	p.ctl, err = bridge.OpenRaw(bridge.RawConfig{Name: cfg.Name, Netns: cfg.Netns, NoPromisc: cfg.NoPromisc, Up: cfg.Up, RcvBuf: 1, SndBuf: 1})
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
		return nil, err
	}
	if p.mtu, err = p.ctl.MTU(); err == nil {
		err = p.inNetns(p.attach)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// inNetns runs fn in the network namespace of the interface.
func (p *linuxPort) inNetns(fn func() error) error {
	if p.cfg.Netns == "" {
		return fn()
	}
	ns, err := netns.Open(p.cfg.Netns)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Do(fn)
}

// attach looks at the interface, and attaches the program.
func (p *linuxPort) attach() error {
	ifi, err := net.InterfaceByName(p.ctl.Name())
	if err != nil {
		return err
	}
	p.index = ifi.Index
	if p.tool, err = openEthtool(); err != nil {
		return err
	}
	p.channels = min(p.tool.channels(ifi.Name), maxQueues)
	p.local = !p.tool.hardware(ifi.Name)
	p.hints = p.look(ifi)
	if err := p.load(); err != nil {
		return err
	}
	p.leaveTags(ifi.Name)
	return p.attachBest()
}

// attachBest attaches the program, natively if that can be.
func (p *linuxPort) attachBest() error {
	if p.cfg.Generic {
		p.why = append(p.why, "generic mode: asked for")
	} else {
		err := p.attachAs(link.XDPDriverMode)
		if err == nil {
			p.at = Native
			return nil
		}
		why, final := attachFault(err, p.mtu)
		if final != nil {
			return final
		}
		p.why = append(p.why, "generic mode, since native mode fails: "+why)
	}
	if err := p.attachAs(link.XDPGenericMode); err != nil {
		why, final := attachFault(err, p.mtu)
		if final == nil {
			final = fmt.Errorf("attach an XDP program: %s: %w", why, err)
		}
		return final
	}
	p.at = Generic
	return nil
}

func (p *linuxPort) attachAs(mode link.XDPAttachFlags) (err error) {
	p.hook, err = link.AttachXDP(link.XDPOptions{Program: p.prog, Interface: p.index, Flags: mode})
	return err
}

// attachFault says why a program could not be attached. It gives an error where
// another mode would not do either.
func attachFault(err error, mtu int) (why string, final error) {
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return "", &fault{unix.EBUSY, "another XDP program is attached to the interface: take it off (ip link set dev NAME xdp off)"}
	case errors.Is(err, unix.EPERM):
		return "", &fault{unix.EPERM, "attaching an XDP program needs CAP_NET_ADMIN and CAP_BPF (run as root)"}
	case errors.Is(err, unix.ENODEV):
		return "", errGone
	case errors.Is(err, unix.EOPNOTSUPP):
		return "the driver has none", nil
	case errors.Is(err, unix.ERANGE), errors.Is(err, unix.EMSGSIZE):
		return fmt.Sprintf("the MTU %d, of this interface or of its peer, is too large for it", mtu), nil
	}
	return err.Error(), nil
}

// What the program reads and answers (struct xdp_md, enum xdp_action).
const (
	mdQueue = 16
	xdpPass = 2
)

// load makes the program: a frame goes to the socket of the queue that it came in by,
// and where there is none to the kernel.
func (p *linuxPort) load() (err error) {
	p.socks, err = ebpf.NewMap(&ebpf.MapSpec{Name: "bridge_socks", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(p.channels)})
	if err == nil {
		p.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "bridge_port", Type: ebpf.XDP, License: "Apache-2.0",
			Instructions: asm.Instructions{
				asm.LoadMem(asm.R2, asm.R1, mdQueue, asm.Word),
				asm.LoadMapPtr(asm.R1, p.socks.FD()),
				asm.Mov.Imm(asm.R3, xdpPass),
				asm.FnRedirectMap.Call(),
				asm.Return(),
			},
		})
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return &fault{unix.EPERM, "loading an XDP program needs CAP_BPF and CAP_NET_ADMIN, before Linux 5.11 also RLIMIT_MEMLOCK (run as root)"}
	}
	return fmt.Errorf("load an XDP program: %w", err)
}

// start has frames come to the sockets, and watches the interface.
func (p *linuxPort) start(noZeroCopy bool) error {
	switch {
	case p.zeroCopy:
	case noZeroCopy:
		p.why = append(p.why, "no zero-copy: NoZeroCopy")
	case p.at == Generic:
		p.why = append(p.why, "no zero-copy: it needs native mode")
	case len(p.why) == 0:
		p.why = append(p.why, "no zero-copy: the driver has none, or another port of the group has none")
	}
	for _, q := range p.queues {
		_, err := control(q.rawRecv, func(fd int) error {
			q.refill(uintptr(fd)) // what comes before anybody reads is to have room
			return p.socks.Put(uint32(q.index), uint32(fd))
		})
		if err != nil {
			return fmt.Errorf("hand frames to a socket: %w", err)
		}
	}
	p.watcher.Go(p.watch) // ends with close
	return nil
}

// watch tells the readers what happens to the interface.
func (p *linuxPort) watch() {
	fs := make([]frame.Frame, 8)
	for {
		_, err := p.ctl.ReadFrames(fs)
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, unix.ENETDOWN):
			p.tell(isDown)
			p.awaitUp()
		default:
			p.tell(isGone)
			<-p.done
		}
	}
}

// awaitUp waits until the interface is up, or the port is closed.
func (p *linuxPort) awaitUp() {
	for {
		up, _, err := p.ctl.Link()
		if err != nil {
			return // it is gone, or closed
		}
		if up {
			p.state.Store(isUp)
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.done:
			return
		}
	}
}

// tell has the readers that wait look at the state.
func (p *linuxPort) tell(s linkState) {
	p.state.Store(s)
	for _, q := range p.queues {
		_ = q.recv.SetReadDeadline(time.Unix(1, 0)) // closed: nobody waits
	}
}

// fault is what is wrong with the interface, nil if nothing is.
func (p *linuxPort) fault() error {
	switch p.state.Load() {
	case isUp:
		return nil
	case isDown:
		if up, _, err := p.ctl.Link(); err == nil && up {
			return nil // the watcher has not seen it yet
		}
		return errLinkDown
	}
	return errGone
}

func (p *linuxPort) ends() (es []end) {
	for _, q := range p.queues {
		es = append(es, q)
	}
	return es
}

func (p *linuxPort) control() *bridge.RawSocket { return p.ctl }
func (p *linuxPort) chunk() int                 { return 1 << p.mem.shift }
func (p *linuxPort) warnings() []string         { return p.hints }

func (p *linuxPort) mode() (m Mode, zeroCopy bool, why string) {
	return p.at, p.zeroCopy, strings.Join(p.why, "; ")
}

// lost asks the kernel what it has dropped.
func (p *linuxPort) lost() (n uint64) {
	for _, q := range p.queues {
		if k, open := q.dropped(); open {
			n += k
		} else {
			n += q.lost.Load()
		}
	}
	return n
}

// dropped is what the kernel has dropped at a queue, if that is open.
func (q *linuxQueue) dropped() (n uint64, open bool) {
	_, err := control(q.rawRecv, func(fd int) error {
		var s unix.XDPStatistics
		if getsockopt(fd, unix.XDP_STATISTICS, unsafe.Pointer(&s), unsafe.Sizeof(s)) == 0 {
			n = s.Rx_dropped + s.Rx_ring_full
		}
		return nil
	})
	return n, err == nil
}

// close takes the program off, and ends the queues.
func (p *linuxPort) close() (err error) {
	if p.closed.Swap(true) {
		return nil
	}
	close(p.done)
	if p.hook != nil {
		_ = p.hook.Detach() // at once, which Close is not on each kernel; it is gone: so is the program
		err = p.hook.Close()
	}
	if p.untagged {
		_ = p.tool.setFlags(p.ctl.Name(), flagRxVLAN, flagRxVLAN) // it is gone: nothing is to be put back
	}
	for _, q := range p.queues {
		err = errors.Join(err, q.close())
	}
	if p.prog != nil {
		err = errors.Join(err, p.prog.Close())
	}
	if p.socks != nil {
		err = errors.Join(err, p.socks.Close())
	}
	if p.tool != nil {
		err = errors.Join(err, p.tool.close())
	}
	if p.ctl != nil {
		err = errors.Join(err, p.ctl.Close())
	}
	p.watcher.Wait()
	return err
}

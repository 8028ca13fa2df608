package bridge

import (
	"errors"
	"fmt"
	"math"

	"github.com/ddfb540f/bridge/frame"
)

// MaxRawFrame is the longest wire form that a RawSocket takes, in bytes: an IP
// packet of 65535 bytes, be it of the largest MTU or one that is still to be cut
// into segments, an Ethernet header and two VLAN tags.
const MaxRawFrame = 65535 + frame.HeaderLen + 2*frame.TagLen

// RawConfig says which interface to open. Only Name has to be set.
type RawConfig struct {
	// Name of the interface, which exists and is an Ethernet: eth0, one end of a
	// veth pair, a TAP that another program holds.
	Name string

	// Netns is the path of the network namespace that holds the interface, such
	// as /run/netns/blue or /proc/4711/ns/net; "" is the caller's. It is entered
	// while opening only, which needs CAP_SYS_ADMIN.
	Netns string

	// NoPromisc leaves the interface's address filter as it is. A bridge needs
	// what is addressed to others, so without this the interface is promiscuous
	// while the RawSocket is open.
	NoPromisc bool

	// Up brings the interface up; Close takes it down again if it was down
	// before and is up then. It needs CAP_NET_ADMIN if the interface is down.
	Up bool

	// RcvBuf and SndBuf are the bytes that the kernel keeps in each queue for
	// ReadFrames, and of frames under way to the device; 0 is 4 MiB.
	//
	// RcvBuf is the size of a ring, in blocks of 64 KiB, whose memory is taken when
	// the socket is opened: 39 frames of up to 1588 bytes a block, 2496 in all for 0.
	// Of a longer frame the ring has the beginning, and as much memory again is for
	// the whole.
	//
	// As for any socket the kernel allows twice as much for frames under way, and for
	// long ones, its own records included, which for short frames outweigh the bytes.
	// Without CAP_NET_ADMIN it allows no more than the sysctls net.core.wmem_max and
	// rmem_max there.
	RcvBuf, SndBuf int

	// Queues is how many queues share the frames that come in, 0 or 1 to 256;
	// RawSocket.Queues has those behind the first. The kernel chooses one for
	// each frame by a hash of its addresses and ports, the same both ways, so
	// that a flow keeps its order, but for one that consists of IP fragments in
	// part: those bear no ports. Before Linux 6.13 the interface has to be up to
	// open more than one.
	Queues int
}

const (
	defaultRawBuf = 4 << 20
	maxRawQueues  = 256 // PACKET_FANOUT_MAX
)

// A RawSocket is a port on an Ethernet interface of the Linux kernel (AF_PACKET):
// what comes in at the interface is read here, what is written here leaves by it.
// It is for an interface whose other end somebody else has: a network card, a
// container's veth, a TAP that a virtual machine holds. To be the other end
// oneself, open a TAP.
//
// Frames cross with what they owe: the kernel hands over checksums that are not
// filled in and TCP and UDP that are not cut yet, and takes the same (it cuts what
// is longer than the interface's gso_max_size), so nothing need be turned off at
// either end of the cable. A VLAN tag is held aside as it comes in (Frame.Tag), with
// its own TPID.
//
// The kernel's own protocols still see what comes in, unlike at a port of the Linux
// bridge: an interface that a RawSocket serves should have no IP address and be no port
// of another bridge (Warnings tells). Even without an address the kernel answers ARP
// requests there for those of its other interfaces, such as the bridge's host: sysctl
// net.ipv4.conf.eth0.arp_ignore=1 has it keep silent. What they send on the interface is not seen here, nor what is
// written here.
//
// All methods may be called from several goroutines at once, but ReadFrames and
// WriteFrames each from one at a time (see FrameIO). The interface is that which
// had its name when it was opened, whatever it is called later.
type RawSocket struct {
	dev    rawDevice
	first  *netQueue
	others []FrameIO
}

var _ FrameIO = (*RawSocket)(nil)

// rawDevice is what a system has to bring. Its errors are given their context
// here.
type rawDevice interface {
	queues() []netEnd
	close() error
	name() string
	address() (frame.MAC, error)
	mtu() (int, error)
	link() (up, carrier bool, err error)
	speed() (mbps int, full bool, err error)
	lost() uint64
	warnings() []string
	uso() bool // the kernel knows UDP that is still to be cut
}

// OpenRaw opens an interface, which needs CAP_NET_RAW in the user namespace of its
// network namespace. An interface that is down can be opened.
//
// The error says what is missing. It matches EINVAL for a RawConfig that makes no
// sense and for an interface that is no Ethernet, ENODEV if there is none of that
// name, EPERM without the right, ENETDOWN where more than one queue needs the
// interface to be up, and errors.ErrUnsupported on other systems.
func OpenRaw(cfg RawConfig) (*RawSocket, error) {
	if reason := cfg.check(); reason != "" {
		return nil, refuse("open raw socket", cfg.Name, EINVAL, reason)
	}
	cfg.RcvBuf, cfg.SndBuf, cfg.Queues = rawBuf(cfg.RcvBuf), rawBuf(cfg.SndBuf), max(cfg.Queues, 1)
	dev, err := openRaw(cfg)
	if err != nil {
		return nil, rawError("open", cfg.Name, err)
	}
	r := &RawSocket{dev: dev}
	for i, q := range dev.queues() {
		end := newNetQueue(dev, q, rawError)
		if i == 0 {
			r.first = end
		} else {
			r.others = append(r.others, end)
		}
	}
	return r, nil
}

// rawBuf is the size of a socket's buffer.
func rawBuf(n int) int {
	if n == 0 {
		return defaultRawBuf
	}
	return n
}

// check gives what is wrong with cfg, "" if nothing is.
func (cfg *RawConfig) check() string {
	const most = math.MaxInt32 / 2 // the kernel doubles it
	switch {
	case cfg.Name == "":
		return "Name says which interface, and is empty"
	case cfg.RcvBuf < 0 || cfg.RcvBuf > most || cfg.SndBuf < 0 || cfg.SndBuf > most:
		return "RcvBuf or SndBuf is negative or more than 1073741823"
	case cfg.Queues < 0 || cfg.Queues > maxRawQueues:
		return "Queues is not between 0 and 256"
	}
	return checkIfName(cfg.Name)
}

// rawError gives err, unless nil, its context.
func rawError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bridge: %s raw socket %s: %w", op, name, err)
}

// What a RawSocket answers for frames that it or the kernel does not take, made once: a refusal must not allocate.
var (
	errRawForm    = &FrameError{Reason: DropDriver, Err: errors.New("shorter than its header and tag")}
	errRawLong    = &FrameError{Reason: DropTooLong, Err: errors.New("longer than the interface's MTU and a tag of TPID 0x8100")}
	errRawDropped = &FrameError{Reason: DropQueueFull, Err: errors.New("dropped by the device or its queueing discipline")}
	errRawOffload = &FrameError{Reason: DropNoOffload, Err: errors.New("owes a checksum or a segmentation that the kernel cannot do: one that is not there, or inside a tunnel")}
	errRawKernel  = &FrameError{Reason: DropDriver, Err: EINVAL}
)

// rawRefusal is why the kernel is not even asked to take f, nil if it is.
func rawRefusal(f *frame.Frame) error {
	switch {
	case !f.WellFormed():
		return errRawForm
	case f.WireLen() > MaxRawFrame:
		return errRawLong
	}
	return nil
}

// ReadFrames waits until a frame comes in at the interface and takes what there
// is, out of a ring in memory that is shared with the kernel: as many as fs has room
// for, but no more than half of the ring, nor than six that are longer than 1588 bytes,
// which cost a system call for those that follow one another. Frame.Tag is the
// outer tag, of TPID 0x8100 or 0x88a8, Frame.Owed what the sender or the device left
// to do. Frames that cannot be given are counted by Lost. The error matches ENETDOWN
// while the interface is down, at once on each call; net.ErrClosed after Close; and
// ENODEV once the interface is deleted, or in another network namespace.
func (r *RawSocket) ReadFrames(fs []frame.Frame) (n int, err error) { return r.first.ReadFrames(fs) }

// WriteFrames sends fs by the interface, through its queueing discipline, with a
// system call for 64 frames. Where SndBuf has no room it answers ErrQueueFull. A
// *FrameError is for one frame: one that the discipline, a filter or the device
// dropped (DropQueueFull; it may count it twice), such as a veth whose other end has
// a smaller MTU; one that is shorter than its header and tag; one that owes what the
// kernel cannot do (DropNoOffload), see Caps; and one that is too long (DropTooLong):
// without a segmentation owed the kernel sends
// the MTU and an Ethernet header, and 4 bytes more only for a tag of TPID 0x8100,
// neither for 0x88a8 nor for a second tag. The error matches ENETDOWN while the
// interface is down, net.ErrClosed after Close, and ENODEV as for ReadFrames.
func (r *RawSocket) WriteFrames(fs []frame.Frame) (n int, err error) { return r.first.WriteFrames(fs) }

// Close ends the socket and all its queues: the interface is no longer
// promiscuous on its behalf, and down if RawConfig.Up brought it up and it is up
// still (where that cannot be done the error says so). A ReadFrames that waits
// answers at once. A ring of which frames are lent goes with the next ReadFrames. A
// second Close does nothing.
func (r *RawSocket) Close() error { return rawError("close", r.dev.name(), r.dev.close()) }

// Queues are the queues behind the first, for PortConfig.Queues. Closing one has
// the others share its frames.
func (r *RawSocket) Queues() []FrameIO { return append([]FrameIO(nil), r.others...) }

// Caps is what a RawSocket takes, for PortConfig.Caps: tags held aside and frames
// that owe checksums and segmentations, UDP's from Linux 6.2 on. TCP segments are
// to be joined: one frame costs the kernel little more than one segment.
//
// A virtio_net_hdr has no words for a segmentation inside a tunnel such as VXLAN.
// ReadFrames gives such a frame as one of TCP or UDP whose checksum begins at the
// inner header (Frame.Tunnelled), which WriteFrames refuses: a bridge cuts it first.
func (r *RawSocket) Caps() Caps {
	return Caps{TagAside: true, Checksum: true, TSO: true, USO: r.dev.uso(), Coalesce: true,
		MaxFrame: MaxRawFrame, XmitProbe: "dev_queue_xmit"}
}

// Name is the interface's name now; the one it had when opened after Close, and
// once it is gone.
func (r *RawSocket) Name() string { return r.dev.name() }

// Address is the address of the interface.
func (r *RawSocket) Address() (frame.MAC, error) {
	a, err := r.dev.address()
	return a, rawError("read the address of", r.dev.name(), err)
}

// MTU is the longest payload, in bytes, that the interface sends.
func (r *RawSocket) MTU() (int, error) {
	n, err := r.dev.mtu()
	return n, rawError("read the MTU of", r.dev.name(), err)
}

// Link says whether the interface is up (IFF_UP), and whether it also has a
// carrier.
func (r *RawSocket) Link() (up, carrier bool, err error) {
	up, carrier, err = r.dev.link()
	return up, carrier, rawError("read the state of", r.dev.name(), err)
}

// Speed is that of the link, in Mb/s, as the driver of the interface says (ethtool);
// 0 if it does not. full: it runs full duplex. It is for PortConfig.Speed.
func (r *RawSocket) Speed() (mbps int, full bool, err error) {
	mbps, full, err = r.dev.speed()
	return mbps, full, rawError("read the speed of", r.dev.name(), err)
}

// Lost is how many frames came in at the interface and could not be given by
// ReadFrames, for PortConfig.Lost: nobody read them in time, so that RcvBuf was full
// (those that ReadFrames gave last take room too); they are longer than MaxRawFrame;
// or they owe a segmentation that a virtio_net_hdr has no words for, such as SCTP's
// and, before Linux 6.2, UDP's.
func (r *RawSocket) Lost() uint64 { return r.dev.lost() }

// Warnings says what stood in the way of a bridge port when the interface was
// opened, and what to do about it: an IP address other than a link-local one, or
// a bridge, bond or the like whose port the interface is.
func (r *RawSocket) Warnings() []string { return append([]string(nil), r.dev.warnings()...) }

package bridge

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/ddfb540f/bridge/frame"
)

// MaxTAPFrame is the longest wire form that a TAP takes, in bytes: the largest
// MTU that Linux gives a TAP (65521), an Ethernet header and two VLAN tags. That
// is what Linux at most sends on a TAP: its own bridge lets one tag pass beyond
// the MTU (is_skb_forwardable), and holds another one aside.
const MaxTAPFrame = maxTAPMTU + frame.HeaderLen + 2*frame.TagLen

const maxTAPMTU = 65521

// TAPConfig says which TAP to open. The zero TAPConfig makes a new one, in the
// network namespace of the caller, under a name that the kernel chooses.
type TAPConfig struct {
	// Name of the interface: at most 15 bytes, no white space, no '/' or ':'. A
	// persistent TAP of that name is attached, else a new one is made. "", or a
	// name with one "%d" such as "vm%d", lets the kernel choose; TAP.Name tells.
	Name string

	// File is the descriptor of a TAP that somebody else has opened and attached,
	// for example a parent process with more rights; Name, Netns and Persist stay
	// empty then. It must be a TAP without packet information and without a
	// virtio header (IFF_TAP and IFF_NO_PI, not IFF_VNET_HDR or IFF_NAPI_FRAGS).
	// OpenTAP takes it over: it is closed when OpenTAP succeeds, and left to the
	// caller when it fails. It is made non-blocking, which is a property that
	// all duplicates of a descriptor share, in other processes too.
	File *os.File

	// Netns is the path of the network namespace that holds the TAP, such as
	// /run/netns/blue or /proc/4711/ns/net; "" is the caller's. It is entered
	// while opening only, which needs CAP_SYS_ADMIN.
	Netns string

	// A TAP that was there before gets back on Close what these changed.
	MTU      int       // 68 to 65521; 0 leaves it: 1500 for a new TAP
	Address  frame.MAC // of the interface, the kernel's end of the cable; zero leaves it: random for a new TAP
	QueueLen int       // frames that the kernel keeps for ReadFrames (txqueuelen); 0 leaves it: 1000 for a new TAP
	Up       bool      // bring the interface up; false leaves it: down for a new TAP
	Persist  bool      // let the interface outlive its descriptor; false leaves it: a new TAP vanishes on Close
}

// A TAP is an Ethernet interface of the Linux kernel whose cable ends in this
// process: what the kernel sends on the interface is read here, and what is
// written here the kernel receives on it. As a bridge port it connects whatever
// uses the interface, so its Address belongs to that user, and the bridge port
// needs an address of its own.
//
// All methods may be called from several goroutines at once, but ReadFrames and
// WriteFrames each from one at a time (see FrameIO). The methods that look at or
// change the interface do so in the network namespace in which it was opened; a
// changed name is followed, and for an interface that has left that namespace
// they answer ENODEV.
//
// A TAP that was there before OpenTAP, a persistent one or that of a File, is left
// as it was found: Close puts back the MTU, the address, the queue length, and up
// or down, if they were changed through this TAP, by TAPConfig or by a method, and
// by nobody else since. A process that is killed puts nothing back.
type TAP struct {
	dev  tapDevice
	down error // while the interface is down, made once: a refusal must not allocate
}

var _ FrameIO = (*TAP)(nil)

// tapDevice is what a system has to bring. Its errors are given their context
// here.
type tapDevice interface {
	read(fs []frame.Frame) (int, error)
	write(fs []frame.Frame) (int, error)
	close() error
	name() string
	address() (frame.MAC, error)
	setAddress(frame.MAC) error
	mtu() (int, error)
	setMTU(int) error
	setUp(bool) error
}

// OpenTAP opens a TAP. Making one needs CAP_NET_ADMIN in the user namespace of
// its network namespace; attaching to a persistent TAP does not, if it was made
// for this user (ip tuntap add dev tap0 mode tap user NAME) and has what TAPConfig
// asks for already.
//
// The error says what is missing. It matches EINVAL for a TAPConfig that makes
// no sense, fs.ErrPermission without the right (EPERM, or syscall.EACCES for
// /dev/net/tun itself), ENOENT without /dev/net/tun, EBUSY for a TAP that is in use, and errors.ErrUnsupported on other systems.
func OpenTAP(cfg TAPConfig) (*TAP, error) {
	if reason := cfg.check(); reason != "" {
		return nil, refuse("open TAP", cfg.Name, EINVAL, reason)
	}
	dev, err := openTAP(cfg)
	if err != nil {
		return nil, tapError("open", cfg.Name, err)
	}
	how := "its interface is down (ip link set " + dev.name() + " up)"
	down := tapError("write to", dev.name(), fmt.Errorf("%w: %s", ENETDOWN, how))
	return &TAP{dev: dev, down: down}, nil
}

// check gives what is wrong with cfg, "" if nothing is.
func (cfg *TAPConfig) check() string {
	switch {
	case cfg.File != nil && (cfg.Name != "" || cfg.Netns != "" || cfg.Persist):
		return "File says which TAP: Name, Netns and Persist stay empty"
	case cfg.MTU != 0 && !goodTAPMTU(cfg.MTU):
		return badTAPMTU
	case cfg.QueueLen < 0 || cfg.QueueLen > math.MaxInt32:
		return "the queue length is negative or more than 2147483647"
	case !cfg.Address.IsZero() && !cfg.Address.IsValid():
		return "the address is a group address"
	}
	return checkIfName(cfg.Name)
}

const badTAPMTU = "the MTU is not between 68 and 65521"

func goodTAPMTU(n int) bool { return n >= 68 && n <= maxTAPMTU }

// checkIfName gives what is wrong with a name for an interface, "" if nothing is
// (dev_valid_name, and "%d" as in dev_alloc_name).
func checkIfName(name string) string {
	fixed := strings.Replace(name, "%d", "", 1)
	switch {
	case len(name) > 15:
		return "the name is longer than 15 bytes"
	case name == "." || name == "..":
		return "the name means a directory"
	case strings.ContainsAny(name, "/: \t\n\v\f\r\x00"):
		return "the name has a slash, a colon, white space or a zero byte"
	case strings.Contains(fixed, "%"):
		return "the name has a % that is not one %d"
	}
	return ""
}

// tapError gives err, unless nil, its context.
func tapError(op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case name == "":
		return fmt.Errorf("bridge: %s TAP: %w", op, err)
	}
	return fmt.Errorf("bridge: %s TAP %s: %w", op, name, err)
}

// errTAPDown is what a tapDevice answers while its interface is down.
var errTAPDown = errors.New("the interface is down")

// What a TAP answers while it lives, made once: a refusal must not allocate.
var (
	errTAPForm    = &FrameError{Reason: DropDriver, Err: errors.New("shorter than its header and tag")}
	errTAPOffload = &FrameError{Reason: DropNoOffload, Err: errors.New("owes a checksum or a segmentation, and a TAP without virtio header has no place to say so")}
	errTAPLong    = &FrameError{Reason: DropTooLong, Err: errors.New("longer than a TAP takes")}
	errTAPKernel  = &FrameError{Reason: DropDriver, Err: EINVAL}
)

// tapRefusal is why a TAP does not take f, nil if it does.
func tapRefusal(f *frame.Frame) error {
	switch {
	case !f.WellFormed():
		return errTAPForm
	case !f.Owed.None():
		return errTAPOffload
	case f.WireLen() > MaxTAPFrame:
		return errTAPLong
	}
	return nil
}

// ReadFrames waits until the kernel sends a frame on the interface and takes what
// there is, one system call a frame, as many as fs has room for and 256 KB hold:
// 3 of the longest, more than 100 of 1514 bytes. Tags are in the Data, and the
// frames are complete: none owes anything. While the interface is down it waits.
// Frames that nobody reads in time the kernel drops and counts at its interface
// (tx_dropped). The error matches net.ErrClosed after Close, and ENODEV once the
// interface is deleted.
func (t *TAP) ReadFrames(fs []frame.Frame) (n int, err error) {
	n, err = t.dev.read(fs)
	if err != nil {
		err = tapError("read", t.dev.name(), err)
	}
	return n, err
}

// WriteFrames gives fs to the kernel, which handles each before the next: when it
// returns, they have been received, forwarded or dropped there. A frame that owes
// something, is longer than MaxTAPFrame or shorter than its header and tag is
// answered with a *FrameError, a kernel without memory with ErrQueueFull. The
// error matches ENETDOWN while the interface is down (the kernel counts an
// rx_dropped for the frame that was tried), net.ErrClosed after Close, and ENODEV
// once the interface is deleted. The MTU is not looked at: a kernel takes
// longer frames from a TAP than it sends.
func (t *TAP) WriteFrames(fs []frame.Frame) (n int, err error) {
	n, err = t.dev.write(fs)
	switch err.(type) {
	case nil, *FrameError:
		return n, err
	}
	switch err {
	case ErrQueueFull:
		return n, err
	case errTAPDown:
		return n, t.down
	}
	return n, tapError("write to", t.dev.name(), err)
}

// Close ends the descriptor; the interface vanishes unless it is persistent, and
// one that was there before is as it was found (see TAP; where that cannot be done
// the error says what is left, but an interface that is deleted, or has left the
// namespace, is not missed). A ReadFrames that waits answers at once. A second
// Close does nothing.
func (t *TAP) Close() error { return tapError("close", t.dev.name(), t.dev.close()) }

// Caps is what a TAP takes, for PortConfig.Caps: tags held aside and frames up to
// MaxTAPFrame bytes, but nothing that owes a checksum or a segmentation.
func (t *TAP) Caps() Caps {
	return Caps{TagAside: true, MaxFrame: MaxTAPFrame, XmitProbe: "tun_net_xmit"}
}

// Name is the interface's name now; after Close, the one it had when opened.
func (t *TAP) Name() string { return t.dev.name() }

// Address is the address of the interface.
func (t *TAP) Address() (frame.MAC, error) {
	a, err := t.dev.address()
	return a, tapError("read the address of", t.dev.name(), err)
}

// SetAddress changes the address of the interface. A change needs CAP_NET_ADMIN.
func (t *TAP) SetAddress(a frame.MAC) error {
	if !a.IsValid() {
		return refuse("set the address of TAP", t.dev.name(), EADDRNOTAVAIL, "no address of a station: "+a.String())
	}
	return tapError("set the address of", t.dev.name(), t.dev.setAddress(a))
}

// MTU is the longest payload, in bytes, that the kernel sends on the interface.
func (t *TAP) MTU() (int, error) {
	n, err := t.dev.mtu()
	return n, tapError("read the MTU of", t.dev.name(), err)
}

// SetMTU changes the MTU, 68 to 65521. A change needs CAP_NET_ADMIN.
func (t *TAP) SetMTU(n int) error {
	const op = "set the MTU of"
	if !goodTAPMTU(n) {
		return refuse(op+" TAP", t.dev.name(), EINVAL, badTAPMTU)
	}
	return tapError(op, t.dev.name(), t.dev.setMTU(n))
}

// SetUp brings the interface up or down. A change needs CAP_NET_ADMIN.
func (t *TAP) SetUp(up bool) error {
	op := "take down"
	if up {
		op = "bring up"
	}
	return tapError(op, t.dev.name(), t.dev.setUp(up))
}

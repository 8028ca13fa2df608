package bridge

import (
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/ddfb540f/bridge/frame"
)

// MaxTAPFrame is the longest wire form that a TAP takes and gives, in bytes: an IP
// packet of 65535 bytes, an Ethernet header and two VLAN tags. Linux itself sends at
// most 65543 bytes that owe no segmentation (the largest MTU of a TAP, 65521, with
// its header and two tags: its bridge lets one pass beyond the MTU, in
// is_skb_forwardable, and holds another one aside), and 65539 that do (gso_max_size);
// from a TAP it takes more.
const MaxTAPFrame = 65535 + frame.HeaderLen + 2*frame.TagLen

const (
	maxTAPMTU    = 65521
	maxTAPQueues = 256 // MAX_TAP_QUEUES
)

// TAPConfig says which TAP to open. The zero TAPConfig makes a new one, in the
// network namespace of the caller, under a name that the kernel chooses.
type TAPConfig struct {
	// Name of the interface: at most 15 bytes, no white space, no '/' or ':'. A
	// persistent TAP of that name is attached, else a new one is made. "", or a
	// name with one "%d" such as "vm%d", lets the kernel choose; TAP.Name tells.
	Name string

	// NoOffload opens a TAP that carries complete frames alone, of no more than its
	// MTU: the kernel fills in checksums and cuts segments first. False lets it send
	// what the next in line can finish, or need not: TCP and UDP data of up to 64 KB
	// in one frame (IFF_VNET_HDR; see TAP.Caps).
	NoOffload bool

	// NoUring has each frame written with a system call of its own. False lets those
	// that follow one another go together, by io_uring(7), a ring for each queue, where
	// the kernel has and allows it (see TAP.Uring): then OpenTAP tries. Set it where a
	// filter for system calls kills a process that does.
	NoUring bool

	// Queues is how many queues the TAP has, each for a goroutine of its own (see
	// TAP.Queues): 1 to 256, 0 is 1. Linux wants a persistent TAP attached as it was
	// made: with 2 or more if made with multi_queue, else with 1.
	Queues int

	// File is the descriptor of a TAP that somebody else has opened and attached,
	// for example a parent process with more rights; Name, Netns, Persist and Queues
	// stay empty then (each queue of an interface has a descriptor of its own, and
	// becomes a TAP of its own). It must be a TAP without packet information (IFF_TAP
	// and IFF_NO_PI, not IFF_NAPI_FRAGS). One without virtio header (IFF_VNET_HDR)
	// is as with NoOffload. OpenTAP takes it over: it is closed when OpenTAP succeeds,
	// and left to the caller when it fails. It is made non-blocking, which is a
	// property that all duplicates of a descriptor share, in other processes too; the
	// length of the virtio header, which becomes 10, its byte order, the machine's
	// own, and the offloads are even the interface's.
	File *os.File

	// Netns is the path of the network namespace that holds the TAP, such as
	// /run/netns/blue or /proc/4711/ns/net; "" is the caller's. It is entered
	// while opening only, which needs CAP_SYS_ADMIN.
	Netns string

	// A TAP that was there before gets back on Close what these changed.
	MTU      int       // 68 to 65521; 0 leaves it: 1500 for a new TAP
	Address  frame.MAC // of the interface, the kernel's end of the cable; zero leaves it: random for a new TAP
	QueueLen int       // frames that the kernel keeps for ReadFrames in each queue (txqueuelen); 0 leaves it: 1000 for a new TAP
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
// WriteFrames each from one at a time (see FrameIO); they are the first queue's,
// and Queues gives the others. The methods that look at or change the interface do
// so in the network namespace in which it was opened; a changed name is followed,
// and for an interface that has left that namespace they answer ENODEV. Frames pass
// in any namespace.
//
// A TAP that was there before OpenTAP, a persistent one or that of a File, is left
// as it was found: Close puts back the MTU, the address, the queue length, and up
// or down, if they were changed through this TAP, by TAPConfig or by a method, and
// by nobody else since. A process that is killed puts nothing back. Offloads and the
// form of the virtio header stay as OpenTAP set them: whoever attaches a TAP says
// what it wants of these.
type TAP struct {
	dev    tapDevice
	queues []*netQueue // the first is the TAP's own
}

var _ FrameIO = (*TAP)(nil)

// OpenTAP opens a TAP. Making one needs CAP_NET_ADMIN in the user namespace of
// its network namespace; attaching to a persistent TAP does not, if it was made
// for this user (ip tuntap add dev tap0 mode tap user NAME) and has what TAPConfig
// asks for already.
//
// The error says what is missing. It matches EINVAL for a TAPConfig that makes no
// sense or does not fit the TAP that there is, fs.ErrPermission without the right
// (EPERM, or syscall.EACCES for /dev/net/tun itself), ENOENT without /dev/net/tun,
// EBUSY for a TAP that is in use, and errors.ErrUnsupported on other systems.
func OpenTAP(cfg TAPConfig) (*TAP, error) {
	if reason := cfg.check(); reason != "" {
		return nil, refuse("open TAP", cfg.Name, EINVAL, reason)
	}
	dev, err := openTAP(cfg)
	if err != nil {
		return nil, tapError("open", cfg.Name, err)
	}
	t := &TAP{dev: dev}
	for _, end := range dev.ends() {
		t.queues = append(t.queues, newNetQueue(dev, end, tapError))
	}
	return t, nil
}

// check gives what is wrong with cfg, "" if nothing is.
func (cfg *TAPConfig) check() string {
	switch {
	case cfg.File != nil && (cfg.Name != "" || cfg.Netns != "" || cfg.Persist || cfg.Queues != 0):
		return "File says which TAP: Name, Netns, Persist and Queues stay empty"
	case cfg.Queues < 0 || cfg.Queues > maxTAPQueues:
		return "the number of queues is not between 0 and 256"
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

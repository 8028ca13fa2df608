package xdp

import (
	"math/bits"
	"strconv"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Config says which interfaces to open, and how much memory they share. Only Ports
// has to be set.
type Config struct {
	// Ports are the interfaces of the group, each once.
	Ports []PortConfig

	// ChunkSize is the room for a frame, 2048 or 4096 bytes; 0 is 2048 if that does
	// for the MTU of each interface, else 4096. A frame that comes in may be 256
	// bytes shorter than that, since the kernel keeps as much in front of it.
	ChunkSize int

	// Ring is how many frames may wait in each direction of a queue, a power of two
	// from 64 to 32768; 0 is 2048. A group takes 2*Ring+64 chunks for each queue of
	// each of its interfaces, which are locked in memory: 8.5 MB a queue, unless
	// set otherwise.
	Ring int

	// NoZeroCopy has the kernel copy each frame, as it does where a driver cannot
	// use the group's memory itself.
	NoZeroCopy bool
}

// PortConfig says which interface to open. Only Name has to be set.
type PortConfig struct {
	// Name of the interface, which exists and is an Ethernet.
	Name string

	// Netns is the path of the network namespace that holds the interface, such
	// as /run/netns/blue or /proc/4711/ns/net; "" is the caller's. It is entered
	// while opening only, which needs CAP_SYS_ADMIN.
	Netns string

	// Generic has the kernel run the program behind the driver, for any driver,
	// though this one can run it itself (native mode).
	Generic bool

	// NoPromisc leaves the interface's address filter as it is. A bridge needs
	// what is addressed to others, so without this the interface is promiscuous
	// while the port is open.
	NoPromisc bool

	// Up brings the interface up; Close takes it down again if it was down
	// before and is up then.
	Up bool
}

const (
	smallChunk, largeChunk = 2048, 4096
	defaultRing            = 2048
	minRing, maxRing       = 64, 32768

	// kernelRoom is what the kernel keeps in front of a frame (XDP_PACKET_HEADROOM).
	kernelRoom = 256

	// onWire is what a frame may have besides its MTU: a header and two tags.
	onWire = frame.HeaderLen + 2*frame.TagLen
)

// check gives what is wrong with cfg, "" if nothing is, and sets what is not set.
func (cfg *Config) check() string {
	if len(cfg.Ports) == 0 {
		return "Ports says which interfaces, and is empty"
	}
	seen := make(map[[2]string]bool)
	for _, p := range cfg.Ports {
		at := [2]string{p.Netns, p.Name}
		switch {
		case p.Name == "":
			return "a port's Name says which interface, and is empty"
		case seen[at]:
			return "the interface " + p.Name + " is in Ports twice"
		}
		seen[at] = true
	}
	if cfg.Ring == 0 {
		cfg.Ring = defaultRing
	}
	switch {
	case cfg.Ring < minRing || cfg.Ring > maxRing || bits.OnesCount(uint(cfg.Ring)) != 1:
		return "Ring is no power of two from 64 to 32768"
	case cfg.ChunkSize != 0 && cfg.ChunkSize != smallChunk && cfg.ChunkSize != largeChunk:
		return "ChunkSize is neither 2048 nor 4096"
	}
	return ""
}

// chunkFor is the size of a chunk for interfaces of which mtu is the largest MTU.
func (cfg *Config) chunkFor(mtu int) int {
	switch {
	case cfg.ChunkSize != 0:
		return cfg.ChunkSize
	case mtu+onWire <= smallChunk-kernelRoom:
		return smallChunk
	}
	return largeChunk
}

// Mode is where the kernel runs the program that hands frames to a port.
type Mode uint8

// The modes.
const (
	Native  Mode = iota + 1 // in the driver, before the kernel has made a packet of the frame
	Generic                 // behind the driver (SKB mode)
)

// String gives "native" or "generic".
func (m Mode) String() string {
	switch m {
	case Native:
		return "native"
	case Generic:
		return "generic"
	}
	return "Mode(" + strconv.Itoa(int(m)) + ")"
}

func refuse(reason string) error {
	return &bridge.OpError{Op: "open xdp group", Errno: bridge.EINVAL, Reason: reason}
}

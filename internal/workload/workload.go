// Package workload makes bridges that know stations, groups and VLANs, and the frames
// that such a network carries, for programs that measure what a frame costs. Nothing
// in it depends on chance or on the time of day: the same Config gives the same bridge
// and the same frames.
package workload

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Batch is how many frames a reader takes from a cable at a time.
const Batch = 64

// A Sink is a cable that takes everything and gives nothing, so that what is measured
// is the bridge.
type Sink struct{ frames atomic.Uint64 }

// ReadFrames answers that the cable has ended: who measures brings the frames himself.
func (s *Sink) ReadFrames([]frame.Frame) (int, error) { return 0, net.ErrClosed }

// WriteFrames counts the frames.
func (s *Sink) WriteFrames(fs []frame.Frame) (int, error) {
	s.frames.Add(uint64(len(fs)))
	return len(fs), nil
}

// Close does nothing: there is nothing to give back.
func (s *Sink) Close() error { return nil }

// Frames is how many frames were written to the cable.
func (s *Sink) Frames() uint64 { return s.frames.Load() }

// A Config says how large a network is.
type Config struct {
	Ports     int // at least 2
	Receiving int // receivers are behind so many ports, the first excepted; 0: all others
	Stations  int // half of them behind the first port, half behind the receiving ones
	VLANs     int // the stations are spread over VLANs 1 to this, in which every port is, tagged; 0: one VLAN, untagged
	Groups    int // multicast groups; with them snooping is on, and so is the querier
	Members   int // ports that are in each group, the second one first

	Bridge bridge.Config     // FDBLimit is raised to what the stations need
	Port   bridge.PortConfig // of every port
	Plain  bool              // the cables take a tag only in the data, as most drivers do
}

// A Network is a bridge whose ports lead to sinks.
type Network struct {
	Config
	Bridge *bridge.Bridge
	Ports  []*bridge.Port
	Sinks  []*Sink
	now    atomic.Int64 // ns
}

// New makes a network whose stations and groups are known. A Trace was set and taken
// away again. Unless Config.Bridge has a clock, time stands still until it is told to pass.
func New(c Config) (*Network, error) {
	n := &Network{Config: c}
	c.Bridge.FDBLimit = max(c.Bridge.FDBLimit, 2*c.Stations+2*c.Ports+1)
	if c.Bridge.Clock == nil {
		c.Bridge.Clock = n.time
	}
	if c.Bridge.Seed == 0 {
		c.Bridge.Seed = 1
	}
	if c.Groups > 0 {
		c.Bridge.McastSnooping = true
		c.Bridge.Attrs.McastHashMax = new(uint32(1 << 20))
		c.Bridge.Attrs.McastQueryResponseInterval = new(time.Millisecond)
	}
	if c.VLANs > 0 {
		c.Bridge.VLANFiltering = true
		c.Port.VLANs = []bridge.VLAN{{VID: 1}}
		if c.VLANs > 1 {
			c.Port.VLANs[0].End = frame.VID(c.VLANs)
		}
	}
	c.Port.Caps.TagAside = !c.Plain
	var err error
	if n.Bridge, err = bridge.New(c.Bridge); err != nil {
		return nil, err
	}
	for i := range c.Ports {
		s := &Sink{}
		p, err := n.Bridge.AddPort(fmt.Sprintf("p%d", i), s, c.Port)
		if err != nil {
			return nil, err
		}
		n.Ports, n.Sinks = append(n.Ports, p), append(n.Sinks, s)
	}
	if err := n.settle(); err != nil {
		return nil, err
	}
	n.Bridge.SetTrace(func(bridge.Step) {})
	n.Bridge.SetTrace(nil)
	return n, nil
}

func (n *Network) time() time.Time { return time.Unix(1000, n.now.Load()) }

// Pass has time go by, and runs what is due.
func (n *Network) Pass(d time.Duration) {
	n.now.Add(int64(d))
	n.Bridge.Tick(n.time())
}

// settle has every station and every member of a group say that it is there.
func (n *Network) settle() error {
	if n.Groups > 0 {
		if err := n.Bridge.Set(bridge.BridgeAttrs{McastQuerier: new(true)}); err != nil {
			return err
		}
		at, _ := n.Bridge.NextTimer()
		n.now.Add(int64(time.Minute))
		n.Bridge.Tick(at.Add(time.Second))
	}
	ins := make([]*bridge.Input, len(n.Ports))
	for i, p := range n.Ports {
		ins[i] = p.Input()
	}
	hello := []frame.Frame{Frame(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, frame.MAC{}, 64)} // learned, and goes nowhere
	for i := range n.Stations {
		at, src := n.behind(i), Address(i)
		copy(hello[0].Data[6:], src[:])
		hello[0].Tag = n.tag(i)
		if err := ins[at].Receive(hello); err != nil {
			return err
		}
	}
	for i := range n.Groups {
		join := []frame.Frame{Join(Address(i%max(n.Stations, 1)), Group(i))}
		for _, in := range ins[1 : 1+n.Members] {
			copy(join[0].Data[6:], []byte{2, 0xff, 0, 0, 0, byte(i)})
			if err := in.Receive(join); err != nil {
				return err
			}
		}
	}
	return nil
}

// behind is the number of the port that station i is behind: the first, or one of those
// that receive.
func (n *Network) behind(i int) int {
	receiving := n.Receiving
	if receiving == 0 {
		receiving = n.Config.Ports - 1
	}
	if i%2 == 0 {
		return 0
	}
	return 1 + i/2%receiving
}

// tag is the VLAN of station i.
func (n *Network) tag(i int) frame.Tag {
	if n.VLANs == 0 {
		return frame.Tag{}
	}
	return frame.Tag{TPID: frame.TypeDot1Q}.WithVID(frame.VID(1 + i/2%n.VLANs))
}

// Address is the address of station i.
func Address(i int) frame.MAC {
	return frame.MACFromUint64(0x020000000000 | uint64(i)*0x10001&0xffffffffff)
}

// Group is the address of multicast group i.
func Group(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{239, byte(1 + i>>16), byte(i >> 8), byte(i)})
}

// Frame is a frame of size bytes that nobody but the receiver understands.
func Frame(dst, src frame.MAC, size int) frame.Frame {
	d := make([]byte, size)
	copy(d, dst[:])
	copy(d[6:], src[:])
	d[12], d[13] = 0x88, 0xb5
	return frame.Frame{Data: d}
}

// frames is how many different frames a load goes through, again and again.
const frames = 4096

// Unicast are frames of size bytes, from random stations behind the first port to random
// ones behind the others and in the same VLAN, burst of one flow in a row.
func (n *Network) Unicast(size, burst int) []frame.Frame {
	r := rand.New(rand.NewPCG(1, 2))
	half, vlans := max(n.Stations/2, 1), max(n.VLANs, 1)
	fs := make([]frame.Frame, frames)
	for i := range fs {
		if i%burst != 0 {
			fs[i] = fs[i-1]
			continue
		}
		src := r.IntN(half)
		dst := src%vlans + vlans*r.IntN((half-src%vlans+vlans-1)/vlans)
		fs[i] = Frame(Address(2*dst+1), Address(2*src), size)
		fs[i].Tag = n.tag(2 * src)
	}
	return fs
}

// To are frames of size bytes from random stations behind the first port to one address.
func (n *Network) To(dst frame.MAC, size int) []frame.Frame {
	fs := n.Unicast(size, 1)
	for i := range fs {
		copy(fs[i].Data, dst[:])
	}
	return fs
}

// Multicast are frames from random stations behind the first port to random groups.
func (n *Network) Multicast() []frame.Frame {
	r := rand.New(rand.NewPCG(3, 4))
	fs := n.Unicast(64, 1)
	for i := range fs {
		fs[i] = Datagram(fs[i].Src(), Group(r.IntN(n.Groups)))
	}
	return fs
}

// Strangers are count frames to the address of nobody's group, each from a station that was
// never heard of: they are learned, and go nowhere.
func (n *Network) Strangers(first, count int) []frame.Frame {
	fs := make([]frame.Frame, count)
	for i := range fs {
		fs[i] = Frame(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, Address(n.Stations+first+i), 64)
	}
	return fs
}

// A Load is frames that come in by one port, again and again.
type Load struct {
	In     *bridge.Input
	Frames []frame.Frame // a multiple of Size
	Size   int           // of a batch
	at     int
}

// Load makes a load of frames that come in by the first port, in batches of Batch.
func (n *Network) Load(fs []frame.Frame) *Load {
	return &Load{In: n.Ports[0].Input(), Frames: fs, Size: Batch}
}

// Run carries count frames, a multiple of Size.
func (l *Load) Run(count int) {
	for ; count > 0; count -= l.Size {
		_ = l.In.Receive(l.Frames[l.at : l.at+l.Size])
		if l.at += l.Size; l.at == len(l.Frames) {
			l.at = 0
		}
	}
}

// Sent is how many frames were written to all cables.
func (n *Network) Sent() (total uint64) {
	for _, s := range n.Sinks {
		total += s.Frames()
	}
	return total
}

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// A network is a topology of whole bridges in virtual time.
type network struct {
	topo  *topology
	proto *protocol
	times times
	lab   *bridgetest.Lab
	rand  *rand.Rand // what happens; the lab has its own, for what faults do

	bridges []*bridge.Bridge // by node, hubs too
	up      []bool           // by node
	links   []*link
	hosts   []*bridgetest.Host // by bridge
	untold  bool               // bridges may have learned or kept what is wrong, and nobody says so
	echoed  bool               // what was cut in a mishap made echoes

	watch
	traffic
	trace io.Writer // nil: none
}

// A link is a cable of the topology and what is wrong with it.
type link struct {
	*bridgetest.Link
	cable
	n    int // its number in the topology
	ends [2]*end
	ways [2]*way // from a to b, and back
	cut  bool
}

// works says whether frames pass in both directions.
func (l *link) works() bool { return !l.cut && !l.ways[0].mute && !l.ways[1].mute }

// An end is a port between bridges.
type end struct {
	node  int
	name  string
	port  *bridge.Port
	state bridge.PortState // as the bridge's events told it
	lapse lapse
}

// A way is one direction of a cable between bridges.
type way struct {
	net    *network
	from   *end
	mute   bool          // nothing comes out, and no end knows
	loss   float64       // the share of BPDUs that is lost
	jitter time.Duration // frames are late by up to this, and overtake each other
	tokens float64
	last   time.Duration // when tokens was counted
}

// Storm control, as switches have it: of what is no BPDU, a cable passes a burst and
// then a few frames a second each way. Without it a storm would take all the time there
// is to simulate; with it a frame that circulates is seen by what is held back.
const (
	stormBurst = 64
	stormRate  = 50 // a second
)

// faulty is what becomes of a frame on its way (bridgetest.Fault).
func (w *way) faulty(f frame.Frame) (late time.Duration, arrives bool) {
	n := w.net
	n.peak = max(n.peak, n.lab.UnderWay()+1)
	dst, fate := f.Dst(), ""
	bpdu := dst[0] == 1 && dst[1] == 0x80 && dst[2] == 0xc2
	switch {
	case w.mute:
		fate = "lost"
	case bpdu && w.loss > 0 && n.lab.Rand().Float64() < w.loss:
		fate = "lost"
	case !bpdu && !w.admits():
		n.stormed++
		fate = "held back by storm control"
	case w.jitter > 0:
		late = time.Duration(n.lab.Rand().Int64N(int64(w.jitter)))
	}
	if bpdu {
		n.bpdus++
	} else {
		n.carried++
	}
	if n.trace != nil {
		n.tell("%s %s%s", w.from.name, describe(f), fate)
	}
	return late, fate == ""
}

// admits says whether storm control lets one more frame pass.
func (w *way) admits() bool {
	now := w.net.lab.Now()
	w.tokens = min(stormBurst, w.tokens+stormRate*(now-w.last).Seconds())
	w.last = now
	if w.tokens < 1 {
		return false
	}
	w.tokens--
	return true
}

// build makes the network, with every bridge down. Whoever gets it closes its lab.
func build(t *topology, p *protocol, seed uint64, trace io.Writer) (*network, error) {
	n := &network{topo: t, proto: p, times: p.times(t), rand: rand.New(rand.NewPCG(seed, 2)), trace: trace}
	lab, err := bridgetest.New(bridgetest.Config{Switches: n.switches(), Seed: seed})
	if err != nil {
		return nil, err
	}
	n.lab = lab
	if err := n.populate(); err != nil {
		lab.Close()
		return nil, err
	}
	return n, nil
}

// switches describes bridges whose identifiers are in an order of chance, by their
// addresses or by their priorities, and hubs: bridges without a spanning tree that learn
// nothing.
func (n *network) switches() []bridge.Config {
	cs := make([]bridge.Config, 0, n.topo.nodes())
	order, ranked := n.rand.Perm(n.topo.bridges), n.rand.IntN(3) > 0
	for i := range n.topo.bridges {
		c := bridge.Config{
			Name: fmt.Sprintf("b%d", i), Down: true,
			Address: frame.MAC{0x02, 0xbb, 0xff, 0, byte(order[i] >> 8), byte(order[i])},
		}
		if ranked {
			c.Priority = new(uint16(n.rand.IntN(16) << 12))
		}
		n.proto.bridge(&c, n.times)
		cs = append(cs, c)
	}
	for i := range n.topo.hubs {
		cs = append(cs, bridge.Config{Name: fmt.Sprintf("hub%d", i), AgeingTime: new(time.Duration(0))})
	}
	return cs
}

// populate plugs hosts and cables in.
func (n *network) populate() error {
	n.up = make([]bool, n.topo.nodes())
	for i := range n.topo.nodes() {
		if i < n.topo.bridges {
			n.bridges = append(n.bridges, n.lab.Switch(fmt.Sprintf("b%d", i)))
			h, err := n.lab.AddHost(bridgetest.HostConfig{Name: fmt.Sprintf("h%d", i), Switch: fmt.Sprintf("b%d", i), Port: n.proto.hostPort(i)})
			if err != nil {
				return err
			}
			n.hosts = append(n.hosts, h)
			continue
		}
		n.bridges = append(n.bridges, n.lab.Switch(fmt.Sprintf("hub%d", i-n.topo.bridges)))
		n.up[i] = true
	}
	alike := n.rand.IntN(2) == 0
	if n.topo.diameter() > longest/2 { // the cheapest way could have more hops than BPDUs travel
		alike = true
	}
	for i, c := range n.topo.cables {
		if err := n.plug(i, c, alike); err != nil {
			return err
		}
	}
	n.watch.start(n)
	return nil
}

// plug makes a cable; alike: its ports cost what all others do.
func (n *network) plug(i int, c cable, alike bool) error {
	l := &link{cable: c, n: i}
	var ends [2]bridgetest.End
	costs := n.proto.costs()
	for side, node := range [...]int{c.a, c.b} {
		l.ends[side] = &end{node: node, name: fmt.Sprintf("%s.c%d%c", n.bridges[node].Name(), i, 'a'+side)}
		l.ways[side] = &way{net: n, from: l.ends[side], tokens: stormBurst}
		ends[side] = bridgetest.End{Switch: n.bridges[node].Name(), PortName: l.ends[side].name}
		if node < n.topo.bridges {
			other := c.a + c.b - node
			cost := costs[len(costs)-1]
			if !alike {
				cost = costs[n.rand.IntN(len(costs))]
			}
			ends[side].Port = n.proto.port(other >= n.topo.bridges, cost)
		}
	}
	k, err := n.lab.Connect(bridgetest.Cable{A: ends[0], B: ends[1]})
	if err != nil {
		return err
	}
	l.Link = k
	k.Impair(l.ways[0].faulty, l.ways[1].faulty)
	l.ends[0].port, l.ends[1].port = k.Ports()
	n.links = append(n.links, l)
	return nil
}

// powerOn brings the bridges up one by one, by chance within d.
func (n *network) powerOn(d time.Duration) {
	for i := range n.topo.bridges {
		n.lab.After(time.Duration(n.rand.Int64N(int64(d)+1)), func() { n.setUp(i, true) })
	}
}

// setUp brings a bridge up or down. Its cables keep their carrier.
func (n *network) setUp(node int, up bool) {
	if n.trace != nil {
		n.tell("%s up: %v", n.bridges[node].Name(), up)
	}
	n.up[node] = up
	n.must(n.bridges[node].SetUp(up))
	n.touch()
}

// setCut cuts or mends a cable.
func (n *network) setCut(l *link, cut bool) {
	if n.trace != nil {
		n.tell("cable %d (%s - %s) cut: %v", l.n, l.ends[0].name, l.ends[1].name, cut)
	}
	l.cut = cut
	if cut {
		n.must(l.Cut())
	} else {
		n.must(l.Mend())
	}
	n.touch()
}

// setWay makes one direction of a cable faulty.
func (n *network) setWay(l *link, side int, mute bool, loss float64, jitter time.Duration) {
	w := l.ways[side]
	w.mute, w.loss, w.jitter = mute, loss, jitter
	if n.trace != nil {
		n.tell("cable %d from %s: mute %v, loss of BPDUs %.2f, jitter %v", l.n, w.from.name, mute, loss, jitter)
	}
	n.touch()
}

// must takes what cannot fail: the bridges are open, and nothing is called from inside
// a batch.
func (n *network) must(err error) {
	if err != nil {
		panic(err)
	}
}

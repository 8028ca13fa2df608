package bridge

import (
	"sync"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// PortConfig is how a port joins. The zero PortConfig is a port as Linux adds it.
type PortConfig struct {
	Address   frame.MAC // of the port's device; zero: one is made up. Frames to it end at the host
	MTU       int       // of the port's device, 68 to 65521; 0: 1500
	Down      bool      // the device is administratively down
	NoCarrier bool

	NoLearning, NoFlood        bool // learning off, flood off
	NoMcastFlood, NoBcastFlood bool // mcast_flood off, bcast_flood off
	Hairpin, Isolated          bool
	Locked, MAB, ProxyARP      bool
	GroupFwdMask               uint16
	Priority                   *int // 0 to 63; nil: 32
	Cost                       int  // 1 to 65535; 0: from Speed
	Speed                      int  // of the link, in Mb/s, see Port.SetSpeed; 0: not known

	VLANs []VLAN // nil: the bridge's default PVID; else exactly these, none if empty

	// Attrs is any other setting, and overrules those above. A State counts once the
	// link has been looked at.
	Attrs PortAttrs

	Caps     Caps      // what the cable takes
	Queues   []FrameIO // further queues of the same cable; each gets a reader, and Input i writes to queue i mod n
	FDBLimit int       // addresses learned on this port at most; at it a new one evicts another of the port; 0: no limit of its own

	// Lost counts the frames that were meant for the port and lost before
	// ReadFrames could give them, such as by a full queue in front of it (Pipe.Lost);
	// nil: it cannot be known. Whoever asks for statistics calls it.
	Lost func() uint64

	// OnPass gets the link-local frames that Linux hands to the port's own stack
	// (LLDP, LACP, EAPOL, with STP on also BPDUs). It runs on the goroutine that
	// carries the frame: it must be quick, must not keep f.Data, and must not call
	// the Bridge. Nil: they are counted in RxDropped, but for those with a length instead
	// of a type, which Linux's LLC always takes.
	OnPass func(p *Port, f frame.Frame)
}

// Port numbers are 1 to maxPorts; 0 is the bridge itself.
const maxPorts = 1023

const (
	minMTU     = 68
	defaultMTU = 1500
	maxPortMTU = 65521 // of a TAP
	maxMTU     = 65535
)

// Port is one port of a bridge. A removed Port stays as a value that refuses. All
// methods may be called by any goroutine.
type Port struct {
	b        *Bridge
	name     string
	num      int
	caps     Caps
	fdbLimit int
	onPass   func(p *Port, f frame.Frame)
	lost     func() uint64
	errRunt  error // what Receive answers, made once: a guest may ask for it at line rate
	errDown  error
	queues   []*queue
	tx       txCounters
	ended    atomic.Pointer[error]          // what ended the cable
	failing  atomic.Bool                    // the cable has ended
	downs    atomic.Int32                   // how many of queues are down
	mcast    atomic.Pointer[snoop.Counters] // nil before snooping knows the port
	evicted  atomic.Uint64                  // entries that a limit took from it
	left     atomic.Bool                    // the port has left, or the bridge is closed

	easy struct {
		sync.Mutex // guards in, and lets one Receive in at a time
		in         *Input
	}

	mu     sync.Mutex // guards the rest
	inputs []*Input   // whose counters are this port's
	device *PortInfo  // the device of a port that has left
}

// Name is the name under which the port joined.
func (p *Port) Name() string { return p.name }

// Bridge is the bridge that the port joined.
func (p *Port) Bridge() *Bridge { return p.b }

// Info gives the port's settings and state.
func (p *Port) Info() PortInfo {
	pc, status := p.b.spanning.port(p)
	if pc == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return *p.device
	}
	i := pc.info
	i.Carrier = pc.flags.has(flagCarrier)
	i.fill(&status)
	i.Failed = p.failure()
	p.b.snooping.fillPort(p.num, &i)
	return i
}

func (p *Port) failure() error {
	if err := p.ended.Load(); err != nil {
		return *err
	}
	return nil
}

// Stats gives the port's counters.
func (p *Port) Stats() (s PortStats) {
	s.Egress, s.Ingress.Lost = p.tx.ledger(), lostBefore(p.lost)
	s.FDBEvicted = p.evicted.Load()
	s.STP = p.b.spanning.portStats(p)
	s.TxPackets, s.TxBytes = s.Egress.Sent, p.tx.bytes.Load()
	s.TxDropped = s.Egress.Refused[DropQueueFull] + s.Egress.Refused[DropPortGone]
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, in := range p.inputs {
		in.ctr.addTo(&s.Ingress)
		s.RxBytes += in.ctr.bytes.Load()
		s.RxDropped += in.ctr.unwanted.Load()
	}
	atDoor := s.Ingress.Dropped[DropRunt] + s.Ingress.Dropped[DropLinkDown] + s.Ingress.Dropped[DropNotServed]
	s.RxPackets = s.Ingress.Received - atDoor
	return s
}

// SetLink says whether the port's device is administratively up and has a carrier.
// A port without either is DISABLED and forgets what it learned; with both it is
// FORWARDING again, whatever its state was set to before. A call that changes
// neither has no effect.
func (p *Port) SetLink(up, carrier bool) error {
	var before PortInfo
	return p.onDevice("set link", func(i *PortInfo) error {
		before = *i
		i.Up, i.Carrier = up, carrier
		return nil
	}, func(x *tx) {
		switch {
		case !x.cfg.info.Up:
		case before.Up && !up: // NETDEV_DOWN, also for a port that is disabled already
			x.treeDisable(p)
		case !before.Up && x.running(p): // NETDEV_UP
			x.treeEnable(p)
		case before.Carrier != carrier:
			x.link(p)
		}
	})
}

// SetSpeed says how fast the port's link is, in Mb/s, 0 if that is not known; EINVAL for
// less. While it is up the path cost follows, unless somebody has set that: from the next
// time on that the spanning tree chooses its root port.
func (p *Port) SetSpeed(mbps int) error {
	return p.onDevice("set speed", func(i *PortInfo) error {
		if mbps < 0 {
			return refuse("set speed", p.name, EINVAL, "a speed must not be negative")
		}
		i.Speed = mbps
		return nil
	}, func(x *tx) { x.followSpeed(p) })
}

// SetMTU sets the MTU of the port's device, 68 to 65521 (else EINVAL): the longest
// frame that leaves is 18 bytes longer. The bridge's own MTU follows the smallest
// until somebody sets it. An EventWarning says that it is not that of another port.
func (p *Port) SetMTU(mtu int) error {
	return p.onDevice("set mtu", func(i *PortInfo) error {
		if mtu < minMTU || mtu > maxPortMTU {
			return refuse("set mtu", p.name, EINVAL, "MTU must be 68 to 65521")
		}
		i.MTU = mtu
		return nil
	}, func(x *tx) {
		if err := mtuDiffers(x.cfg.conf(p), x.cfg.ports); err != nil {
			x.events = append(x.events, Event{Kind: EventWarning, Port: p.name, Err: err})
		}
	})
}

// SetAddress sets the address of the port's device, which frames to the host may
// bear. EADDRNOTAVAIL: not the address of a station.
func (p *Port) SetAddress(a frame.MAC) error {
	if !a.IsValid() {
		return refuse("set address", p.name, EADDRNOTAVAIL, "not the address of a station")
	}
	return p.onDevice("set address", func(i *PortInfo) error { i.Address = a; return nil },
		func(x *tx) { x.setPortAddress(p, a) })
}

// onDevice changes the port's device, which outlives the port, and then the port.
func (p *Port) onDevice(op string, fn func(*PortInfo) error, then func(*tx)) error {
	return p.b.change(op, p.name, func(x *tx) error {
		if x.cfg.conf(p) == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			return fn(p.device)
		}
		next := x.cfg.conf(p).info
		if err := fn(&next); err != nil {
			return err
		}
		pc := x.edit(p)
		next.Address = pc.info.Address // has its own way, setPortAddress
		pc.info = next
		pc.derive()
		if then != nil {
			then(x)
		}
		return nil
	})
}

// build makes the first portConf of a port, with Linux's defaults.
func (x *tx) build(p *Port, c *PortConfig) (*portConf, error) {
	pc := &portConf{p: p, num: p.num, vlans: &noVLANs, info: PortInfo{
		Name: p.name, Attached: true, No: p.num,
		Address: c.Address, MTU: c.MTU, Up: !c.Down, Carrier: !c.NoCarrier,
		Priority: 32, Cost: pathCost(c.Speed), Speed: c.Speed, AutoEdge: true, McastEHTHostsLimit: 512,
	}}
	i := &pc.info
	if i.MTU == 0 {
		i.MTU = defaultMTU
	}
	if i.Address.IsZero() {
		i.Address = x.b.madeUpAddress()
	}
	switch {
	case !i.Address.IsValid():
		return nil, x.refuse(EINVAL, "the port's address is a group address")
	case i.MTU < minMTU || i.MTU > maxPortMTU:
		return nil, x.refuse(EINVAL, "MTU must be 68 to 65521")
	case c.Speed < 0:
		return nil, x.refuse(EINVAL, "a speed must not be negative")
	case c.FDBLimit < 0:
		return nil, x.refuse(EINVAL, "FDBLimit must not be negative")
	}
	for _, vl := range c.VLANs {
		if why := vl.check(); why != "" {
			return nil, x.refuse(EINVAL, why)
		}
	}
	return pc, nil
}

// attrs is the settings that a PortConfig names in words of its own.
func (c *PortConfig) attrs() PortAttrs {
	a := PortAttrs{
		Learning: new(!c.NoLearning), Flood: new(!c.NoFlood),
		McastFlood: new(!c.NoMcastFlood), BcastFlood: new(!c.NoBcastFlood),
		Hairpin: &c.Hairpin, Isolated: &c.Isolated, Locked: &c.Locked, MAB: &c.MAB,
		ProxyARP: &c.ProxyARP, GroupFwdMask: &c.GroupFwdMask, Priority: c.Priority,
	}
	if c.Cost != 0 {
		a.Cost = &c.Cost
	}
	return a
}

package bridge

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
	"github.com/ddfb540f/bridge/stp"
)

// Config is how a bridge is made. The zero Config is a bridge as Linux makes it,
// but for two defaults that are ours: FDBLimit, and multicast snooping off.
type Config struct {
	Name     string    // "" is "br0"; used in errors and traces
	Address  frame.MAC // of the bridge's own device; zero: the lowest of the ports, as they come and go
	MTU      int       // of the bridge's own device, 68 to 65535; 0: the smallest of the ports
	Down     bool      // the bridge's own device is down: nothing is bridged
	Promisc  bool      // the host gets a copy of everything
	AllMulti bool
	NoARP    bool // `arp off`: no ARP request is answered or suppressed

	AgeingTime   *time.Duration // nil: 300 s; 0 or less: nothing is learned
	ForwardDelay *time.Duration // nil: 15 s
	HelloTime    *time.Duration // nil: 2 s
	MaxAge       *time.Duration // nil: 20 s
	Priority     *uint16        // nil: 32768
	STPState     int            // see BridgeAttrs.STPState
	STPMode      STPMode        // see BridgeAttrs.STPMode

	VLANFiltering    bool
	VLANProtocol     frame.EtherType // 0: 802.1Q
	VLANDefaultPVID  *frame.VID      // nil: 1
	VLANStats        bool
	VLANStatsPerPort bool
	VLANs            []VLAN // of the bridge's own device; nil: the default PVID; else exactly these
	MSTEnabled       bool   // see BridgeAttrs.MSTEnabled

	GroupFwdMask     uint16
	GroupAddress     frame.MAC // zero: 01:80:c2:00:00:00
	NoLinkLocalLearn bool
	WireMode         bool // see Bridge.SetWireMode

	McastSnooping bool // unlike in Linux it has to be turned on
	McastQuerier  bool // see BridgeAttrs.McastQuerier

	FDBMaxLearned uint32 // Linux's limit on learned addresses; 0: none
	FDBLimit      int    // the library's; 0: 65536. At it a new address evicts one of the port that holds most

	Filters []Filter // see Bridge.SetFilters

	// Attrs is any other setting, and overrules those above.
	Attrs BridgeAttrs

	Kernel Kernel           // the release modelled; zero is the newest described
	Host   Host             // asked for neighbours and addresses; nil: a host without any, and without VLAN devices
	Clock  func() time.Time // called by several goroutines; nil: time.Now
	Seed   uint64           // decides made-up addresses; 0: random
	Trace  Trace            // nil: none
}

var defaultGroupAddress = frame.MAC{0x01, 0x80, 0xc2, 0, 0, 0}

// Bridge is a Linux bridge. All methods may be called by any goroutine; a
// configuration call is over when it returns: no frame is under way that was
// decided by what held before.
type Bridge struct {
	name      string
	clock     func() time.Time
	start     time.Time
	stack     Host // nil: none
	fdbLimit  int
	cfg       atomic.Pointer[config]
	fdb       FDB
	events    events
	trace     atomic.Pointer[Trace]
	host      host
	snooping  snooping
	spanning  spanning
	outbox    outbox
	sender    sender
	unsettled unsettled
	downs     atomic.Int32 // how many cables are down

	// changing orders the calls that wait for batches to end; taken before mu. A
	// channel, since its holder sleeps and a testing/synctest bubble must see that.
	changing chan struct{}

	mu   sync.Mutex // guards the making of the next config, and the fields below
	rand *rand.Rand
	txs  uint64 // how many transactions there were

	inputsMu sync.Mutex // guards inputs
	inputs   []*Input   // whose batches a change waits for; replaced, never edited

	collecting sync.Mutex    // guards collections, and the writing of gcAt by them
	collected  uint64        // how many collections began; the last one says when the next is due
	gcAt       atomic.Int64  // stamp at which the collector is due
	wake       chan struct{} // tells Serve's timer that gcAt came nearer
	serve      serving
}

// New makes a bridge without ports. It starts nothing. Errors are those of
// Bridge.Set for the same value, and EADDRNOTAVAIL or EINVAL for a bad address or
// MTU.
func New(c Config) (*Bridge, error) {
	b := &Bridge{name: c.Name, clock: c.Clock, stack: c.Host, fdbLimit: c.FDBLimit,
		changing: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	if b.name == "" {
		b.name = "br0"
	}
	if b.clock == nil {
		b.clock = time.Now
	}
	if b.fdbLimit <= 0 {
		b.fdbLimit = defaultFDBLimit
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	b.rand = rand.New(rand.NewPCG(c.Seed, 0))
	b.start = b.clock()
	b.fdb.init(b, b.rand.Uint64(), b.rand.Uint64())
	b.host.init(b)
	b.serve.init()
	rules := rulesOf(c.Kernel)
	b.snooping.init(b, snoop.Rules{
		Sources: rules.mcastSources, MaxGroups: rules.maxGroups, ReplaceHost: rules.mcastHostReplace, DumpAlways: rules.mcastDumpOff,
	}, b.rand.Uint64())
	b.spanning.init(b)
	b.events.more = b.poke
	if c.Trace != nil {
		b.trace.Store(&c.Trace)
	}
	cfg := b.firstConfig(&c)
	b.cfg.Store(cfg)
	b.gcAt.Store(100) // the collector starts 100 ms after the bridge is up
	if _, err := b.publish("new", b.name, func(x *tx) error { return x.configure(&c) }); err != nil {
		return nil, err
	}
	return b, nil
}

// What no change has copied yet.
var (
	noVLANs   vlanGroup
	noMasters vlanMasters
)

// firstConfig is Linux's defaults.
func (b *Bridge) firstConfig(c *Config) *config {
	cfg := &config{rules: rulesOf(c.Kernel), self: &noVLANs, masters: &noMasters, byNum: make([]*portConf, 1)}
	cfg.info = BridgeInfo{
		Name: b.name, AddressAuto: true, MTU: defaultMTU, MTUAuto: true, Up: !c.Down, Carrier: true,
		AgeingTime: 300 * time.Second, ForwardDelay: 15 * time.Second, HelloTime: 2 * time.Second, MaxAge: 20 * time.Second,
		Priority: 0x8000, TxHoldCount: stp.DefaultRapidOptions.HoldCount, VLANProtocol: frame.TypeDot1Q, VLANDefaultPVID: 1, GroupAddress: defaultGroupAddress,
	}
	cfg.ownAgeing = cfg.info.AgeingTime
	cfg.derive()
	return cfg
}

// configure applies a Config to a new bridge.
func (x *tx) configure(c *Config) error {
	a := BridgeAttrs{
		AgeingTime: c.AgeingTime, ForwardDelay: c.ForwardDelay, HelloTime: c.HelloTime, MaxAge: c.MaxAge,
		Priority: c.Priority, STPState: &c.STPState, STPMode: &c.STPMode, VLANFiltering: &c.VLANFiltering,
		VLANDefaultPVID: c.VLANDefaultPVID, VLANStats: &c.VLANStats, VLANStatsPerPort: &c.VLANStatsPerPort,
		GroupFwdMask: &c.GroupFwdMask, NoLinkLocalLearn: &c.NoLinkLocalLearn, FDBMaxLearned: &c.FDBMaxLearned,
		MSTEnabled: &c.MSTEnabled, McastSnooping: &c.McastSnooping, McastQuerier: &c.McastQuerier,
	}
	if c.VLANProtocol != 0 {
		a.VLANProtocol = &c.VLANProtocol
	}
	if !c.GroupAddress.IsZero() {
		a.GroupAddress = &c.GroupAddress
	}
	i := &x.cfg.info
	i.Promisc, i.AllMulti, i.NoARP, i.WireMode = c.Promisc, c.AllMulti, c.NoARP, c.WireMode
	if err := x.setFilters(c.Filters); err != nil {
		return err
	}
	if err := x.setBridge(&a); err != nil {
		return err
	}
	switch {
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU):
		return x.refuse(EINVAL, "MTU must be 68 to 65535")
	case c.MTU != 0:
		i.MTU, i.MTUAuto = c.MTU, false
	}
	switch {
	case c.Address.IsZero():
		x.setBridgeAddress(x.b.madeUpAddress())
	case !c.Address.IsValid():
		return x.refuse(EADDRNOTAVAIL, "not the address of a station")
	default:
		i.AddressAuto = false
		x.setBridgeAddress(c.Address)
	}
	vs := c.VLANs
	if vs == nil && i.VLANDefaultPVID != 0 {
		vs = Access(i.VLANDefaultPVID)
	}
	for _, vl := range vs {
		if why := vl.check(); why != "" {
			return x.refuse(EINVAL, why)
		}
	}
	vlanDev{x, nil}.set(vs)
	if i.Up {
		x.treeUp(true)
		x.snoopUp(true)
	}
	return x.setBridge(&c.Attrs)
}

// madeUpAddress is a random locally administered address (eth_random_addr).
// b.mu must be held.
func (b *Bridge) madeUpAddress() frame.MAC {
	m := frame.MACFromUint64(b.rand.Uint64())
	m[0] = m[0]&^1 | 2
	return m
}

// stamp is now in ms since New; a clock that is set back before that stands still.
func (b *Bridge) stamp() stamp { return max(stampOf(b.clock().Sub(b.start)), 0) }

// Name is the bridge's name.
func (b *Bridge) Name() string { return b.name }

// FDB is the forwarding database.
func (b *Bridge) FDB() *FDB { return &b.fdb }

// Info gives all settings and the state of the bridge.
func (b *Bridge) Info() BridgeInfo {
	i := b.spanning.info()
	i.FDBLearned = b.fdb.Learned()
	b.snooping.fill(&i)
	return i
}

// Port finds a port by its name; nil if there is none.
func (b *Bridge) Port(name string) *Port {
	for _, pc := range b.cfg.Load().ports {
		if pc.p.name == name {
			return pc.p
		}
	}
	return nil
}

// Ports lists the ports, the first that joined first.
func (b *Bridge) Ports() []*Port {
	cfg := b.cfg.Load()
	ps := make([]*Port, 0, len(cfg.ports))
	for _, pc := range slices.Backward(cfg.ports) {
		ps = append(ps, pc.p)
	}
	return ps
}

// SetTrace has every frame watched by t from the next batch on; nil ends it. Batches
// that are under way go on as they began.
func (b *Bridge) SetTrace(t Trace) {
	if t == nil {
		b.trace.Store(nil)
		return
	}
	b.trace.Store(&t)
}

// AddPort makes a cable's end a port, in one step: no frame passes under half of
// its configuration (br_add_if). While Serve runs, a reader is started. The
// FrameIO is the bridge's from then on, who closes it; if AddPort refuses it stays
// the caller's. A port whose MTU differs from another's joins with an EventWarning.
// Errors: EINVAL for a nil io, an empty name and bad values, EBUSY
// for a name or a FrameIO that is in use, EXFULL for the 1024th port.
func (b *Bridge) AddPort(name string, io FrameIO, c PortConfig) (*Port, error) {
	p := &Port{b: b, name: name, caps: c.Caps, fdbLimit: c.FDBLimit, onPass: c.OnPass, lost: c.Lost}
	p.errRunt = refuse("receive", name, EINVAL, "a frame has 14 bytes at least")
	p.errDown = refuse("receive", name, EIO, "the port's device is down")
	for _, q := range append([]FrameIO{io}, c.Queues...) {
		p.queues = append(p.queues, newQueue(p, q))
	}
	err := b.change("add port", name, func(x *tx) error {
		for _, q := range p.queues {
			if q.io == nil {
				return x.refuse(EINVAL, "the FrameIO is nil")
			}
		}
		for i, q := range p.queues {
			if x.inUse(q.io) || slices.ContainsFunc(p.queues[:i], func(r *queue) bool { return sameIO(q.io, r.io) }) {
				return x.refuse(EBUSY, "the FrameIO is plugged in already")
			}
		}
		switch {
		case name == "" || name == b.name:
			return x.refuse(EINVAL, "a port needs a name of its own")
		case x.portNamed(name) != nil:
			return x.refuse(EBUSY, "there is a port of this name")
		}
		return x.join(p, &c)
	})
	if err != nil {
		return nil, err
	}
	b.serve.whileRunning(func() { b.startReaders(p) })
	return p, nil
}

// inUse says whether a cable is plugged in somewhere: it has one reader and one
// writer.
func (x *tx) inUse(io FrameIO) bool {
	if c := x.b.host.cable.Load(); c != nil && !c.ended.Load() && sameIO(c.io, io) {
		return true
	}
	return slices.ContainsFunc(x.cfg.ports, func(pc *portConf) bool {
		return slices.ContainsFunc(pc.p.queues, func(q *queue) bool { return sameIO(q.io, io) })
	})
}

// sameIO compares what can be compared; a FrameIO that is no pointer is its own.
func sameIO(a, b FrameIO) bool {
	t := reflect.TypeOf(a)
	return t == reflect.TypeOf(b) && t.Comparable() && a == b
}

// mtuDiffers warns of a port whose MTU is not that of the others: a bridge does not
// fragment, and tells nobody that a frame was too long.
func mtuDiffers(pc *portConf, others []*portConf) error {
	for _, other := range others {
		if other.mtu != pc.mtu {
			return fmt.Errorf("its MTU is %d, that of %s is %d: longer frames are dropped there without a word; give all ports one MTU", pc.mtu, other.p.name, other.mtu)
		}
	}
	return nil
}

// join puts a port in the next config, as the newest, under the lowest free
// number.
func (x *tx) join(p *Port, c *PortConfig) error {
	for p.num = 1; p.num < len(x.cfg.byNum) && x.cfg.byNum[p.num] != nil; p.num++ {
	}
	if p.num > maxPorts {
		return x.refuse(EXFULL, "a bridge has 1023 ports at most")
	}
	pc, err := x.build(p, c)
	if err != nil {
		return err
	}
	x.insert(pc)
	x.told, x.before = make([]func(*snoop.Machine, time.Duration), 0, 8), make([]func(), 0, 4) // as many as there mostly are
	x.snoopPort(p)
	x.before = append(x.before, func() {
		x.b.fdb.addPort(p)
		x.b.events.post(Event{Kind: EventPortAdd, Port: p.name})
		if err := mtuDiffers(pc, x.old.ports); err != nil {
			x.b.events.post(Event{Kind: EventWarning, Port: p.name, Err: err})
		}
	})
	named := c.attrs()
	if err := x.setPort(p, &named); err != nil {
		return err
	}
	if why, no := x.checkPort(p, &c.Attrs); why != "" {
		return x.refuse(no, why)
	}
	x.treePort(p)
	x.addLocal(p, pc.info.Address, 0)
	vs := c.VLANs
	if vs == nil && x.cfg.info.VLANDefaultPVID != 0 {
		vs = Access(x.cfg.info.VLANDefaultPVID)
	}
	vlanDev{x, p}.first(vs)
	x.readdress = true
	x.recalculate()
	x.link(p)
	return x.setPort(p, &c.Attrs)
}

// RemovePort takes a port out of the bridge (br_del_if): what it learned goes, its
// number is free again, its cable is closed. Its reader ends by itself. Error:
// EINVAL for a port that is not of this bridge.
func (b *Bridge) RemovePort(p *Port) error {
	if p == nil {
		return refuse("remove port", b.name, EINVAL, "the port is nil")
	}
	return b.change("remove port", p.name, func(x *tx) error {
		pc := x.cfg.conf(p)
		if pc == nil {
			return x.refuse(EINVAL, "not a port of this bridge")
		}
		x.own()
		x.treePortGone(p)
		pc = x.cfg.conf(p)
		x.cfg.byNum[p.num] = nil
		x.cfg.ports = slices.DeleteFunc(x.cfg.ports, func(q *portConf) bool { return q == pc })
		pc.vlans.each(x.leaveVLAN)
		for _, q := range x.cfg.ports {
			if q.backup == p.num {
				q := x.edit(q.p)
				q.backup, q.info.BackupPort = 0, ""
			}
		}
		p.mu.Lock()
		p.device = &PortInfo{Name: p.name, Address: pc.info.Address, MTU: pc.info.MTU, Up: pc.info.Up, Carrier: pc.flags.has(flagCarrier), Speed: pc.info.Speed}
		p.mu.Unlock()
		x.snoopPortGone(p)
		x.readdress = true
		x.after = append(x.after, func() {
			b.fdb.purgePort(x.cfg, p)
			b.forget(p)
			p.closeCables()
			b.events.post(Event{Kind: EventPortRemove, Port: p.name})
		})
		return nil
	})
}

// SetUp brings the bridge's own device up or down. While it is down every port is
// DISABLED and nothing ages. To say what it is already has no effect.
func (b *Bridge) SetUp(up bool) error {
	return b.change("set up", b.name, func(x *tx) error {
		if up == x.cfg.info.Up {
			return nil
		}
		if up {
			b.gcAt.Store(int64(stampOf(x.now)) + 100)
			b.poke()
		}
		x.cfg.info.Up = up
		if up {
			x.snoopUp(true)
		}
		x.treeUp(up)
		if !up {
			x.snoopUp(false)
		}
		return nil
	})
}

// SetMTU sets the MTU of the bridge's own device, 68 to 65535 (else EINVAL), once
// and for all: it no longer follows the ports. Setting the value that it has
// changes nothing, not even that.
func (b *Bridge) SetMTU(mtu int) error {
	return b.change("set mtu", b.name, func(x *tx) error {
		if mtu < minMTU || mtu > maxMTU {
			return x.refuse(EINVAL, "MTU must be 68 to 65535")
		}
		if mtu != x.cfg.info.MTU {
			x.cfg.info.MTU, x.cfg.info.MTUAuto = mtu, false
		}
		return nil
	})
}

// SetAddress sets the address of the bridge's own device, which then no longer
// follows the ports. EADDRNOTAVAIL: zero or a group address.
func (b *Bridge) SetAddress(a frame.MAC) error {
	return b.change("set address", b.name, func(x *tx) error {
		if !a.IsValid() {
			return x.refuse(EADDRNOTAVAIL, "not the address of a station")
		}
		x.cfg.info.AddressAuto = false
		x.setBridgeAddress(a)
		return nil
	})
}

// SetAddressAuto makes the address the lowest of the ports again, as it is for a
// bridge whose address nobody set.
func (b *Bridge) SetAddressAuto() error {
	return b.change("set address", b.name, func(x *tx) error {
		x.cfg.info.AddressAuto, x.readdress = true, true
		return nil
	})
}

// SetPromisc makes the bridge's own device promiscuous: the host gets a copy of
// every frame that is forwarded, of any VLAN.
func (b *Bridge) SetPromisc(on bool) error {
	return b.change("set promisc", b.name, func(x *tx) error { x.cfg.info.Promisc = on; return nil })
}

// SetAllMulti has the host get every multicast frame also where snooping would
// keep it away; without snooping it gets them anyway.
func (b *Bridge) SetAllMulti(on bool) error {
	return b.change("set allmulti", b.name, func(x *tx) error { x.cfg.info.AllMulti = on; return nil })
}

// SetNoARP is `arp off` for the bridge's own device: while it is on the bridge takes
// no notice of ARP. IPv6 does not mind.
func (b *Bridge) SetNoARP(on bool) error {
	return b.change("set arp", b.name, func(x *tx) error { x.cfg.info.NoARP = on; return nil })
}

// SetWireMode has the bridge pass what a wire would, and what Linux has no setting
// for: frames to 01:80:c2:00:00:00, 01 and 02 (spanning tree, pause frames, LACP) are
// forwarded like any multicast, so that the devices on both sides can speak to each
// other. While STP is on those to 00 stay with the bridge. For the addresses up to 0f
// there is GroupFwdMask. Off unless Config.WireMode turns it on.
func (b *Bridge) SetWireMode(on bool) error {
	return b.change("set wire mode", b.name, func(x *tx) error { x.cfg.info.WireMode = on; return nil })
}

// Close ends the bridge: every cable is closed, Serve returns once its goroutines
// have ended, and every further configuration call answers an error matching
// net.ErrClosed. It may be called more than once; from inside a batch it answers
// ErrInBatch.
func (b *Bridge) Close() error {
	err := b.change("close", b.name, func(x *tx) error {
		x.cfg.closed = true
		x.after = append(x.after, func() {
			defer close(b.serve.shut)
			b.serve.stop()
			for _, pc := range x.cfg.ports {
				b.forget(pc.p)
				pc.p.closeCables()
			}
			b.host.close()
		})
		return nil
	})
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

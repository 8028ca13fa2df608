package bridge

import (
	"net"
	"runtime"
	"slices"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// config is everything that decides about a frame and is not learned from frames:
// a value behind one atomic pointer, never changed once it is published.
type config struct {
	hold            stamp  // how long an idle entry lives (hold_time); 0 or less: nothing is learned
	required        uint16 // group_fwd_mask_required, and what wire mode adds
	rules           rules  // what the modelled kernel does and does not
	hooks           *hooks // the filters, by point; nil: none
	filters         []Filter
	filterCounters  []*filterCounters // of filters
	closed          bool
	groupAddressSet bool // somebody set the group address: it no longer follows the VLAN protocol
	info            BridgeInfo
	self            *vlanGroup
	masters         *vlanMasters // what the members of each VLAN have in common
	ports           []*portConf  // newest first: the order in which floods visit them
	byNum           []*portConf  // by port number; nil where there is none
	shelf           []*portConf  // what ports is the end of, see tx.insert; nil: ports stands alone
	neighSuppress   bool         // a port suppresses (BROPT_NEIGH_SUPPRESS_ENABLED, see recountSuppression)
	answers         bool         // that, or a port proxies ARP

	// The AgeingTime that was set, to come back to after a topology change
	// (bridge_ageing_time).
	ownAgeing time.Duration
}

// portConf is one port's part of a config, as immutable. What the datapath reads
// comes first.
type portConf struct {
	p      *Port
	num    int
	flags  portFlags
	state  PortState
	mask   uint16 // group_fwd_mask
	mtu    int
	vlans  *vlanGroup
	backup int  // number of the port that takes over; 0 none
	cut    bool // the cable has ended, or is down: there is no carrier, whatever info says

	adminCost bool // somebody set the path cost: it no longer follows the speed
	info      PortInfo
}

// portFlags are the flags of a port that the datapath asks for (BR_*).
type portFlags uint32

const (
	flagLearning portFlags = 1 << iota
	flagFlood
	flagMcastFlood
	flagBcastFlood
	flagHairpin
	flagIsolated
	flagLocked
	flagMAB
	flagProxyARP
	flagTunnel
	flagProxyARPWifi
	flagNeighSuppress
	flagNeighVLANSuppress
	flagUp      // the device is administratively up
	flagCarrier // and has a carrier

	flagLink = flagUp | flagCarrier // what it takes to send; with MST a port without it is not DISABLED
)

func (f portFlags) has(x portFlags) bool { return f&x != 0 }

// derive renews the datapath's fields from info.
func (pc *portConf) derive() {
	i := &pc.info
	pc.flags = 0
	for _, x := range [...]struct {
		on bool
		f  portFlags
	}{
		{i.Learning, flagLearning}, {i.Flood, flagFlood}, {i.McastFlood, flagMcastFlood},
		{i.BcastFlood, flagBcastFlood}, {i.Hairpin, flagHairpin}, {i.Isolated, flagIsolated},
		{i.Locked, flagLocked}, {i.MAB, flagMAB}, {i.ProxyARP, flagProxyARP},
		{i.VLANTunnel, flagTunnel},
		{i.ProxyARPWifi, flagProxyARPWifi}, {i.NeighSuppress, flagNeighSuppress},
		{i.NeighVLANSuppress, flagNeighVLANSuppress},
		{i.Up, flagUp}, {i.Carrier && !pc.cut, flagCarrier},
	} {
		if x.on {
			pc.flags |= x.f
		}
	}
	pc.state, pc.mask, pc.mtu = i.State, i.GroupFwdMask, i.MTU
}

// conf finds a port's part; nil if the port is not of this bridge any more.
func (c *config) conf(p *Port) *portConf {
	if p.num < len(c.byNum) && c.byNum[p.num] != nil && c.byNum[p.num].p == p {
		return c.byNum[p.num]
	}
	return nil
}

// byPort finds a port's part by its number; nil where there is none.
func (c *config) byPort(num int) *portConf {
	if num < len(c.byNum) {
		return c.byNum[num]
	}
	return nil
}

// mayLearn says whether an address may be put on the port of pc in vid, as things
// are now and not as they were when pc was loaded.
func (c *config) mayLearn(pc *portConf, vid frame.VID) bool {
	cur := c.conf(pc.p)
	return cur != nil && (cur.state.Learns() || c.info.MSTEnabled) &&
		(!c.info.VLANFiltering || vid == 0 || cur.vlans.has(vid))
}

// derive renews the bridge's derived fields from info.
func (c *config) derive() {
	c.hold = stampOf(c.info.AgeingTime)
	if c.info.TopologyChange {
		c.hold = stampOf(c.info.ForwardDelay)
	}
	c.required = 0
	if c.info.VLANFiltering && c.info.VLANProtocol == frame.TypeDot1AD {
		c.required = 0xb801 &^ (1 << (c.info.GroupAddress[5] & 15))
	}
	if c.info.WireMode {
		c.required |= 1<<1 | 1<<2
		if c.info.STPState == 0 {
			c.required |= 1 << 0
		}
	}
}

// tx is one change of the configuration under way: the next config, and what has
// to follow in the FDB.
type tx struct {
	b         *Bridge
	op, dev   string
	old, cfg  *config
	serial    uint64 // no other transaction of the bridge has it
	ownsPorts bool
	inserted  bool                                        // a port was
	readdress bool                                        // ports came, went, or changed address
	before    []func()                                    // run before the new config is published
	after     []func()                                    // run once no batch runs under the old one
	told      []func(m *snoop.Machine, now time.Duration) // run once it is published, see tx.snoop
	events    []Event
	now       time.Duration // since New
	leaving   *Port         // it is being removed
	reacts    bool          // see spanning.react
	enabled   *[]portRun    // ports that told[enabledAt-1] enables
	enabledAt int
}

// change makes one change of the configuration: build, publish, wait until no
// batch runs under the old one, then purge. When it returns the change is over.
// If fn refuses, nothing has changed.
func (b *Bridge) change(op, dev string, fn func(*tx) error) error {
	var x *tx
	return b.ordered(func() (err error) {
		x, err = b.publish(op, dev, fn)
		return err
	}, func() {
		b.sendMade()
		b.synchronize()
		for _, do := range x.after {
			do()
		}
	})
}

// ordered makes the calls that wait for batches to end one at a time: do, and if it
// does not refuse, finish.
func (b *Bridge) ordered(do func() error, finish func()) error {
	if b.inBatch() {
		return ErrInBatch
	}
	defer b.afterwards() // once it is the next one's turn
	b.changing <- struct{}{}
	defer func() { <-b.changing }()
	err := do()
	if err == nil {
		finish()
	}
	return err
}

func (b *Bridge) publish(op, dev string, fn func(*tx) error) (*tx, error) {
	return b.publishAt(b.since(), op, dev, fn) // a clock is the user's: it is read without a lock
}

func (b *Bridge) publishAt(now time.Duration, op, dev string, fn func(*tx) error) (*tx, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.cfg.Load()
	if old.closed {
		return nil, errClosed
	}
	next := *old
	b.txs++
	x := &tx{b: b, op: op, dev: dev, old: old, cfg: &next, now: now, serial: b.txs}
	if err := b.spanning.within(x, fn); err != nil {
		return nil, err
	}
	if x.idle() {
		return x, nil
	}
	b.events.holdWhile(func() {
		for _, do := range x.before {
			do()
		}
		b.cfg.Store(x.cfg)
		x.tell()
		for _, e := range x.events {
			b.events.post(e)
		}
	})
	return x, nil
}

var errClosed = &closedError{}

// closedError is what every call answers once the bridge is closed.
type closedError struct{}

func (*closedError) Error() string { return "bridge: the bridge is closed" }
func (*closedError) Unwrap() error { return net.ErrClosed }

func (x *tx) refuse(no Errno, reason string) error { return refuse(x.op, x.dev, no, reason) }

// own copies the port lists, once, so that they can be changed.
func (x *tx) own() {
	if !x.ownsPorts {
		x.cfg.ports, x.cfg.byNum, x.cfg.shelf = slices.Clone(x.cfg.ports), slices.Clone(x.cfg.byNum), nil
		x.ownsPorts = true
	}
}

// insert puts a new port in the lists, as the newest, without copying them: there is room
// in front of the one and behind the other, where no config that has been published looks,
// and where no transaction has written that was.
func (x *tx) insert(pc *portConf) {
	c := x.cfg
	x.inserted = true
	if pc.num < len(c.byNum) {
		x.own()
		c.byNum[pc.num] = pc
	} else {
		c.byNum = append(c.byNum, pc)
	}
	room := len(c.shelf) - len(c.ports)
	if room <= 0 {
		room = 4 + len(c.ports)/2
		c.shelf = append(make([]*portConf, room, room+len(c.ports)), c.ports...)
	}
	c.shelf[room-1] = pc
	c.ports = c.shelf[room-1:]
}

// edit gives the port's part to write to: a copy, made once a transaction.
func (x *tx) edit(p *Port) *portConf {
	pc := x.cfg.conf(p)
	if pc != x.old.conf(p) {
		return pc
	}
	x.own()
	c := *pc
	x.cfg.ports[slices.Index(x.cfg.ports, pc)] = &c
	x.cfg.byNum[c.num] = &c
	return &c
}

// setState writes a port's state, which with MST is also that of its VLANs in
// instance 0, whether it changes or not (br_set_state).
func (x *tx) setState(p *Port, s PortState) {
	if x.cfg.info.MSTEnabled {
		vlanDev{x, p}.setInstance(0, s)
	}
	pc := x.edit(p)
	if pc.info.State == s {
		return
	}
	pc.info.State = s
	pc.derive()
	x.snoopState(p, s)
	if x.events == nil {
		x.events = make([]Event, 0, 2) // a port that comes up changes its state twice
	}
	x.events = append(x.events, Event{Kind: EventPortState, Port: p.name, State: s})
}

// link follows a change of a port's carrier (br_port_carrier_check): a port whose
// device is up and has one is enabled, else disabled, and then forgets what it learned,
// unless another port is to take over. While the bridge is down nothing follows.
func (x *tx) link(p *Port) {
	x.followSpeed(p)
	disabled := x.cfg.conf(p).info.State == StateDisabled
	switch running := x.running(p); {
	case !x.cfg.info.Up:
	case running && disabled:
		x.treeEnable(p)
	case !running && !disabled:
		x.treeDisable(p)
	}
}

// running reports whether the port's device is up and has a carrier.
func (x *tx) running(p *Port) bool {
	return x.cfg.conf(p).flags.has(flagUp) && x.cfg.conf(p).flags.has(flagCarrier)
}

// settle brings the bridge device in line with its ports.
func (x *tx) settle() {
	c := x.cfg
	x.recalculate()
	if c.info.MTUAuto {
		c.info.MTU = defaultMTU
		for i, pc := range c.ports {
			if i == 0 || pc.mtu < c.info.MTU {
				c.info.MTU = pc.mtu
			}
		}
	}
	if x.ownsPorts || x.inserted {
		c.info.Carrier = false
		for _, pc := range c.ports {
			c.info.Carrier = c.info.Carrier || pc.state == StateForwarding
		}
		c.deriveAnswers()
	}
	x.treeSettle()
	c.derive()
}

// recalculate has a bridge that nobody named follow the addresses of its ports.
func (x *tx) recalculate() {
	if x.readdress && x.cfg.info.AddressAuto {
		x.setBridgeAddress(lowestAddress(x.cfg.ports))
	}
	x.readdress = false
}

// lowestAddress is what the bridge is called while nobody named it
// (br_stp_recalculate_bridge_id): zero without ports.
func lowestAddress(ports []*portConf) (low frame.MAC) {
	for i, pc := range ports {
		if a := pc.info.Address; i == 0 || a.Compare(low) < 0 {
			low = a
		}
	}
	return low
}

// setBridgeAddress gives the bridge another address, and its local entries.
func (x *tx) setBridgeAddress(a frame.MAC) {
	old := x.cfg.info.Address
	if a == old {
		return
	}
	x.cfg.info.Address = a
	x.snoopAddress(a)
	x.treeAddress()
	x.events = append(x.events, Event{Kind: EventAddress, MAC: a})
	x.addLocals(nil, a, x.cfg.self)
	x.delLocals(nil, old, x.old.self)
}

// setPortAddress gives a port's device another address, and its local entries. The
// address it has already is given up first all the same, so that another port that
// bears it too becomes the owner, and what a flush took away is there again.
func (x *tx) setPortAddress(p *Port, a frame.MAC) {
	pc := x.edit(p)
	old := pc.info.Address
	pc.info.Address = a
	x.readdress = true
	if a == old {
		x.delLocals(p, old, pc.vlans)
	}
	x.addLocals(p, a, pc.vlans)
	if a != old {
		x.delLocals(p, old, pc.vlans)
	}
}

// synchronize waits until every batch that was running when it was called is
// over: later ones see what was published before. Writing never waits, so this is
// short; drivers that break that rule for a second lose their cables, and those
// that do not even return then are given up: nobody waits for that batch again.
func (b *Bridge) synchronize() {
	var start time.Time
	for _, in := range b.registered() {
		epoch := in.epoch.Load()
		if epoch&1 == 0 || epoch == in.givenUp.Load() {
			continue
		}
		if start.IsZero() {
			start = time.Now()
		}
		b.outwait(in, epoch, start)
	}
}

// outwait waits for one batch. start is since when the caller waits.
func (b *Bridge) outwait(in *Input, epoch uint64, start time.Time) {
	for range 100 { // a batch takes microseconds, a sleep more
		if runtime.Gosched(); in.epoch.Load() != epoch {
			return
		}
	}
	for pause := 5 * time.Microsecond; in.epoch.Load() == epoch; pause = min(2*pause, time.Millisecond) {
		if q := in.writing.Load(); q != nil {
			waited := time.Since(start)
			if waited > driverPatience {
				b.end(q, errStuck)
			}
			if waited > 2*driverPatience {
				in.givenUp.Store(epoch)
				return
			}
		}
		time.Sleep(pause)
	}
}

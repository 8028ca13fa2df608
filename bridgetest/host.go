package bridgetest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// ErrNoAnswer is what Ping's error matches when no reply came in time.
var ErrNoAnswer = errors.New("no answer")

// What a host keeps is bounded.
const (
	pingTimeout  = time.Second
	pingDataLen  = 56 // as ping(8) sends
	maxNeighbors = 1024
	maxWaiting   = 64
	maxReceived  = 1024
	hostTTL      = 64
)

// HostConfig describes a host and where it is plugged in.
type HostConfig struct {
	Name string     // needed, and its own in the lab
	MAC  frame.MAC  // zero: 02:00:00:00:00:01 for the first host, and so on
	IP   netip.Addr // IPv4; zero: 10.0.0.1 for the first host, and so on
	VLAN frame.VID  // the host sends and takes frames with an 802.1Q tag of this VLAN; 0: without

	Switch   string            // "": the first
	PortName string            // "": p1, p2, ... as they are made in the lab
	Port     bridge.PortConfig // Address zero: 02:bb:00:00:00:01 for p1, and so on

	// Self makes it the host that the switch runs on, attached to the bridge's own
	// device: MAC, PortName and Port are not used, its MAC is the bridge's.
	Self bool
}

// A Host is a station with an IPv4 stack that knows ARP, answers pings and joins
// groups.
type Host struct {
	lab  *Lab
	name string
	mac  frame.MAC
	ip   netip.Addr
	vlan frame.VID
	sw   *bridge.Bridge
	port *bridge.Port // nil for the bridge's own host
	plug *plug
	out  *wire

	neighbors map[netip.Addr]frame.MAC
	waiting   []IPv4 // for an answer to ARP, at most maxWaiting
	received  []frame.Frame

	pingSeq uint16
	pinged  netip.Addr // who is to answer pingSeq; zero once it did, or nobody waits

	groups   []*membership // in the order of joining
	answers  uint64        // to queries, counted
	querying uint64        // counts the calls of Query
}

// AddHost plugs a host in. Its cable's Caps are those of HostConfig.Port. There is
// an error for a name that is missing or in use, for an address that is not IPv4,
// for a VLAN above 4094, and those of bridge.Bridge's AddPort and AttachHost.
func (l *Lab) AddHost(c HostConfig) (*Host, error) {
	n := len(l.hosts) + 1
	if c.MAC.IsZero() {
		c.MAC = numberedMAC(0, n)
	}
	if !c.IP.IsValid() {
		c.IP = numberedIP(n)
	}
	switch {
	case c.Name == "" || slices.ContainsFunc(l.hosts, func(h *Host) bool { return h.name == c.Name }):
		return nil, fmt.Errorf("bridgetest: a host needs a name of its own, not %q", c.Name)
	case !c.IP.Is4():
		return nil, fmt.Errorf("bridgetest: host %s: %s is not an IPv4 address", c.Name, c.IP)
	case c.VLAN > frame.MaxVID:
		return nil, fmt.Errorf("bridgetest: host %s: there is no VLAN %d", c.Name, c.VLAN)
	case n > maxHosts:
		return nil, fmt.Errorf("bridgetest: a lab has %d hosts at most", maxHosts)
	}
	h := &Host{lab: l, name: c.Name, mac: c.MAC, ip: c.IP, vlan: c.VLAN, neighbors: map[netip.Addr]frame.MAC{}}
	h.plug = l.newPlug(h.receive)
	h.out = &wire{lab: l, sink: func(f frame.Frame) { h.plug.receive(f) }}
	if err := h.plugIn(&c); err != nil {
		return nil, err
	}
	l.hosts = append(l.hosts, h)
	return h, nil
}

// plugIn makes a port of the host's cable, or attaches it to the bridge's own
// device.
func (h *Host) plugIn(c *HostConfig) (err error) {
	if h.sw, err = h.lab.findSwitch(c.Switch); err != nil {
		return err
	}
	if !c.Self {
		h.port, err = h.lab.plugIn(h.plug, End{c.Switch, c.PortName, c.Port})
		return err
	}
	if err := h.sw.AttachHost(h.plug, bridge.HostConfig{}); err != nil {
		return err
	}
	h.plug.name = h.sw.Name()
	h.plug.receive = func(f frame.Frame) { _ = h.sw.Xmit(f) } // what is refused is counted by the bridge
	h.plug.stats = func() (bridge.IngressLedger, bridge.EgressLedger) {
		s := h.sw.Stats()
		return s.Ingress, s.Egress
	}
	h.lab.plugs = append(h.lab.plugs, h.plug)
	return nil
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// IP is the host's address.
func (h *Host) IP() netip.Addr { return h.ip }

// MAC is the address of the host's interface; that of the bridge's own host may
// change as ports come and go.
func (h *Host) MAC() frame.MAC {
	if h.port == nil {
		return h.sw.Info().Address
	}
	return h.mac
}

// Port is the bridge's port that the host is plugged into; nil for the bridge's
// own host.
func (h *Host) Port() *bridge.Port { return h.port }

// A Neighbor is an entry of a host's ARP cache.
type Neighbor struct {
	IP  netip.Addr
	MAC frame.MAC
}

// ARP lists the host's ARP cache by address. Entries do not age; when the cache
// would hold more than 1024 it starts afresh.
func (h *Host) ARP() []Neighbor {
	ns := make([]Neighbor, 0, len(h.neighbors))
	for ip, mac := range h.neighbors {
		ns = append(ns, Neighbor{ip, mac})
	}
	slices.SortFunc(ns, func(a, b Neighbor) int { return a.IP.Compare(b.IP) })
	return ns
}

// FlushARP empties the host's ARP cache.
func (h *Host) FlushARP() { clear(h.neighbors) }

// Send puts a frame, whatever it is, on the host's cable, from where the switch
// gets it in a later Run. It keeps nothing of f. The error is
// bridge.ErrQueueFull, or matches net.ErrClosed once the host is unplugged.
func (h *Host) Send(f frame.Frame) error {
	if h.plug.out.cut {
		return fmt.Errorf("bridgetest: host %s is unplugged: %w", h.name, net.ErrClosed)
	}
	if err := h.out.send(f); err != nil {
		return err
	}
	h.lab.say(h.name, "sends", f)
	return nil
}

// Received gives the frames that reached the host's interface since the last call,
// those for others too, as a capture on it would show them. Frame.Time is
// the virtual time of arrival in nanoseconds. The last 1024 frames are kept.
func (h *Host) Received() []frame.Frame {
	fs := h.received
	h.received = nil
	return fs
}

// Ping sends an ICMP echo request, after an ARP request if need be, and runs the
// lab until the reply has come, for one second at most. It gives the time that
// this took. Frames that are on their way at that instant stay so. dst is an IPv4
// address. The error matches ErrNoAnswer, or is that of Send.
func (h *Host) Ping(dst netip.Addr) (time.Duration, error) {
	if dst = dst.Unmap(); !dst.Is4() {
		return 0, fmt.Errorf("bridgetest: %s pings %s: not an IPv4 address", h.name, dst)
	}
	h.pingSeq++
	h.pinged = dst
	start := h.lab.now
	defer h.forget(dst)
	echo := Echo{ID: 1, Seq: h.pingSeq, Data: make([]byte, pingDataLen)}
	err := h.sendIPv4(IPv4{TTL: hostTTL, Protocol: ProtocolICMP, Src: h.ip, Dst: dst, Payload: echo.Append(nil)})
	if err != nil {
		return 0, err
	}
	if h.lab.run(pingTimeout, func() bool { return !h.pinged.IsValid() }) {
		return h.lab.now - start, nil
	}
	what := "echo request"
	if _, ok := h.neighbors[dst]; !ok {
		what = "ARP request"
	}
	return 0, fmt.Errorf("bridgetest: %s pings %s: %w to the %s", h.name, dst, ErrNoAnswer, what)
}

// forget ends a ping, answered or not.
func (h *Host) forget(dst netip.Addr) {
	h.pinged = netip.Addr{}
	h.waiting = slices.DeleteFunc(h.waiting, func(p IPv4) bool { return p.Dst == dst })
}

// sendIPv4 sends a packet to its destination, once that one's MAC is known.
func (h *Host) sendIPv4(p IPv4) error {
	if mac, ok := h.neighbors[p.Dst]; ok {
		return h.send(mac, frame.TypeIPv4, p.Append(nil))
	}
	if len(h.waiting) >= maxWaiting {
		h.waiting = h.waiting[1:] // the oldest goes, as from Linux's unres_qlen
	}
	h.waiting = append(h.waiting, p)
	return h.send(frame.Broadcast, frame.TypeARP,
		ARP{Op: ARPRequest, SenderMAC: h.MAC(), SenderIP: h.ip, TargetIP: p.Dst}.Append(nil))
}

// send sends a frame of the host's own stack.
func (h *Host) send(dst frame.MAC, t frame.EtherType, payload []byte) error {
	f := NewFrame(dst, h.MAC(), t, payload)
	if h.vlan != 0 {
		f.Tag = frame.Tag{TPID: frame.TypeDot1Q}.WithVID(h.vlan)
	}
	return h.Send(f)
}

// receive is the host's interface: it shows the frame to whoever looks, and gives
// it to the stack if it is for this host.
func (h *Host) receive(f frame.Frame) {
	if len(h.received) >= maxReceived {
		h.received = h.received[1:]
	}
	h.received = append(h.received, f)
	if !h.wants(&f) {
		h.lab.say(h.name, "ignores", f)
		return
	}
	h.lab.say(h.name, "receives", f)
	payload := f.Rest()[2:]
	switch f.Type() {
	case frame.TypeARP:
		if a, err := ParseARP(payload); err == nil {
			h.receiveARP(a)
		}
	case frame.TypeIPv4:
		if p, err := ParseIPv4(payload); err == nil {
			h.receiveIPv4(p)
		}
	}
}

// wants says whether the frame is in the host's VLAN and for it, and lifts the tag.
func (h *Host) wants(f *frame.Frame) bool {
	if !f.WellFormed() || !f.Lift() {
		return false
	}
	if t := f.Tag; t.Present() && t.TPID != frame.TypeDot1Q || t.VID() != h.vlan {
		return false
	}
	dst := f.Dst()
	if dst[0] == 0x01 && dst[1] == 0x00 && dst[2] == 0x5e {
		return h.wantsGroup(dst)
	}
	return dst == h.MAC() || dst.IsMulticast()
}

// receiveARP is RFC 826, "Packet Reception": what is known is brought up to date,
// and who asks for this host will soon send to it.
func (h *Host) receiveARP(a ARP) {
	_, known := h.neighbors[a.SenderIP]
	forUs := a.TargetIP == h.ip
	if a.SenderMAC.IsValid() && !a.SenderIP.IsUnspecified() && (known || forUs) {
		if !known && len(h.neighbors) >= maxNeighbors {
			h.FlushARP()
		}
		h.neighbors[a.SenderIP] = a.SenderMAC
		h.sendWaiting(a.SenderIP)
	}
	if forUs && a.Op == ARPRequest {
		_ = h.send(a.SenderMAC, frame.TypeARP, ARP{ // a reply that a full cable refuses is lost, as in life
			Op: ARPReply, SenderMAC: h.MAC(), SenderIP: h.ip, TargetMAC: a.SenderMAC, TargetIP: a.SenderIP,
		}.Append(nil))
	}
}

// sendWaiting sends what waited for the MAC of ip.
func (h *Host) sendWaiting(ip netip.Addr) {
	waiting := h.waiting
	h.waiting = nil
	for _, p := range waiting {
		if p.Dst == ip {
			_ = h.sendIPv4(p) // refused by a full cable: lost
		} else {
			h.waiting = append(h.waiting, p)
		}
	}
}

func (h *Host) receiveIPv4(p IPv4) {
	switch {
	case p.Protocol == ProtocolICMP && p.Dst == h.ip:
		h.receiveICMP(p)
	case p.Protocol == ProtocolIGMP && p.Dst.IsMulticast():
		if m, err := ParseIGMP(p.Payload); err == nil {
			h.receiveIGMP(m)
		}
	}
}

// receiveICMP answers echo requests, and notes the reply that Ping waits for.
func (h *Host) receiveICMP(p IPv4) {
	e, err := ParseEcho(p.Payload)
	switch {
	case err != nil:
	case e.Reply:
		if p.Src == h.pinged && e.Seq == h.pingSeq {
			h.pinged = netip.Addr{}
		}
	default:
		e.Reply = true
		_ = h.sendIPv4(IPv4{ // refused by a full cable: lost
			TTL: hostTTL, Protocol: ProtocolICMP, Src: h.ip, Dst: p.Src, Payload: e.Append(nil),
		})
	}
}

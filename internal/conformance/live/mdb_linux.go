package live

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/rtnl"
)

// Attributes of RTM_NEWMDB and its like (linux/if_bridge.h): in requests MDBA_SET_* (or
// MDBA_GET_*, which are the same) and MDBE_*, in dumps MDBA_MDB_*, MDBA_ROUTER_*.
const (
	mdbaSetEntry = 1
	mdbaSetAttrs = 2

	mdbeSource     = 1
	mdbeSourceList = 2
	mdbeMode       = 3
	mdbeProtocol   = 4
	mdbeStateMask  = 10

	mdbeListEntry   = 1
	mdbeListAddress = 1

	mdbaGroups  = 1
	mdbaRouters = 2

	mdbaEntry     = 1
	mdbaEntryInfo = 1

	mdbaTimer      = 1
	mdbaSourceList = 2
	mdbaMode       = 3
	mdbaSource     = 4
	mdbaProtocol   = 5

	mdbaListEntry   = 1
	mdbaListAddress = 1
	mdbaListTimer   = 2
)

// mdbEntrySize is that of a struct br_mdb_entry: device, state, flags, VLAN, the address
// in 16 bytes and its EtherType in network order.
const (
	mdbEntrySize = 28
	mdbAddress   = 8
	mdbProtocol  = 24

	mdbPermanent = 1
)

// mdbFlags are the recorded names of the bits of MDB_FLAGS_*.
var mdbFlags = []string{"offload", "fast_leave", "added_by_star_ex", "blocked", "offload_failed"}

// mdbModes are the filter modes with Linux's numbers (MCAST_EXCLUDE, MCAST_INCLUDE).
var mdbModes = []string{"exclude", "include"}

// mdbProtocols are the words of bridge(8) for who has made an entry.
var mdbProtocols = map[string]uint8{"kernel": unix.RTPROT_KERNEL, "static": unix.RTPROT_STATIC}

// mdbEntry is the fixed part of a request.
func (l *lab) mdbEntry(t *replay.Step) ([]byte, error) {
	b := make([]byte, mdbEntrySize)
	binary.NativeEndian.PutUint32(b, uint32(l.index(t.Port)))
	if t.State != nil && *t.State == "permanent" {
		b[4] = mdbPermanent
	}
	if t.VLAN != nil {
		binary.NativeEndian.PutUint16(b[6:], *t.VLAN)
	}
	if t.Group == "" {
		return b, nil
	}
	if m, err := frame.ParseMAC(t.Group); err == nil {
		copy(b[mdbAddress:], m[:])
		return b, nil
	}
	ip, err := netip.ParseAddr(t.Group)
	if err != nil {
		return nil, err
	}
	proto := frame.TypeIPv6
	if ip.Is4() {
		proto = frame.TypeIPv4
	}
	copy(b[mdbAddress:], ip.AsSlice())
	binary.BigEndian.PutUint16(b[mdbProtocol:], uint16(proto))
	return b, nil
}

// mdbRequest adds, changes (RTM_NEWMDB) or deletes (RTM_DELMDB) an entry.
func (l *lab) mdbRequest(kind, mode uint16, t *replay.Step) error {
	entry, err := l.mdbEntry(t)
	if err != nil {
		return err
	}
	m := rtnl.New(kind, mode, vlanMsg(l.br)).Bytes(mdbaSetEntry, entry)
	if t.Source == "" && t.FilterMode == "" && t.Proto == "" && len(t.SourceList) == 0 {
		return l.nl.Do(m)
	}
	m.Nest(mdbaSetAttrs|rtnl.Nested, func() { err = addMDB(m, t) })
	if err != nil {
		return err
	}
	return l.nl.Do(m)
}

func addMDB(m *rtnl.Msg, t *replay.Step) error {
	var failed error
	addr := func(kind uint16, text string) {
		ip, _, err := address(text)
		failed = cmp.Or(failed, err)
		m.Bytes(kind, ip)
	}
	if t.Source != "" {
		addr(mdbeSource, t.Source)
	}
	if len(t.SourceList) > 0 {
		m.Nest(mdbeSourceList|rtnl.Nested, func() {
			for _, s := range t.SourceList {
				m.Nest(mdbeListEntry|rtnl.Nested, func() { addr(mdbeListAddress, s) })
			}
		})
	}
	if t.FilterMode != "" {
		n := slices.Index(mdbModes, t.FilterMode)
		if n < 0 {
			return fmt.Errorf("unknown filter mode %q", t.FilterMode)
		}
		m.U8(mdbeMode, uint8(n))
	}
	return errors.Join(failed, addProtocol(m, t.Proto))
}

func addProtocol(m *rtnl.Msg, text string) error {
	if text == "" {
		return nil
	}
	n, known := mdbProtocols[text]
	if !known {
		v, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			return err
		}
		n = uint8(v)
	}
	m.U8(mdbeProtocol, n)
	return nil
}

// mdbFlush deletes entries at once, as bridge(8) asks for it.
func (l *lab) mdbFlush(t *replay.Step) error {
	entry, err := l.mdbEntry(t)
	if err != nil {
		return err
	}
	state := slices.Contains(t.Flags, "permanent") || slices.Contains(t.Flags, "nopermanent")
	if slices.Contains(t.Flags, "permanent") {
		entry[4] = mdbPermanent
	}
	m := rtnl.New(unix.RTM_DELMDB, unix.NLM_F_BULK, vlanMsg(l.br)).Bytes(mdbaSetEntry, entry)
	if t.Proto == "" && !state {
		return l.nl.Do(m)
	}
	m.Nest(mdbaSetAttrs|rtnl.Nested, func() {
		err = addProtocol(m, t.Proto)
		if state {
			m.U8(mdbeStateMask, mdbPermanent)
		}
	})
	if err != nil {
		return err
	}
	return l.nl.Do(m)
}

// mdbGet asks for the rows of one group (RTM_GETMDB): to name a port or a state is refused.
func (l *lab) mdbGet(t *replay.Step) error {
	entry, err := l.mdbEntry(&replay.Step{Group: t.Group, VLAN: t.VLAN})
	if err != nil {
		return err
	}
	binary.NativeEndian.PutUint32(entry, 0)
	m := rtnl.New(unix.RTM_GETMDB, 0, vlanMsg(l.br)).Bytes(mdbaSetEntry, entry)
	if t.Source != "" {
		ip, _, err := address(t.Source)
		if err != nil {
			return err
		}
		m.Nest(mdbaSetAttrs|rtnl.Nested, func() { m.Bytes(mdbeSource, ip) })
	}
	b, err := l.nl.Get(m)
	if err != nil || len(b) < 8 {
		return err
	}
	t.MDB, t.Late = []replay.MDBEntry{}, l.late()
	for kind, v := range rtnl.Attrs(b[8:]) {
		if kind == mdbaGroups {
			t.MDB = append(t.MDB, l.mdbEntries(v)...)
		}
	}
	return nil
}

// mdb is the groups and the bridge-wide router ports.
func (l *lab) mdb() (groups []replay.MDBEntry, routers []replay.RouterPort, err error) {
	groups, routers = []replay.MDBEntry{}, []replay.RouterPort{}
	err = l.nl.Dump(rtnl.New(unix.RTM_GETMDB, 0, vlanMsg(l.br)), func(b []byte) {
		if len(b) < 8 || int32(rtnl.Num(b[4:8])) != l.br {
			return
		}
		for kind, v := range rtnl.Attrs(b[8:]) {
			switch kind {
			case mdbaGroups:
				groups = append(groups, l.mdbEntries(v)...)
			case mdbaRouters:
				for _, p := range l.routerPorts(v) {
					p.Timer4, p.Timer6 = nil, nil // not recorded of the bridge as a whole
					routers = append(routers, p)
				}
			}
		}
	})
	return groups, routers, err
}

func (l *lab) mdbEntries(b []byte) (list []replay.MDBEntry) {
	for kind, v := range rtnl.Attrs(b) {
		if kind != mdbaEntry {
			continue
		}
		for kind, v := range rtnl.Attrs(v) {
			if kind == mdbaEntryInfo && len(v) >= mdbEntrySize {
				list = append(list, l.mdbRow(v))
			}
		}
	}
	return list
}

func (l *lab) mdbRow(b []byte) replay.MDBEntry {
	e := replay.MDBEntry{Port: l.name(int32(rtnl.Num(b[:4]))), State: "temp", VID: uint16(rtnl.Num(b[6:8]))}
	if b[4] == mdbPermanent {
		e.State = "permanent"
	}
	for i, name := range mdbFlags {
		if b[5]>>i&1 != 0 {
			e.Flags = append(e.Flags, name)
		}
	}
	switch a := b[mdbAddress:]; frame.EtherType(binary.BigEndian.Uint16(b[mdbProtocol:])) {
	case frame.TypeIPv4:
		e.Group = addrText(a[:4])
	case frame.TypeIPv6:
		e.Group = addrText(a[:16])
	default:
		e.Group = addressText(a[:6])
	}
	for kind, v := range rtnl.Attrs(b[mdbEntrySize:]) {
		switch n := rtnl.Num(v); kind {
		case mdbaTimer:
			e.Timer = seconds(n)
		case mdbaSource:
			e.Source = addrText(v)
		case mdbaMode:
			if n < uint64(len(mdbModes)) {
				e.FilterMode = mdbModes[n]
			}
		case mdbaProtocol:
			e.Proto = protocolWord(uint8(n))
		case mdbaSourceList:
			e.SourceList = mdbSources(v)
		}
	}
	return e
}

func mdbSources(b []byte) (list []replay.MDBSource) {
	for kind, v := range rtnl.Attrs(b) {
		if kind != mdbaListEntry {
			continue
		}
		var s replay.MDBSource
		for kind, v := range rtnl.Attrs(v) {
			switch kind {
			case mdbaListAddress:
				s.Addr = addrText(v)
			case mdbaListTimer:
				s.Timer = seconds(rtnl.Num(v))
			}
		}
		list = append(list, s)
	}
	return list
}

func protocolWord(n uint8) string {
	for word, v := range mdbProtocols {
		if v == n {
			return word
		}
	}
	return strconv.Itoa(int(n))
}

func addrText(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

// seconds is how a timer is recorded, of what the kernel tells in 1/100 s.
func seconds(ticks uint64) int { return int((ticks + 25) / 100) }

// Attributes of MDBA_ROUTER_PORT (MDBA_ROUTER_PATTR_*), and of who the querier is
// (BRIDGE_QUERIER_*).
const (
	routerPort       = 1
	routerPortType   = 2
	routerPortTimer4 = 3
	routerPortTimer6 = 4
	routerPortVLAN   = 5

	querierIP, querierIPPort, querierIPTimer       = 1, 2, 3
	querierIPv6, querierIPv6Port, querierIPv6Timer = 5, 6, 7
)

// routerTypes are the recorded words for mcast_router.
var routerTypes = []string{"disabled", "temp_query", "permanent", "temp"}

// routerPorts reads where routers are.
func (l *lab) routerPorts(b []byte) (list []replay.RouterPort) {
	for kind, v := range rtnl.Attrs(b) {
		if kind != routerPort || len(v) < 4 {
			continue
		}
		p := replay.RouterPort{Port: l.name(int32(rtnl.Num(v[:4])))}
		for kind, v := range rtnl.Attrs(v[4:]) {
			switch n := rtnl.Num(v); kind {
			case routerPortType:
				if n < uint64(len(routerTypes)) {
					p.Type = routerTypes[n]
				}
			case routerPortTimer4:
				p.Timer4 = new(seconds(n))
			case routerPortTimer6:
				p.Timer6 = new(seconds(n))
			case routerPortVLAN:
				p.VID = uint16(n)
			}
		}
		list = append(list, p)
	}
	return list
}

// bridgeQuerier tells who asks bridge-wide; nil if the kernel does not say.
func (l *lab) bridgeQuerier() (replay.Attrs, error) {
	d, err := l.deviceAt(l.br)
	if err != nil {
		return nil, err
	}
	for kind, v := range rtnl.Attrs(d.data) {
		if kind == unix.IFLA_BR_MCAST_QUERIER_STATE {
			return l.querier(v), nil
		}
	}
	return nil, nil
}

// querier reads who asks.
func (l *lab) querier(b []byte) replay.Attrs {
	table := replay.Attrs{}
	for kind, v := range rtnl.Attrs(b) {
		switch kind {
		case querierIP:
			table["ip_address"] = word(addrText(v))
		case querierIPv6:
			table["ipv6_address"] = word(addrText(v))
		case querierIPPort:
			table["ip_port"] = word(l.name(int32(rtnl.Num(v))))
		case querierIPv6Port:
			table["ipv6_port"] = word(l.name(int32(rtnl.Num(v))))
		case querierIPTimer:
			table["ip_other_timer"] = num(uint64(seconds(rtnl.Num(v))))
		case querierIPv6Timer:
			table["ipv6_other_timer"] = num(uint64(seconds(rtnl.Num(v))))
		}
	}
	return table
}

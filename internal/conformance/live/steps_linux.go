package live

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/rtnl"
)

// collect reads all that has left a device since the last call.
func (l *lab) collect() (map[string][]string, error) {
	out := map[string][]string{}
	for _, name := range l.names() {
		from := l.host.received
		if t := l.tap(name); t != nil {
			from = t.received
		}
		frames, err := from(l.buf)
		if err != nil {
			return nil, err
		}
		for _, f := range frames {
			out[name] = append(out[name], hex.EncodeToString(f))
		}
	}
	return out, nil
}

// step carries out t and puts in it what came. A refusal of the kernel is a result;
// an error is a fault of the comparison.
func (l *lab) step(t *replay.Step) error {
	err := l.perform(t)
	if err == nil && movesCarrier(t) {
		err = l.settleBridge()
	}
	var no unix.Errno
	switch {
	case errors.As(err, &no):
		t.Err = errnoName(no)
	case err != nil:
		return err
	}
	if unsettled(t) {
		if err := l.wait(); err != nil {
			return err
		}
	}
	out, err := l.collect()
	if err != nil {
		return err
	}
	if t.Op == "inject" || len(out) > 0 {
		t.Out = out
	}
	return nil
}

// movesCarrier reports a step after which another number of ports may forward.
func movesCarrier(t *replay.Step) bool {
	switch t.Op {
	case "set-port":
		_, state := t.Attrs["state"]
		return state
	case "link-up", "link-down", "carrier", "port-del", "port-add":
		return true
	}
	return false
}

// errnoName names ENOTSUPP too, which is the kernel's own, and gives the number that
// has two names the kernel's.
func errnoName(no unix.Errno) string {
	const enotsupp = unix.Errno(524)
	switch no {
	case enotsupp:
		return "ENOTSUPP"
	case unix.EOPNOTSUPP:
		return "EOPNOTSUPP"
	case unix.EAGAIN:
		return "EAGAIN"
	}
	if name := unix.ErrnoName(no); name != "" {
		return name
	}
	return no.Error()
}

func (l *lab) perform(t *replay.Step) (err error) {
	switch t.Op {
	case "inject":
		return l.inject(t)
	case "set-bridge":
		return l.setBridgeStep(t.Attrs)
	case "set-port":
		return l.setPortStep(t.Port, t.Attrs)
	case "vlan-add":
		return l.vlan(unix.RTM_SETLINK, t.Port, t.VID, t.VIDEnd, vlanFlags(t.PVID, t.Untagged))
	case "vlan-del":
		return l.vlan(unix.RTM_DELLINK, t.Port, t.VID, t.VIDEnd, 0)
	case "vlan-set":
		return l.vlanSet(t)
	case "vlan-global-set":
		return l.globalSet(t)
	case "mst-set":
		return l.mstSet(t)
	case "fdb-add":
		return l.fdbAdd(t)
	case "fdb-del":
		return l.fdbDel(t)
	case "fdb-flush":
		return l.fdbFlush(t.Port)
	case "fdb-flush-bulk":
		return l.fdbFlushBulk(t)
	case "mdb-add":
		return l.mdbRequest(unix.RTM_NEWMDB, fdbModes[cmp.Or(t.Mode, "add")], t)
	case "mdb-del":
		return l.mdbRequest(unix.RTM_DELMDB, 0, t)
	case "mdb-flush":
		return l.mdbFlush(t)
	case "mdb-get":
		return l.mdbGet(t)
	case "neigh-add", "neigh-del":
		return l.neighbour(t)
	case "link-up", "link-down":
		return l.linkStep(t.Port, t.Op == "link-up")
	case "carrier":
		return l.carrier(l.tap(t.Port), t.On)
	case "port-del":
		return l.release(l.tap(t.Port))
	case "port-add":
		return l.portAdd(l.tap(t.Port))
	case "wait":
		time.Sleep(time.Duration(t.MS) * time.Millisecond)
		return nil
	}
	return l.dump(t)
}

func (l *lab) dump(t *replay.Step) (err error) {
	switch t.Op {
	case "dump-fdb":
		t.FDB, err = l.fdb()
	case "dump-vlan":
		t.VLANTable, err = l.vlanTable()
	case "dump-vlan-global":
		t.VLANGlobal, err = l.vlanGlobals()
		t.Late = l.late()
	case "dump-mdb":
		if t.MDB, t.RouterPorts, err = l.mdb(); err == nil {
			t.Querier, err = l.bridgeQuerier()
		}
		t.Late = l.late()
	case "dump-mst":
		t.MSTTable, err = l.mstTable()
	case "dump-port":
		t.PortTable, err = l.dumpPort(t.Port)
	case "dump-bridge":
		t.BridgeTable, err = l.bridgeTable()
	case "dump-stats":
		if t.Stats, err = l.stats(); err == nil && l.snoops {
			t.McastStats, err = l.mcastStats()
		}
	default:
		return fmt.Errorf("%s: %w", t.Op, errNotHere)
	}
	if err != nil {
		return fmt.Errorf("%s: %v", t.Op, err)
	}
	return nil
}

// late is how long the scenario has run, in whole seconds, of which its waits are a small
// part; told behind a dump it is no less than what the dump's timers have run.
func (l *lab) late() int { return 1 + int(time.Since(l.begun)/time.Second) }

// errNotHere marks an operation that does not run live; LeftOut names it.
var errNotHere = errors.New("no live bridge does that here")

func (l *lab) inject(t *replay.Step) error {
	data, err := hex.DecodeString(t.Frame)
	if err != nil {
		return err
	}
	if t.Port == hostName {
		return l.host.send(data)
	}
	return l.tap(t.Port).send(data)
}

// setBridgeStep sets what belongs to the device first, each in a request, and the
// rest in one.
func (l *lab) setBridgeStep(attrs replay.Attrs) error {
	rest := maps.Clone(attrs)
	for _, name := range []string{"mtu", "address", "promisc"} {
		v, ok := rest[name]
		if !ok {
			continue
		}
		delete(rest, name)
		var err error
		switch name {
		case "mtu":
			err = l.setMTU(l.br, int(v.Num))
		case "address":
			err = l.setAddress(l.br, v.Word)
		case "promisc":
			err = l.setFlag(l.br, unix.IFF_PROMISC, v.Num != 0)
		}
		if err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		return nil
	}
	return l.setBridge(rest)
}

func (l *lab) setPortStep(name string, attrs replay.Attrs) error {
	index, rest := l.index(name), maps.Clone(attrs)
	if v, ok := rest["mtu"]; ok {
		delete(rest, "mtu")
		if err := l.setMTU(index, int(v.Num)); err != nil {
			return err
		}
	}
	if v, ok := rest["address"]; ok {
		delete(rest, "address")
		if err := l.setAddress(index, v.Word); err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		return nil
	}
	return l.setPort(index, rest)
}

func vlanFlags(pvid, untagged bool) (flags uint16) {
	if pvid {
		flags |= vlanInfoPVID
	}
	if untagged {
		flags |= vlanInfoUntagged
	}
	return flags
}

// What an IFLA_AF_SPEC of the family AF_BRIDGE holds: IFLA_BRIDGE_FLAGS, of which
// BRIDGE_FLAGS_SELF, and IFLA_BRIDGE_VLAN_INFO (linux/if_bridge.h).
const (
	bridgeFlags    = 0
	bridgeSelf     = 2
	bridgeVLANInfo = 2
)

// vlan adds (RTM_SETLINK) or deletes (RTM_DELLINK) VLANs of a device. A range is two
// attributes, its begin and its end.
func (l *lab) vlan(kind uint16, name string, vid, end, flags uint16) error {
	info := func(flags, vid uint16) []byte {
		return slices.Concat(native16(flags), native16(vid))
	}
	m := rtnl.New(kind, 0, rtnl.Link(unix.AF_BRIDGE, l.index(name), 0, 0))
	m.Nest(unix.IFLA_AF_SPEC, func() {
		if name == hostName {
			m.U16(bridgeFlags, bridgeSelf)
		}
		if end == 0 {
			m.Bytes(bridgeVLANInfo, info(flags, vid))
			return
		}
		m.Bytes(bridgeVLANInfo, info(flags|vlanInfoBegin, vid))
		m.Bytes(bridgeVLANInfo, info(flags|vlanInfoEnd, end))
	})
	return l.nl.Do(m)
}

// vlanSet changes options of VLANs that are there (RTM_NEWVLAN).
func (l *lab) vlanSet(t *replay.Step) error {
	m := rtnl.New(unix.RTM_NEWVLAN, 0, vlanMsg(l.index(t.Port)))
	var failed error
	m.Nest(vlandbEntry|rtnl.Nested, func() {
		m.Bytes(entryInfo, slices.Concat(native16(vlanInfoOnlyOptions), native16(t.VID)))
		if t.VIDEnd != 0 {
			m.U16(entryRange, t.VIDEnd)
		}
		if t.State != nil {
			var n uint8
			n, failed = stateNumber(*t.State)
			m.U8(entryState, n)
		}
		if v, ok := t.Attrs["mcast_router"]; ok {
			m.U8(entryMcastRouter, uint8(v.Num))
		}
		if v, ok := t.Attrs["mcast_max_groups"]; ok {
			m.U32(entryMcastMaxGroups, uint32(v.Num))
		}
		if v, ok := t.Attrs["neigh_suppress"]; ok {
			m.U8(entryNeighSuppress, uint8(v.Num))
		}
	})
	if failed != nil {
		return failed
	}
	return l.nl.Do(m)
}

// fdbTarget is whom a request is for: the bridge by its port, or br0 itself.
func fdbTarget(port string) uint8 {
	if port == hostName {
		return unix.NTF_SELF
	}
	return unix.NTF_MASTER
}

// fdbWords are the states and flags that bridge(8) sends for its words.
var (
	fdbStates = map[string]uint16{
		"permanent": unix.NUD_NOARP | unix.NUD_PERMANENT,
		"static":    unix.NUD_NOARP | unix.NUD_REACHABLE,
		"dynamic":   unix.NUD_REACHABLE,
	}
	fdbFlags = map[string]uint8{
		"use": unix.NTF_USE, "extern_learn": unix.NTF_EXT_LEARNED, "sticky": ntfSticky, "router": unix.NTF_ROUTER,
	}
	fdbModes = map[string]uint16{
		"add":     unix.NLM_F_CREATE | unix.NLM_F_EXCL,
		"replace": unix.NLM_F_CREATE | unix.NLM_F_REPLACE,
		"append":  unix.NLM_F_CREATE | unix.NLM_F_APPEND,
		"change":  unix.NLM_F_REPLACE,
	}
)

func (l *lab) fdbAdd(t *replay.Step) error {
	state, ok := fdbStates[*t.State]
	if !ok {
		n, err := strconv.ParseUint(*t.State, 0, 16)
		if err != nil {
			return err
		}
		state = uint16(n)
	}
	flags := fdbTarget(t.Port)
	for _, name := range t.Flags {
		flags |= fdbFlags[name]
	}
	return l.fdbRequest(unix.RTM_NEWNEIGH, fdbModes[t.Mode], t, state, flags)
}

func (l *lab) fdbDel(t *replay.Step) error {
	return l.fdbRequest(unix.RTM_DELNEIGH, 0, t, 0, fdbTarget(t.Port))
}

func (l *lab) fdbRequest(kind, mode uint16, t *replay.Step, state uint16, flags uint8) error {
	addr, err := frame.ParseMAC(t.MAC)
	if err != nil {
		return err
	}
	m := rtnl.New(kind, mode, rtnl.Neighbour(unix.AF_BRIDGE, l.index(t.Port), state, flags))
	m.Bytes(unix.NDA_LLADDR, addr[:])
	if t.VLAN != nil {
		m.U16(unix.NDA_VLAN, *t.VLAN)
	}
	return l.nl.Do(m)
}

// fdbFlush flushes all as ip-link(8) does, a port as bridge(8) sets its attributes. By
// ip-link(8)'s way rtnetlink tells of a change of the port's device besides, on which
// the bridge enables a port that was disabled by hand: not so in the recordings.
func (l *lab) fdbFlush(port string) error {
	if port == "" {
		return l.set(l.br, 0, 0, func(m *rtnl.Msg) {
			m.Nest(unix.IFLA_LINKINFO|rtnl.Nested, func() {
				m.Text(unix.IFLA_INFO_KIND, "bridge")
				m.Nest(unix.IFLA_INFO_DATA|rtnl.Nested, func() { m.Bytes(unix.IFLA_BR_FDB_FLUSH, nil) })
			})
		})
	}
	m := rtnl.New(unix.RTM_SETLINK, 0, rtnl.Link(unix.AF_BRIDGE, l.index(port), 0, 0))
	m.Nest(unix.IFLA_PROTINFO|rtnl.Nested, func() { m.Bytes(unix.IFLA_BRPORT_FLUSH, nil) })
	return l.nl.Do(m)
}

// NDA_NDM_STATE_MASK and NDA_NDM_FLAGS_MASK (linux/neighbour.h).
const (
	ndaStateMask = 16
	ndaFlagsMask = 17
)

// A bulkFilter is what bridge(8) sends for a word of bridge fdb flush.
type bulkFilter struct {
	state, stateMask uint16
	flags, flagsMask uint8
}

const permanentOrNoARP = unix.NUD_PERMANENT | unix.NUD_NOARP

var bulkFilters = map[string]bulkFilter{
	"permanent":      {state: unix.NUD_PERMANENT, stateMask: unix.NUD_PERMANENT},
	"nopermanent":    {stateMask: unix.NUD_PERMANENT},
	"static":         {state: unix.NUD_NOARP, stateMask: permanentOrNoARP},
	"nostatic":       {stateMask: unix.NUD_NOARP},
	"dynamic":        {stateMask: permanentOrNoARP},
	"nodynamic":      {state: unix.NUD_NOARP, stateMask: unix.NUD_NOARP},
	"sticky":         {flags: ntfSticky, flagsMask: ntfSticky},
	"nosticky":       {flagsMask: ntfSticky},
	"extern_learn":   {flags: unix.NTF_EXT_LEARNED, flagsMask: unix.NTF_EXT_LEARNED},
	"noextern_learn": {flagsMask: unix.NTF_EXT_LEARNED},
}

func (l *lab) fdbFlushBulk(t *replay.Step) error {
	var f bulkFilter
	for _, name := range t.Flags {
		w := bulkFilters[name]
		f.state |= w.state
		f.stateMask |= w.stateMask
		f.flags |= w.flags
		f.flagsMask |= w.flagsMask
	}
	m := rtnl.New(unix.RTM_DELNEIGH, unix.NLM_F_BULK,
		rtnl.Neighbour(unix.AF_BRIDGE, l.br, f.state, f.flags|unix.NTF_SELF))
	if t.Port != "" {
		m.U32(unix.NDA_IFINDEX, uint32(l.index(t.Port)))
	}
	if t.VLAN != nil {
		m.U16(unix.NDA_VLAN, *t.VLAN)
	}
	if f.stateMask != 0 {
		m.U16(ndaStateMask, f.stateMask)
	}
	if f.flagsMask != 0 {
		m.U8(ndaFlagsMask, f.flagsMask)
	}
	return l.nl.Do(m)
}

// neighbour adds or deletes a permanent neighbour of the host on br0.
func (l *lab) neighbour(t *replay.Step) error {
	ip, family, err := address(t.IP)
	if err != nil {
		return err
	}
	kind, flags, state := uint16(unix.RTM_NEWNEIGH), uint16(unix.NLM_F_CREATE|unix.NLM_F_REPLACE), uint16(unix.NUD_PERMANENT)
	if t.Op == "neigh-del" {
		kind, flags, state = unix.RTM_DELNEIGH, 0, 0
	}
	m := rtnl.New(kind, flags, rtnl.Neighbour(family, l.br, state, 0)).Bytes(unix.NDA_DST, ip)
	if t.MAC != "" {
		addr, err := frame.ParseMAC(t.MAC)
		if err != nil {
			return err
		}
		m.Bytes(unix.NDA_LLADDR, addr[:])
	}
	return l.nl.Do(m)
}

func (l *lab) linkStep(name string, up bool) error {
	if name == hostName {
		return l.setFlag(l.br, unix.IFF_UP, up)
	}
	return l.link(l.tap(name), up)
}

func (l *lab) carrier(t *tap, on bool) error {
	if err := t.carrier(on); err != nil {
		return err
	}
	l.off[t.name] = !on
	return l.settle(t)
}

func (l *lab) portAdd(t *tap) error {
	if err := l.enslave(t); err != nil {
		return err
	}
	return l.settle(t)
}

package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// refusalLab is a bridge br0 of ports p1 to p3, with entries of several kinds. Port
// gone was removed. p3 is in VLAN 1 and 10 to 12, its link has no carrier.
func refusalLab(t *testing.T) (l *lab, gone *bridge.Port) {
	l = newLab(t, bridge.Config{})
	gone = l.add(4, bridge.PortConfig{})
	require.NoError(t, l.b.RemovePort(gone))
	l.add(1, bridge.PortConfig{})
	l.add(2, bridge.PortConfig{Locked: true})
	l.add(3, bridge.PortConfig{NoCarrier: true, VLANs: append(bridge.Access(1), bridge.VLAN{VID: 10, End: 12})})
	l.learn(1, mac(1))
	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(2), MAC: mac(2), State: bridge.NUDNoARP}))
	return l, gone
}

// A refusal is a request, and Linux's answer to it.
type refusal struct {
	name string
	do   func(l *lab, gone *bridge.Port) error
	no   bridge.Errno
	dev  string
}

func runRefusals(t *testing.T, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, gone := refusalLab(t)
			before, device := snap(l.b), gone.Info()
			var events []bridge.Event
			defer l.b.Watch(func(e bridge.Event) { events = append(events, e) })()
			err := c.do(l, gone)
			assertRefused(t, err, c.no, c.dev)
			assert.Equal(t, before, snap(l.b), "a refused call changed something")
			assert.Equal(t, device, gone.Info())
			assert.Empty(t, events, "a refused call told of something")
		})
	}
}

func assertRefused(t *testing.T, err error, no bridge.Errno, dev string) {
	t.Helper()
	require.ErrorIs(t, err, no)
	var op *bridge.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, no, op.Errno)
	assert.Equal(t, dev, op.Dev)
	assert.NotEmpty(t, op.Op)
	assert.NotEmpty(t, op.Reason, "the message says what is wrong")
	for _, part := range []string{"bridge: ", op.Op, dev, no.Error(), op.Reason} {
		assert.Contains(t, err.Error(), part)
	}
	assert.NotContains(t, strings.TrimPrefix(err.Error(), "bridge: "), "bridge: ", "wrapped once")
	for _, other := range []bridge.Errno{bridge.EINVAL, bridge.EBUSY, bridge.ENOENT, bridge.ERANGE} {
		assert.Equal(t, other == no, errors.Is(err, other))
	}
}

func setBridge(a bridge.BridgeAttrs) func(*lab, *bridge.Port) error {
	return func(l *lab, _ *bridge.Port) error { return l.b.Set(a) }
}

// userview.md 3.4 and section 4, vlan.md 2.
func TestRefusalBridge(t *testing.T) {
	cases := []refusal{
		{name: "filtering, snooping per VLAN", do: setBridge(bridge.BridgeAttrs{McastVLANSnooping: new(true)}), no: bridge.EINVAL},
		{name: "MST with VLANs", do: setBridge(bridge.BridgeAttrs{MSTEnabled: new(true)}), no: bridge.EBUSY},
		{name: "MST with VLANs, the value it has", do: setBridge(bridge.BridgeAttrs{MSTEnabled: new(false)}), no: bridge.EBUSY},
		{name: "stats per port with VLANs", do: setBridge(bridge.BridgeAttrs{VLANStatsPerPort: new(true)}), no: bridge.EBUSY},
		{name: "default PVID 4095", do: setBridge(bridge.BridgeAttrs{VLANDefaultPVID: new(frame.VID(4095))}), no: bridge.EINVAL},
		{name: "VLAN protocol", do: setBridge(bridge.BridgeAttrs{VLANProtocol: new(frame.TypeIPv4)}), no: bridge.EPROTONOSUPPORT},
		{name: "mcast_router 3", do: setBridge(bridge.BridgeAttrs{McastRouter: new(3)}), no: bridge.EINVAL},
		{name: "mcast_router -1", do: setBridge(bridge.BridgeAttrs{McastRouter: new(-1)}), no: bridge.EINVAL},
		{name: "IGMP version 1", do: setBridge(bridge.BridgeAttrs{McastIGMPVersion: new(1)}), no: bridge.EINVAL},
		{name: "IGMP version 4", do: setBridge(bridge.BridgeAttrs{McastIGMPVersion: new(4)}), no: bridge.EINVAL},
		{name: "MLD version 0", do: setBridge(bridge.BridgeAttrs{McastMLDVersion: new(0)}), no: bridge.EINVAL},
		{name: "MLD version 3", do: setBridge(bridge.BridgeAttrs{McastMLDVersion: new(3)}), no: bridge.EINVAL},
		{name: "one bad of many: all refused", no: bridge.ERANGE, do: setBridge(bridge.BridgeAttrs{
			AgeingTime: new(7 * time.Second), Priority: new(uint16(1)), HelloTime: new(11 * time.Second), VLANFiltering: new(true),
			VLANDefaultPVID: new(frame.VID(7)), GroupFwdMask: new(uint16(8)), FDBFlush: true, NoLinkLocalLearn: new(true),
		})},
		{name: "a bad one behind good ones", no: bridge.EINVAL, do: setBridge(bridge.BridgeAttrs{
			AgeingTime: new(time.Duration(0)), STPState: new(1), VLANDefaultPVID: new(frame.VID(7)), GroupAddress: &frame.MAC{1, 0x80, 0xc2, 0, 0, 4},
			FDBFlush: true, McastRouter: new(9),
		})},
	}
	for _, d := range []time.Duration{0, time.Second - 1, 10*time.Second + 1, -time.Second} {
		cases = append(cases, refusal{name: fmt.Sprintf("hello %v", d), do: setBridge(bridge.BridgeAttrs{HelloTime: &d}), no: bridge.ERANGE})
	}
	for _, d := range []time.Duration{0, 6*time.Second - 1, 40*time.Second + 1} {
		cases = append(cases, refusal{name: fmt.Sprintf("max age %v", d), do: setBridge(bridge.BridgeAttrs{MaxAge: &d}), no: bridge.ERANGE})
	}
	for _, m := range []uint16{1, 2, 4, 7, 0xffff} {
		cases = append(cases, refusal{name: fmt.Sprintf("group_fwd_mask %#x", m), do: setBridge(bridge.BridgeAttrs{GroupFwdMask: &m}), no: bridge.EINVAL})
	}
	for _, m := range []frame.MAC{{}, linkLocal(1), linkLocal(2), linkLocal(3), linkLocal(0x10), mac(1), frame.Broadcast} {
		cases = append(cases, refusal{name: "group address " + m.String(), do: setBridge(bridge.BridgeAttrs{GroupAddress: &m}), no: bridge.EINVAL})
	}
	for _, n := range []int{-1, 0, 67, 65536} {
		cases = append(cases, refusal{name: fmt.Sprintf("mtu %d", n), do: func(l *lab, _ *bridge.Port) error { return l.b.SetMTU(n) }, no: bridge.EINVAL})
	}
	for _, m := range []frame.MAC{{}, groupMAC, frame.Broadcast} {
		cases = append(cases, refusal{name: "address " + m.String(), do: func(l *lab, _ *bridge.Port) error { return l.b.SetAddress(m) }, no: bridge.EADDRNOTAVAIL})
	}
	for i := range cases {
		cases[i].dev = "br0"
	}
	runRefusals(t, cases)

	l := newLab(t, bridge.Config{})
	for _, d := range []time.Duration{0, time.Second, time.Hour} {
		assert.NoError(t, l.b.Set(bridge.BridgeAttrs{ForwardDelay: &d}), "any forward delay while STP is off")
	}
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(3)}))
	assert.Equal(t, 1, l.b.Info().STPState, "any value but 0 is on")
	before := snap(l.b)
	for _, d := range []time.Duration{0, 2*time.Second - 1, 30*time.Second + 1} {
		assertRefused(t, l.b.Set(bridge.BridgeAttrs{ForwardDelay: &d}), bridge.ERANGE, "br0")
	}
	assert.Equal(t, before, snap(l.b))
	for _, d := range []time.Duration{2 * time.Second, 30 * time.Second} {
		assert.NoError(t, l.b.Set(bridge.BridgeAttrs{ForwardDelay: &d}))
	}
}

// userview.md 2.1, 3.4, section 4; datapath.md 11.
func TestRefusalPort(t *testing.T) {
	set := func(n int, a bridge.PortAttrs) func(*lab, *bridge.Port) error {
		return func(l *lab, _ *bridge.Port) error { return l.p(n).Set(a) }
	}
	state := func(s bridge.PortState) bridge.PortAttrs { return bridge.PortAttrs{State: &s} }
	runRefusals(t, []refusal{
		{"state 5", set(1, state(5)), bridge.EINVAL, "p1"},
		{"state 7", set(1, state(7)), bridge.EINVAL, "p1"},
		{"state without carrier", set(3, state(bridge.StateForwarding)), bridge.ENETDOWN, "p3"},
		{"priority 64", set(1, bridge.PortAttrs{Priority: new(64)}), bridge.ERANGE, "p1"},
		{"priority -1", set(1, bridge.PortAttrs{Priority: new(-1)}), bridge.ERANGE, "p1"},
		{"cost 0", set(1, bridge.PortAttrs{Cost: new(0)}), bridge.ERANGE, "p1"},
		{"cost 65536", set(1, bridge.PortAttrs{Cost: new(65536)}), bridge.ERANGE, "p1"},
		{"mcast_router 4", set(1, bridge.PortAttrs{McastRouter: new(4)}), bridge.EINVAL, "p1"},
		{"mcast_router -1", set(1, bridge.PortAttrs{McastRouter: new(-1)}), bridge.EINVAL, "p1"},
		{"mcast_eht_hosts_limit 0", set(1, bridge.PortAttrs{McastEHTHostsLimit: new(uint32(0))}), bridge.EINVAL, "p1"},
		{"group_fwd_mask 2", set(1, bridge.PortAttrs{GroupFwdMask: new(uint16(2))}), bridge.EINVAL, "p1"},
		{"group_fwd_mask ffff", set(1, bridge.PortAttrs{GroupFwdMask: new(uint16(0xffff))}), bridge.EINVAL, "p1"},
		{"MAB, not locked", set(1, bridge.PortAttrs{MAB: new(true)}), bridge.EINVAL, "p1"},
		{"MAB, learning off", set(2, bridge.PortAttrs{MAB: new(true), Learning: new(false)}), bridge.EINVAL, "p2"},
		{"backup itself", set(1, bridge.PortAttrs{BackupPort: new("p1")}), bridge.EINVAL, "p1"},
		{"backup unknown", set(1, bridge.PortAttrs{BackupPort: new("eth9")}), bridge.ENOENT, "p1"},
		{"backup that has left", set(1, bridge.PortAttrs{BackupPort: new("p4")}), bridge.ENOENT, "p1"},
		{"one bad of many", set(2, bridge.PortAttrs{Learning: new(false), Locked: new(false), Hairpin: new(true), FDBFlush: true, Cost: new(0)}), bridge.ERANGE, "p2"},
		{"a bad state behind good ones", set(1, bridge.PortAttrs{Learning: new(false), State: new(bridge.PortState(9)), FDBFlush: true}), bridge.EINVAL, "p1"},
		{"mtu 67", func(l *lab, _ *bridge.Port) error { return l.p(1).SetMTU(67) }, bridge.EINVAL, "p1"},
		{"mtu 0", func(l *lab, _ *bridge.Port) error { return l.p(1).SetMTU(0) }, bridge.EINVAL, "p1"},
		{"mtu 65522", func(l *lab, _ *bridge.Port) error { return l.p(1).SetMTU(65522) }, bridge.EINVAL, "p1"},
		{"address zero", func(l *lab, _ *bridge.Port) error { return l.p(1).SetAddress(zeroMAC) }, bridge.EADDRNOTAVAIL, "p1"},
		{"address group", func(l *lab, _ *bridge.Port) error { return l.p(1).SetAddress(groupMAC) }, bridge.EADDRNOTAVAIL, "p1"},
		{"set on a port that has left", func(_ *lab, g *bridge.Port) error { return g.Set(bridge.PortAttrs{Hairpin: new(true)}) }, bridge.EOPNOTSUPP, "p4"},
		{"state of a port that has left", func(_ *lab, g *bridge.Port) error { return g.Set(state(bridge.StateDisabled)) }, bridge.EOPNOTSUPP, "p4"},
		{"flush of a port that has left", func(_ *lab, g *bridge.Port) error { return g.Set(bridge.PortAttrs{FDBFlush: true}) }, bridge.EOPNOTSUPP, "p4"},
		{"remove a port that has left", func(l *lab, g *bridge.Port) error { return l.b.RemovePort(g) }, bridge.EINVAL, "p4"},
		{"mtu of a device that is no port", func(_ *lab, g *bridge.Port) error { return g.SetMTU(1) }, bridge.EINVAL, "p4"},
		{"address of a device that is no port", func(_ *lab, g *bridge.Port) error { return g.SetAddress(groupMAC) }, bridge.EADDRNOTAVAIL, "p4"},
	})

	l := newLabN(t, bridge.Config{STPState: 1}, 1)
	assertRefused(t, l.p(1).Set(state(bridge.StateBlocking)), bridge.EBUSY, "p1")
	require.NoError(t, l.b.Set(bridge.BridgeAttrs{STPState: new(0)}))
	require.NoError(t, l.p(1).SetLink(true, false))
	assert.NoError(t, l.p(1).Set(state(bridge.StateDisabled)), "disabled may be written without a carrier")
	require.NoError(t, l.p(1).SetLink(false, true))
	assertRefused(t, l.p(1).Set(state(bridge.StateDisabled)), bridge.ENETDOWN, "p1")

	other := newLabN(t, bridge.Config{Name: "br1"}, 1)
	assertRefused(t, l.b.RemovePort(other.p(1)), bridge.EINVAL, "p1")
	assertRefused(t, l.b.FDB().Update(bridge.FDBRequest{Port: other.p(1), MAC: mac(1), State: bridge.NUDNoARP}), bridge.EOPNOTSUPP, "p1")
	assertRefused(t, l.b.FDB().Delete(other.p(1), portMAC(1), nil), bridge.EOPNOTSUPP, "p1")
	_, err := l.b.FDB().Flush(bridge.FDBFlush{Port: other.p(1)})
	assertRefused(t, err, bridge.EINVAL, "p1")
	assert.Equal(t, "host", other.where(portMAC(1), 0))
}

// datapath.md 11: br_add_if. What is refused stays the caller's: its cable is open.
func TestRefusalAddPort(t *testing.T) {
	for _, c := range []struct {
		name string
		port string
		c    bridge.PortConfig
		no   bridge.Errno
	}{
		{"no name", "", bridge.PortConfig{}, bridge.EINVAL},
		{"the bridge's name", "br0", bridge.PortConfig{}, bridge.EINVAL},
		{"a name that is in use", "p1", bridge.PortConfig{}, bridge.EBUSY},
		{"group address", "x", bridge.PortConfig{Address: groupMAC}, bridge.EINVAL},
		{"MTU 67", "x", bridge.PortConfig{MTU: 67}, bridge.EINVAL},
		{"MTU -1", "x", bridge.PortConfig{MTU: -1}, bridge.EINVAL},
		{"MTU 65522", "x", bridge.PortConfig{MTU: 65522}, bridge.EINVAL},
		{"cost -1", "x", bridge.PortConfig{Cost: -1}, bridge.ERANGE},
		{"cost 65536", "x", bridge.PortConfig{Cost: 65536}, bridge.ERANGE},
		{"priority 64", "x", bridge.PortConfig{Priority: new(64)}, bridge.ERANGE},
		{"priority -1", "x", bridge.PortConfig{Priority: new(-1)}, bridge.ERANGE},
		{"group_fwd_mask 2", "x", bridge.PortConfig{GroupFwdMask: 2}, bridge.EINVAL},
		{"MAB without locked", "x", bridge.PortConfig{MAB: true}, bridge.EINVAL},
		{"MAB without learning", "x", bridge.PortConfig{MAB: true, Locked: true, NoLearning: true}, bridge.EINVAL},
		{"VLAN 0", "x", bridge.PortConfig{VLANs: bridge.Access(0)}, bridge.EINVAL},
		{"VLAN 4095", "x", bridge.PortConfig{VLANs: bridge.Trunk(0, 4095)}, bridge.EINVAL},
		{"a queue is nil", "x", bridge.PortConfig{Queues: []bridge.FrameIO{nil}}, bridge.EINVAL},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, _ := refusalLab(t)
			before := snap(l.b)
			io := newRecorder("x", l.log)
			p, err := l.b.AddPort(c.port, io, c.c)
			assert.Nil(t, p)
			assertRefused(t, err, c.no, c.port)
			assert.Equal(t, before, snap(l.b))
			assert.False(t, io.isClosed())
		})
	}
	l, _ := refusalLab(t)
	_, err := l.b.AddPort("x", nil, bridge.PortConfig{})
	assertRefused(t, err, bridge.EINVAL, "x")
	assertRefused(t, l.b.AttachHost(nil, bridge.HostConfig{}), bridge.EINVAL, "br0")
	assertRefused(t, l.b.AttachHost(newRecorder("h", l.log), bridge.HostConfig{}), bridge.EBUSY, "br0")
	assertRefused(t, l.b.RemovePort(nil), bridge.EINVAL, "br0")
}

// The 1024th port is one too many; the lowest free number is given again.
func TestRefusalFull(t *testing.T) {
	l := newLab(t, bridge.Config{VLANDefaultPVID: new(frame.VID(0))})
	var ports []*bridge.Port
	for i := range 1023 {
		p, err := l.b.AddPort(fmt.Sprintf("x%d", i), newRecorder("x", l.log), bridge.PortConfig{})
		require.NoError(t, err)
		ports = append(ports, p)
	}
	_, err := l.b.AddPort("one more", newRecorder("x", l.log), bridge.PortConfig{})
	assertRefused(t, err, bridge.EXFULL, "one more")
	require.NoError(t, l.b.RemovePort(ports[500]))
	require.NoError(t, l.b.RemovePort(ports[7]))
	p, err := l.b.AddPort("again", newRecorder("x", l.log), bridge.PortConfig{})
	require.NoError(t, err)
	assert.Equal(t, 8, p.Info().No)
	all := l.b.Ports()
	assert.Equal(t, "again", all[len(all)-1].Name(), "the newest port")
}

// A bad Config makes no bridge.
func TestRefusalNew(t *testing.T) {
	for _, c := range []struct {
		name string
		c    bridge.Config
		no   bridge.Errno
	}{
		{"group address", bridge.Config{GroupAddress: mac(1)}, bridge.EINVAL},
		{"mask", bridge.Config{GroupFwdMask: 1}, bridge.EINVAL},
		{"MTU", bridge.Config{MTU: 67}, bridge.EINVAL},
		{"MTU above", bridge.Config{MTU: 65536}, bridge.EINVAL},
		{"address", bridge.Config{Address: frame.Broadcast}, bridge.EADDRNOTAVAIL},
		{"hello", bridge.Config{HelloTime: new(time.Minute)}, bridge.ERANGE},
		{"max age", bridge.Config{MaxAge: new(time.Second)}, bridge.ERANGE},
		{"protocol", bridge.Config{VLANProtocol: frame.TypeARP}, bridge.EPROTONOSUPPORT},
		{"default PVID", bridge.Config{VLANDefaultPVID: new(frame.VID(4095))}, bridge.EINVAL},
		{"VLANs", bridge.Config{VLANs: bridge.Access(4095)}, bridge.EINVAL},
		{"range", bridge.Config{VLANs: []bridge.VLAN{{VID: 5, End: 4}}}, bridge.EINVAL},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := bridge.New(c.c)
			assert.Nil(t, b)
			assertRefused(t, err, c.no, "br0")
		})
	}
}

// vlan.md 7 and 9.
func TestRefusalVLAN(t *testing.T) {
	add := func(v bridge.VLAN) func(*lab, *bridge.Port) error {
		return func(l *lab, _ *bridge.Port) error { return l.p(1).VLANs().Add(v) }
	}
	var cases []refusal
	for name, v := range map[string]bridge.VLAN{
		"0": {}, "4095": {VID: 4095}, "end 4095": {VID: 4000, End: 4095}, "PVID and range": {VID: 5, End: 7, PVID: true},
		"end below": {VID: 5, End: 4}, "end equal": {VID: 5, End: 5}, "5000": {VID: 5000},
	} {
		cases = append(cases,
			refusal{"add " + name, add(v), bridge.EINVAL, "p1"},
			refusal{"add to the bridge " + name, func(l *lab, _ *bridge.Port) error { return l.b.VLANs().Add(v) }, bridge.EINVAL, "br0"},
			refusal{"set " + name, func(l *lab, _ *bridge.Port) error {
				return l.p(1).VLANs().Set([]bridge.VLAN{{VID: 77}, v, {VID: 78}})
			}, bridge.EINVAL, "p1"},
		)
		if !v.PVID {
			cases = append(cases,
				refusal{"delete " + name, func(l *lab, _ *bridge.Port) error { return l.p(1).VLANs().Delete(v.VID, v.End) }, bridge.EINVAL, "p1"},
				refusal{"state " + name, func(l *lab, _ *bridge.Port) error {
					return l.p(1).VLANs().SetState(v.VID, v.End, bridge.StateBlocking)
				}, bridge.EINVAL, "p1"},
			)
		}
	}
	state := func(vid, end frame.VID, s bridge.PortState) func(*lab, *bridge.Port) error {
		return func(l *lab, _ *bridge.Port) error { return l.p(3).VLANs().SetState(vid, end, s) }
	}
	runRefusals(t, append(cases,
		refusal{"state of no member", state(99, 0, bridge.StateBlocking), bridge.ENOENT, "p3"},
		refusal{"state of a range that is half there", state(11, 13, bridge.StateBlocking), bridge.ENOENT, "p3"},
		refusal{"state 5", state(10, 0, 5), bridge.EINVAL, "p3"},
		refusal{"port has left: add", func(_ *lab, g *bridge.Port) error { return g.VLANs().Add(bridge.VLAN{VID: 5}) }, bridge.EOPNOTSUPP, "p4"},
		refusal{"port has left: delete", func(_ *lab, g *bridge.Port) error { return g.VLANs().Delete(1, 0) }, bridge.EOPNOTSUPP, "p4"},
		refusal{"port has left: set", func(_ *lab, g *bridge.Port) error { return g.VLANs().Set(nil) }, bridge.EOPNOTSUPP, "p4"},
		refusal{"port has left: state", func(_ *lab, g *bridge.Port) error { return g.VLANs().SetState(1, 0, bridge.StateBlocking) }, bridge.EINVAL, "p4"},
	))
	l := newLabN(t, bridge.Config{STPState: 1}, 1)
	assertRefused(t, l.p(1).VLANs().SetState(1, 0, bridge.StateBlocking), bridge.EBUSY, "p1")
	m := newLab(t, bridge.Config{MSTEnabled: true})
	m.add(1, bridge.PortConfig{})
	assertRefused(t, m.p(1).VLANs().SetState(1, 0, bridge.StateBlocking), bridge.EBUSY, "p1")
}

// What is no answer of Linux's: a closed bridge, and numbers of other names.
func TestRefusalClosed(t *testing.T) {
	l, _ := refusalLab(t)
	p := l.p(1)
	require.NoError(t, l.b.Close())
	require.NoError(t, l.b.Close())
	_, flush := l.b.FDB().Flush(bridge.FDBFlush{})
	_, add := l.b.AddPort("x", newRecorder("x", l.log), bridge.PortConfig{})
	for name, err := range map[string]error{
		"AddPort": add, "RemovePort": l.b.RemovePort(p), "AttachHost": l.b.AttachHost(newRecorder("h", l.log), bridge.HostConfig{}),
		"Set": l.b.Set(bridge.BridgeAttrs{}), "SetUp": l.b.SetUp(false), "SetMTU": l.b.SetMTU(1400), "SetAddress": l.b.SetAddress(mac(1)),
		"SetAddressAuto": l.b.SetAddressAuto(), "SetPromisc": l.b.SetPromisc(true), "SetAllMulti": l.b.SetAllMulti(true),
		"Port.Set": p.Set(bridge.PortAttrs{}), "Port.SetLink": p.SetLink(false, false), "Port.SetMTU": p.SetMTU(1400), "Port.SetAddress": p.SetAddress(mac(1)),
		"VLANs.Add": p.VLANs().Add(bridge.VLAN{VID: 2}), "VLANs.Delete": p.VLANs().Delete(1, 0), "VLANs.Set": l.b.VLANs().Set(nil),
		"VLANs.SetState": p.VLANs().SetState(1, 0, bridge.StateBlocking),
		"FDB.Update":     l.b.FDB().Update(bridge.FDBRequest{Port: p, MAC: mac(1), State: bridge.NUDNoARP}), "FDB.Delete": l.b.FDB().Delete(p, mac(1), nil),
		"FDB.Flush": flush, "AddMDB": l.b.AddMDB(bridge.MDBRequest{Port: p}), "DeleteMDB": l.b.DeleteMDB(bridge.MDBRequest{Port: p}),
		"Xmit": l.b.Xmit(ether(mac(1), mac(2))), "Serve": l.b.Serve(context.Background()),
	} {
		assert.ErrorIs(t, err, net.ErrClosed, name)
	}
	l.log.take()
	_ = p.Receive(ether(frame.Broadcast, mac(1)))
	assert.Empty(t, l.log.take(), "a closed bridge carries nothing")
	l.b.Tick(l.clock.now().Add(time.Hour))
	_, ok := l.b.NextTimer()
	assert.False(t, ok)
}

func TestErrno(t *testing.T) {
	assert.ErrorIs(t, bridge.EOPNOTSUPP, errors.ErrUnsupported)
	assert.ErrorIs(t, bridge.ENOTSUPP, errors.ErrUnsupported)
	assert.NotErrorIs(t, bridge.EINVAL, errors.ErrUnsupported)
	l, gone := refusalLab(t)
	assert.ErrorIs(t, gone.Set(bridge.PortAttrs{}), errors.ErrUnsupported)
	if runtime.GOOS == "linux" {
		err := l.b.SetMTU(1)
		assert.ErrorIs(t, err, syscall.EINVAL)
		assert.NotErrorIs(t, err, syscall.EBUSY)
		assert.ErrorIs(t, bridge.ENOTSUPP, syscall.Errno(524))
		assert.ErrorIs(t, bridge.EOPNOTSUPP, syscall.EOPNOTSUPP)
	}
	for no, name := range map[bridge.Errno]string{bridge.EPERM: "EPERM", bridge.EXFULL: "EXFULL", bridge.ENOTSUPP: "ENOTSUPP"} {
		assert.Equal(t, name, no.Name())
		assert.NotEmpty(t, no.Error())
	}
}

// What a packet socket answers to the host (section 7).
func TestRefusalXmit(t *testing.T) {
	l, _ := refusalLab(t)
	long := etherN(frame.Broadcast, mac(9), 1514)
	assert.NoError(t, l.b.Xmit(long))
	assert.NoError(t, l.b.Xmit(dot1q(long, 5)), "a tag may come on top")
	assert.NoError(t, l.b.Xmit(aside(long, frame.TypeDot1Q, 5)))
	before := snap(l.b)
	assertRefused(t, l.b.Xmit(etherN(frame.Broadcast, mac(9), 1515)), bridge.EMSGSIZE, "br0")
	assertRefused(t, l.b.Xmit(dot1q(etherN(frame.Broadcast, mac(9), 1515), 5)), bridge.EMSGSIZE, "br0")
	assertRefused(t, l.b.Xmit(frame.Frame{Data: long.Data[:13]}), bridge.EINVAL, "br0")
	assertRefused(t, l.b.Xmit(frame.Frame{}), bridge.EINVAL, "br0")
	assert.Equal(t, before, snap(l.b))
	require.NoError(t, l.b.SetUp(false))
	assertRefused(t, l.b.Xmit(long), bridge.ENETDOWN, "br0")
	s := l.b.Stats()
	assert.EqualValues(t, 3, s.TxPackets, "what is refused at the door is not sent")
	assert.EqualValues(t, 8, s.Ingress.Received)
	balanced(t, l.b)
}

package bridge_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The outcomes in these tests were observed: of Linux 6.1.192, 6.12.107 and 6.18.44,
// the same bridges, requests and neighbours.

// neighMAC is the address of station n, whose IP addresses are ip4(n) and ip6(n).
func neighMAC(n int) frame.MAC { return frame.MAC{2, 0, 0, 0, 0x0a, byte(n)} }
func ip4(n int) netip.Addr     { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }
func ip6(n int) netip.Addr     { return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(n)}) }

var hostMAC = frame.MAC{2, 0, 0, 0, 0x0b, 0}

// arp is an ARP packet as a station sends it: for the address of the sender its own,
// with no padding.
type arp struct {
	dst, src       frame.MAC // dst zero: broadcast
	sha            frame.MAC // zero: src
	op             uint16    // 0: a request
	sender, target netip.Addr
	etype          frame.EtherType // 0: ARP
}

func (a arp) frame() frame.Frame {
	if a.dst.IsZero() {
		a.dst = frame.Broadcast
	}
	if a.sha.IsZero() {
		a.sha = a.src
	}
	if a.op == 0 {
		a.op = 1
	}
	if a.etype == 0 {
		a.etype = frame.TypeARP
	}
	b := slices.Concat(a.dst[:], a.src[:], []byte{byte(a.etype >> 8), byte(a.etype), 0, 1, 8, 0, 6, 4, 0, byte(a.op)})
	return frame.Frame{Data: slices.Concat(b, a.sha[:], a.sender.AsSlice(), make([]byte, 6), a.target.AsSlice())}
}

// whoHas is station n's request for the address of station m.
func whoHas(n, m int) frame.Frame {
	return arp{src: neighMAC(n), sender: ip4(n), target: ip4(m)}.frame()
}

// nd is a neighbour message with a right checksum.
type nd struct {
	dst, src         frame.MAC
	from, to, target netip.Addr
	kind, code       byte // 0: a solicitation
	flags            byte
	class            byte
	hops             byte // 0: 255
	options          []byte
}

func (m nd) frame() frame.Frame {
	if m.kind == 0 {
		m.kind = 135
	}
	if m.hops == 0 {
		m.hops = 255
	}
	icmp := slices.Concat([]byte{m.kind, m.code, 0, 0, m.flags, 0, 0, 0}, m.target.AsSlice(), m.options)
	binary.BigEndian.PutUint16(icmp[2:], frame.Checksum(icmp, frame.PseudoSum(m.from.AsSlice(), m.to.AsSlice(), 58, len(icmp))))
	ip := []byte{0x60 | m.class>>4, m.class << 4, 0, 0, 0, byte(len(icmp)), 58, m.hops}
	return frame.Frame{Data: slices.Concat(m.dst[:], m.src[:], []byte{0x86, 0xdd}, ip, m.from.AsSlice(), m.to.AsSlice(), icmp)}
}

var (
	solicitedNode    = netip.MustParseAddr("ff02::1:ff00:2")
	solicitedNodeMAC = frame.MAC{0x33, 0x33, 0xff, 0, 0, 2}
	allNodesMAC      = frame.MAC{0x33, 0x33, 0, 0, 0, 1}
)

// sourceLink is a source link-layer address option.
func sourceLink(m frame.MAC) []byte { return append([]byte{1, 1}, m[:]...) }

// solicit is station n's multicast solicitation for station m.
func solicit(n, m int) nd {
	return nd{dst: solicitedNodeMAC, src: neighMAC(n), from: ip6(n), to: solicitedNode, target: ip6(m), options: sourceLink(neighMAC(n))}
}

// neighLab is three ports, on each of which station n is known, and a host that knows
// the stations and one more, station 7, which the FDB does not.
func neighLab(t testing.TB, c bridge.Config, table *bridge.HostTable) *lab {
	t.Helper()
	c.Host, c.Address = table, hostMAC
	l := newLabN(t, c, 3)
	for n := range 3 {
		l.learn(n+1, neighMAC(n+1))
	}
	for _, n := range []int{1, 2, 3, 7} {
		table.SetNeighbour(0, ip4(n), bridge.Neighbour{MAC: neighMAC(n)})
		table.SetNeighbour(0, ip6(n), bridge.Neighbour{MAC: neighMAC(n)})
	}
	return l
}

func on() *bool  { return new(true) }
func off() *bool { return new(false) }

// went is what came of f, which went into port n: the devices that it left by,
// sorted, and those, with an exclamation mark, by which something else left.
func (l *lab) went(n int, f frame.Frame) string {
	l.t.Helper()
	var names []string
	for _, d := range l.in(n, f) {
		if !bytes.Equal(d.wire, wireOf(f)) {
			d.dev += "!"
		}
		names = append(names, d.dev)
	}
	balanced(l.t, l.b)
	slices.Sort(names)
	return strings.Join(names, " ")
}

// byKernel is what came of a frame under the three releases: 6.1, 6.12, 6.18.
type byKernel [3]string

func inAll(s string) byKernel { return byKernel{s, s, s} }

var neighKernels = [3]bridge.Kernel{bridge.Linux6_1, bridge.Linux6_12, bridge.Linux6_18}

// neighRows runs rows on a bridge that suppresses on port 2.
func neighRows(t *testing.T, rows []neighRow) {
	for i, k := range neighKernels {
		for _, r := range rows {
			t.Run(fmt.Sprintf("%v %s", k, r.name), func(t *testing.T) {
				table := new(bridge.HostTable)
				l := neighLab(t, bridge.Config{Kernel: k}, table)
				l.set(2, bridge.PortAttrs{NeighSuppress: on()})
				if r.prepare != nil {
					r.prepare(table)
				}
				assert.Equal(t, r.want[i], l.went(r.from, r.f))
			})
		}
	}
}

type neighRow struct {
	name    string
	from    int
	f       frame.Frame
	want    byKernel
	prepare func(*bridge.HostTable)
}

// The rows of ARP, in the order of the checks.
func TestSuppressARP(t *testing.T) {
	broken := func(at int, b byte) frame.Frame {
		f := whoHas(1, 2)
		f.Data[at] = b
		return f
	}
	padded, short := whoHas(1, 2), whoHas(1, 2)
	padded.Data = append(padded.Data, make([]byte, 18)...)
	short.Data = short.Data[:41]
	a1 := neighMAC(1)
	from := func(sender string, m int) frame.Frame {
		return arp{src: a1, sender: netip.MustParseAddr(sender), target: ip4(m)}.frame()
	}
	to := func(target string) frame.Frame {
		return arp{src: a1, sender: ip4(1), target: netip.MustParseAddr(target)}.frame()
	}
	const flooded, answered, kept = "br0 p2 p3", "br0 p1! p3", "br0 p3"
	neighRows(t, []neighRow{
		{name: "too short", from: 1, f: short, want: inAll(flooded)},
		{name: "another protocol", from: 1, f: broken(16, 0x86), want: inAll(flooded)},
		{name: "another length of hardware addresses", from: 1, f: broken(18, 8), want: inAll(flooded)},
		{name: "another length of protocol addresses", from: 1, f: broken(19, 16), want: inAll(flooded)},
		{name: "of what hardware does not matter", from: 1, f: broken(15, 6), want: inAll(answered)},
		{name: "loopback target", from: 1, f: to("127.0.0.1"), want: inAll(flooded)},
		{name: "multicast target", from: 1, f: to("224.0.0.1"), want: inAll(flooded)},
		{name: "from the suppressing port", from: 2, f: whoHas(2, 1), want: inAll("br0 p1 p3")},
		{name: "gratuitous from the suppressing port", from: 2, f: whoHas(2, 2), want: inAll("br0 p1 p3")},
		{name: "unicast", from: 1, f: arp{dst: neighMAC(2), src: a1, sender: ip4(1), target: ip4(2)}.frame(),
			want: byKernel{"p1! p2", "p1! p2", "p2"}},
		{name: "to a group address", from: 1, f: arp{dst: frame.MAC{3, 0, 0, 0, 0, 1}, src: a1, sender: ip4(1), target: ip4(2)}.frame(),
			want: inAll(answered)},
		{name: "probe", from: 1, f: from("0.0.0.0", 2), want: byKernel{answered, kept, kept}},
		{name: "probe of an unknown address", from: 1, f: from("0.0.0.0", 9), want: byKernel{flooded, kept, kept}},
		{name: "0.0.0.0/8 is no probe", from: 1, f: from("0.1.2.3", 2), want: inAll(answered)},
		{name: "gratuitous request", from: 1, f: whoHas(1, 1), want: inAll(kept)},
		{name: "gratuitous reply", from: 1, f: arp{op: 2, src: a1, sender: ip4(1), target: ip4(1)}.frame(), want: inAll(kept)},
		{name: "reply from nobody", from: 1, f: arp{op: 2, src: a1, sender: netip.IPv4Unspecified(), target: ip4(1)}.frame(),
			want: byKernel{flooded, kept, kept}},
		{name: "RARP", from: 1, f: arp{op: 3, src: a1, sender: ip4(1), target: ip4(1), etype: 0x8035}.frame(), want: inAll(flooded)},
		{name: "RARP as ARP", from: 1, f: arp{op: 4, src: a1, sender: ip4(1), target: ip4(1)}.frame(), want: inAll(flooded)},
		{name: "ARP as RARP", from: 1, f: arp{src: a1, sender: ip4(1), target: ip4(2), etype: 0x8035}.frame(), want: inAll(answered)},
		{name: "reply", from: 1, f: arp{op: 2, src: a1, sender: ip4(1), target: ip4(2)}.frame(), want: inAll(flooded)},
		{name: "for the host", from: 1, f: whoHas(1, 2), want: inAll(kept),
			prepare: func(h *bridge.HostTable) { h.AddAddress(0, ip4(2)) }},
		{name: "for a VLAN device of the host", from: 1, f: whoHas(1, 2), want: inAll(kept),
			prepare: func(h *bridge.HostTable) { h.AddVLANDevice(frame.TypeDot1Q, 5); h.AddAddress(5, ip4(2)) }},
		{name: "no neighbour", from: 1, f: whoHas(1, 9), want: inAll(flooded)},
		{name: "neighbour deleted", from: 1, f: whoHas(1, 2), want: inAll(flooded),
			prepare: func(h *bridge.HostTable) { h.DeleteNeighbour(0, ip4(2)) }},
		{name: "not in the FDB", from: 1, f: whoHas(1, 7), want: inAll(flooded)},
		{name: "behind the suppressing port", from: 1, f: whoHas(1, 2), want: inAll(answered)},
		{name: "padded", from: 1, f: padded, want: inAll(answered)},
		{name: "behind another port", from: 3, f: whoHas(3, 1), want: inAll("br0 p1")},
		{name: "the suppressing port's own address", from: 1, f: whoHas(1, 2), want: inAll(answered),
			prepare: func(h *bridge.HostTable) { h.SetNeighbour(0, ip4(2), bridge.Neighbour{MAC: portMAC(2)}) }},
		{name: "the bridge's own address", from: 1, f: whoHas(1, 2), want: inAll(kept),
			prepare: func(h *bridge.HostTable) { h.SetNeighbour(0, ip4(2), bridge.Neighbour{MAC: hostMAC}) }},
		{name: "tagged, without filtering", from: 1, f: dot1q(whoHas(1, 2), 5), want: inAll(answered)},
		{name: "double tagged", from: 1, f: dot1q(dot1q(whoHas(1, 2), 5), 7), want: inAll(flooded)},
		{name: "tagged by the host", from: 0, f: dot1q(whoHas(1, 2), 5), want: inAll("p1 p2 p3")},
	})
}

// The rows of IPv6, in the order of the checks.
func TestSuppressND(t *testing.T) {
	const flooded, answered, kept = "br0 p2 p3", "br0 p1! p3", "br0 p3"
	with := func(change func(*nd)) frame.Frame {
		m := solicit(1, 2)
		change(&m)
		return m.frame()
	}
	short, other, version, sum := solicit(1, 2).frame(), solicit(1, 2).frame(), solicit(1, 2).frame(), solicit(1, 2).frame()
	short.Data, other.Data[20], version.Data[14] = short.Data[:77], 0, 0x40
	sum.Data[56] ^= 0xff
	na := func(flags byte) frame.Frame {
		return nd{dst: allNodesMAC, src: neighMAC(1), kind: 136, flags: flags, from: ip6(1), to: netip.MustParseAddr("ff02::1"), target: ip6(1)}.frame()
	}
	neighRows(t, []neighRow{
		{name: "too short", from: 1, f: short, want: inAll(flooded)},
		{name: "behind an extension header", from: 1, f: other, want: inAll(flooded)},
		{name: "another code", from: 1, f: with(func(m *nd) { m.code = 1 }), want: inAll(flooded)},
		{name: "router solicitation", from: 1, f: with(func(m *nd) { m.kind = 133 }), want: inAll(flooded)},
		{name: "from the suppressing port", from: 2, f: solicit(2, 1).frame(), want: inAll("br0 p1 p3")},
		{name: "unicast", from: 1, f: with(func(m *nd) { m.dst, m.to = neighMAC(2), ip6(2) }), want: byKernel{"p1! p2", "p1! p2", "p2"}},
		{name: "unsolicited advertisement", from: 1, f: na(0x20), want: inAll(kept)},
		{name: "solicited advertisement", from: 1, f: na(0x60), want: inAll(flooded)},
		{name: "duplicate address detection", from: 1, f: with(func(m *nd) { m.from, m.options = netip.IPv6Unspecified(), nil }),
			want: byKernel{answered, kept, kept}},
		{name: "unicast duplicate address detection", from: 1, f: with(func(m *nd) { m.dst, m.from = neighMAC(2), netip.IPv6Unspecified() }),
			want: byKernel{"p1! p2", "p2", "p2"}},
		{name: "to itself", from: 1, f: with(func(m *nd) { m.to = m.from }), want: inAll(kept)},
		{name: "for the host", from: 1, f: solicit(1, 2).frame(), want: inAll(kept),
			prepare: func(h *bridge.HostTable) { h.AddAddress(0, ip6(2)) }},
		{name: "no neighbour", from: 1, f: solicit(1, 9).frame(), want: inAll(flooded)},
		{name: "an IPv4 neighbour is not meant", from: 1, want: inAll(flooded),
			f: with(func(m *nd) { m.target = netip.MustParseAddr("::ffff:10.0.0.2") })},
		{name: "not in the FDB", from: 1, f: solicit(1, 7).frame(), want: inAll(flooded)},
		{name: "behind the suppressing port", from: 1, f: solicit(1, 2).frame(), want: inAll(answered)},
		{name: "behind another port", from: 3, f: solicit(3, 1).frame(), want: inAll("br0 p1")},
		{name: "without options", from: 1, f: with(func(m *nd) { m.options = nil }), want: inAll(answered)},
		{name: "option without length", from: 1, f: with(func(m *nd) { m.options[1] = 0 }), want: inAll(kept)},
		{name: "option too long", from: 1, f: with(func(m *nd) { m.options[1] = 2 }), want: inAll(kept)},
		{name: "option cut off", from: 1, f: with(func(m *nd) { m.options = []byte{1, 1} }), want: inAll(kept)},
		{name: "half an option header", from: 1, f: with(func(m *nd) { m.options = []byte{1} }), want: inAll(answered)},
		{name: "malformed behind the address", from: 1, f: with(func(m *nd) { m.options = append(m.options, 14, 0, 0, 0, 0, 0, 0, 0) }),
			want: inAll(answered)},
		{name: "version, hop limit and checksum do not matter", from: 1, f: version, want: inAll(answered)},
		{name: "a wrong checksum", from: 1, f: sum, want: inAll(answered)},
		{name: "any hop limit", from: 1, f: with(func(m *nd) { m.hops = 64 }), want: inAll(answered)},
		{name: "tagged, without filtering", from: 1, f: dot1q(solicit(1, 2).frame(), 5), want: inAll(answered)},
		{name: "of the host", from: 0, f: solicit(1, 2).frame(), want: inAll("br0! p1 p3")},
	})
}

// Answers, byte by byte as the kernels sent them.
func TestAnswerBytes(t *testing.T) {
	const (
		arpReply = "020000000a01020000000a0208060001080006040002020000000a020a000002020000000a010a000001"
		naHead   = "020000000a01020000000a0286dd6000000000203aff" + "fe800000000000000000000000000002" + "fe800000000000000000000000000001"
		naTail   = "fe800000000000000000000000000002" + "0201020000000a02"
	)
	elsewhere := neighMAC(0x66)
	for _, c := range []struct {
		name   string
		f      frame.Frame
		router bool
		want   string
	}{
		{"ARP", whoHas(1, 2), false, arpReply},
		{"ARP, the answer goes to the sender in the packet",
			arp{src: neighMAC(1), sha: neighMAC(0x77), sender: ip4(1), target: ip4(2)}.frame(), false,
			"020000000a77020000000a0208060001080006040002020000000a020a000002020000000a770a000001"},
		{"solicitation", solicit(1, 2).frame(), false, naHead + "88000e1a60000000" + naTail},
		{"of a router", solicit(1, 2).frame(), true, naHead + "88008e19e0000000" + naTail},
		{"another link-layer address, behind a nonce", func() frame.Frame {
			m := solicit(1, 2)
			m.options = append([]byte{14, 1, 1, 2, 3, 4, 5, 6}, sourceLink(elsewhere)...)
			return m.frame()
		}(), false, "020000000a66" + naHead[12:] + "88000e1a60000000" + naTail},
		{"traffic class", func() frame.Frame { m := solicit(1, 2); m.class = 0xab; return m.frame() }(), false,
			"020000000a01020000000a0286dd6a00000000203aff" + naHead[44:] + "88000e1a60000000" + naTail},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := new(bridge.HostTable)
			l := neighLab(t, bridge.Config{}, table)
			l.set(2, bridge.PortAttrs{NeighSuppress: on()})
			if c.router {
				table.SetNeighbour(0, ip6(2), bridge.Neighbour{MAC: neighMAC(2), Router: true})
			}
			got := wires(l.in(1, c.f), "p1")
			require.Len(t, got, 1)
			assert.Equal(t, c.want, hex.EncodeToString(got[0]))
		})
	}
}

// Linux 6.1 answers duplicate address detection to all nodes, whatever address its
// asker names.
func TestAnswerToDAD(t *testing.T) {
	l := neighLab(t, bridge.Config{Kernel: bridge.Linux6_1}, new(bridge.HostTable))
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	m := solicit(1, 2)
	m.from = netip.IPv6Unspecified()
	got := wires(l.in(1, m.frame()), "p1")
	require.Len(t, got, 1)
	assert.Equal(t, "333300000001020000000a0286dd6000000000203afffe800000000000000000000000000002ff02000000000000000000000000000188004d9820000000fe8000000000000000000000000000020201020000000a02",
		hex.EncodeToString(got[0]))
}

// A port without a carrier sends no answer either. Only with MST does a request come in
// by one.
func TestNoAnswerWithoutCarrier(t *testing.T) {
	table := new(bridge.HostTable)
	l := neighLab(t, bridge.Config{MSTEnabled: true, VLANDefaultPVID: new(frame.VID(0))}, table)
	l.set(2, bridge.PortAttrs{NeighSuppress: on()})
	require.Equal(t, []string{"p1", "p3", "br0"}, l.out(1, whoHas(1, 2)))
	require.NoError(t, l.p(1).SetLink(true, false))
	e := l.p(1).Explain(whoHas(1, 2))
	require.Equal(t, []string{"p3", "br0"}, l.out(1, whoHas(1, 2)))
	require.Len(t, e.Out, 2)
	require.EqualValues(t, 1, l.p(1).Stats().Egress.Refused[bridge.DropPortDown])
	balanced(t, l.b)
}

package snoop_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// a bench is a machine with ports 1 to n, up and forwarding, and what came out of it.
type bench struct {
	t       testing.TB
	m       *snoop.Machine
	now     time.Duration
	queries []snoop.Query
	events  []snoop.Event
	limited bool // a port has a limit of groups

	given map[snoop.Key]bool // (S,G) of the sources that random's requests gave port 3
}

var bridgeMAC = frame.MustParseMAC("02:00:00:00:0b:00")

func newBench(t testing.TB, ports int, rules snoop.Rules) *bench {
	b := &bench{t: t, given: map[snoop.Key]bool{}}
	b.m = snoop.New(snoop.Config{
		Rules: rules, Seed: 1,
		Send:   func(q snoop.Query) { q.Data = slices.Clone(q.Data); b.queries = append(b.queries, q) },
		Notify: func(e snoop.Event) { b.events = append(b.events, e) },
	})
	b.m.SetSource(snoop.Source{MAC: bridgeMAC, IPv6: ip("fe80::b")})
	b.m.SetUp(0, true)
	for num := range ports {
		b.m.AddPort(uint16(num + 1))
		b.m.SetPortState(uint16(num+1), snoop.Forwarding)
		b.m.EnablePort(0, uint16(num+1))
	}
	b.m.Tick(0)
	return b
}

// options changes settings.
func (b *bench) options(do func(*snoop.Options)) {
	o, ok := b.m.Options(0)
	require.True(b.t, ok)
	do(&o)
	require.NoError(b.t, b.m.SetOptions(b.now, 0, o))
}

func modern(o *snoop.Options) { o.IGMPVersion, o.MLDVersion = 3, 2 }

func (b *bench) wait(d time.Duration) {
	for end := b.now + d; ; {
		at, ok := b.m.NextTimer()
		if !ok || at > end {
			b.now = end
			return
		}
		b.now = max(b.now, at)
		b.m.Tick(b.now)
	}
}

// receive takes in a frame, after a dry run that must say the same.
func (b *bench) receive(port uint16, data []byte) error {
	b.t.Helper()
	return b.receiveIn(port, 0, data)
}

func (b *bench) receiveIn(port uint16, vid frame.VID, data []byte) error {
	b.t.Helper()
	f := frame.Frame{Data: data}
	var p snoop.Packet
	if err := b.m.View().Parse(&f, vid, &p); err != nil {
		return err
	}
	if !p.Control() {
		return nil
	}
	dry := b.m.Check(port, vid, &p)
	err := b.m.Handle(b.now, port, vid, &p)
	if p.Records <= 1 { // of several, some may make room for others
		require.Equal(b.t, err, dry, "the dry run")
	}
	return err
}

// targets are the ports that a frame goes to; hit is false where it is flooded.
func (b *bench) targets(data []byte) (ports []uint16, hit bool) {
	b.t.Helper()
	f := frame.Frame{Data: data}
	var p snoop.Packet
	require.NoError(b.t, b.m.View().Parse(&f, 0, &p))
	d := b.m.View().Decide(&p, 0)
	for to, ok := d.Next(); ok; to, ok = d.Next() {
		ports = append(ports, to.Port)
	}
	return ports, d.Hit
}

// rows are the entries of a group.
func (b *bench) rows(k snoop.Key) []snoop.Entry {
	rows, _ := b.m.Lookup(b.now, k)
	return rows
}

func ip(s string) snoop.Addr {
	a, _ := snoop.AddrOf(netip.MustParseAddr(s))
	return a
}

// group is the key of a group, with a source or "".
func group(g, s string) snoop.Key {
	a, f := snoop.AddrOf(netip.MustParseAddr(g))
	k := snoop.Key{Group: a, Family: f}
	if s != "" {
		k.Source = ip(s)
	}
	return k
}

func hostMAC(n byte) frame.MAC { return frame.MAC{2, 0, 0, 0, 0x0a, n} }

// packet4 is an IPv4 packet in a frame to dst's MAC address.
func packet4(n byte, src, dst string, protocol byte, payload []byte) []byte {
	to := netip.MustParseAddr(dst).As4()
	from := netip.MustParseAddr(src).As4()
	mac := hostMAC(n)
	b := append([]byte{1, 0, 0x5e, to[1] & 0x7f, to[2], to[3]}, mac[:]...)
	b = append(b, 8, 0, 0x46, 0xc0)
	b = binary.BigEndian.AppendUint16(b, uint16(24+len(payload)))
	b = append(b, 0, 0, 0x40, 0, 1, protocol, 0, 0)
	b = append(b, from[:]...)
	b = append(b, to[:]...)
	b = append(b, 0x94, 4, 0, 0)
	binary.BigEndian.PutUint16(b[24:], frame.Checksum(b[14:38], 0))
	return append(b, payload...)
}

func sumIGMP(b []byte) []byte {
	binary.BigEndian.PutUint16(b[2:], 0)
	binary.BigEndian.PutUint16(b[2:], frame.Checksum(b, 0))
	return b
}

func host4(n byte) string { return netip.AddrFrom4([4]byte{10, 0, 0, n}).String() }
func host6(n byte) string { return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: n}).String() }

// message is one of the short messages: type, code, group.
func message(typ, code byte, g string) []byte {
	a := ip(g)
	return sumIGMP(append([]byte{typ, code, 0, 0}, a[:4]...))
}

func join4(n byte, g string) []byte {
	return packet4(n, host4(n), g, 2, message(snoop.TypeIGMPv2Report, 0, g))
}

func leave4(n byte, g string) []byte {
	return packet4(n, host4(n), "224.0.0.2", 2, message(snoop.TypeIGMPLeave, 0, g))
}

func query4(n byte, src string, tenths byte) []byte {
	return packet4(n, src, "224.0.0.1", 2, message(snoop.TypeIGMPQuery, tenths, "0.0.0.0"))
}

// packet6 is ICMPv6 behind a hop-by-hop header with Router Alert.
func packet6(n byte, src, dst string, payload []byte) []byte {
	from, to := ip(src), ip(dst)
	mac := hostMAC(n)
	b := append([]byte{0x33, 0x33}, to[12:]...)
	b = append(b, mac[:]...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	b = append(b, 0, 1)
	b = append(b, from[:]...)
	b = append(b, to[:]...)
	b = append(b, 58, 0, 5, 2, 0, 0, 1, 0)
	at := len(b)
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[at+2:], 0)
	binary.BigEndian.PutUint16(b[at+2:], frame.Checksum(b[at:], frame.PseudoSum(from[:], to[:], 58, len(payload))))
	return b
}

func message6(typ byte, code uint16, g string) []byte {
	a := ip(g)
	b := binary.BigEndian.AppendUint16([]byte{typ, 0, 0, 0}, code)
	return append(append(b, 0, 0), a[:]...)
}

func join6(n byte, g string) []byte {
	return packet6(n, host6(n), g, message6(snoop.TypeMLDv1Report, 0, g))
}

func leave6(n byte, g string) []byte {
	return packet6(n, host6(n), "ff02::2", message6(snoop.TypeMLDDone, 0, g))
}

func query6(n byte, src string, ms uint16) []byte {
	return packet6(n, src, "ff02::1", message6(snoop.TypeMLDQuery, ms, "::"))
}

type record struct {
	typ     snoop.RecordType
	group   string
	sources []string
}

func records(g4 bool, all []record) (b []byte) {
	b = []byte{snoop.TypeIGMPv3Report, 0, 0, 0, 0, 0}
	size := 4
	if !g4 {
		b[0], size = snoop.TypeMLDv2Report, 16
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(all)))
	for _, r := range all {
		b = append(b, byte(r.typ), 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.sources)))
		a := ip(r.group)
		b = append(b, a[:size]...)
		for _, s := range r.sources {
			a := ip(s)
			b = append(b, a[:size]...)
		}
	}
	return b
}

// report is a report of IGMPv3 or MLDv2, by the family of its first group.
func report(n byte, all ...record) []byte {
	if netip.MustParseAddr(all[0].group).Is4() {
		return packet4(n, host4(n), "224.0.0.22", 2, sumIGMP(records(true, all)))
	}
	return packet6(n, host6(n), "ff02::16", records(false, all))
}

// data is a packet of a group.
func data(src, dst string) []byte {
	if netip.MustParseAddr(dst).Is4() {
		return packet4(0x77, src, dst, 17, []byte("a datagram"))
	}
	from, to := ip(src), ip(dst)
	mac := hostMAC(0x77)
	b := append([]byte{0x33, 0x33}, to[12:]...)
	b = append(b, mac[:]...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64)
	b = append(b, from[:]...)
	b = append(b, to[:]...)
	return append(b, "datagram"...)
}

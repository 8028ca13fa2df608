package snoop_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

func parse(t testing.TB, data []byte) (p snoop.Packet, err error) {
	t.Helper()
	f := frame.Frame{Data: data}
	f.Lift()
	require.True(t, f.WellFormed())
	before := slices.Clone(data)
	err = p.Parse(&f)
	require.Equal(t, before, data, "the frame is as it was")
	return p, err
}

// with changes bytes of a copy; the IPv4 header's checksum is made right again.
func with(data []byte, at int, bytes ...byte) []byte {
	b := slices.Clone(data)
	copy(b[at:], bytes)
	if b[12] == 8 && at < 38 && at != 24 {
		binary.BigEndian.PutUint16(b[24:], 0)
		binary.BigEndian.PutUint16(b[24:], frame.Checksum(b[14:38], 0))
	}
	return b
}

func raw6(typ byte, size int) []byte { return append([]byte{typ}, make([]byte, size-1)...) }

// TestParse has the rules of ip_mc_check_igmp and ipv6_mc_check_mld, and what
// becomes of frames that are no message.
func TestParse(t *testing.T) {
	igmp := func(payload []byte) []byte { return packet4(1, "10.0.0.1", "224.0.0.1", 2, sumIGMP(payload)) }
	mld := func(src, dst string, payload []byte) []byte { return packet6(1, src, dst, payload) }
	join := join4(1, "239.1.1.1")
	v3query := append(message(snoop.TypeIGMPQuery, 0x9f, "0.0.0.0"), 2|8, 125, 0, 0)
	v2query6 := append(message6(snoop.TypeMLDQuery, 0x8345, "::"), 2, 125, 0, 0)
	tests := []struct {
		name string
		data []byte
		kind snoop.Kind
		only bool // RoutersOnly
		err  error
		also func(t *testing.T, p snoop.Packet)
	}{
		{name: "v2 report", data: join, kind: snoop.KindReport, only: true, also: func(t *testing.T, p snoop.Packet) {
			assert.Equal(t, ip("239.1.1.1"), p.Group)
			assert.Equal(t, hostMAC(1), p.EthSrc)
			assert.Equal(t, uint8(2), p.Version)
		}},
		{name: "v1 report", data: packet4(1, "10.0.0.1", "239.1.1.1", 2, message(snoop.TypeIGMPv1Report, 0, "239.1.1.1")), kind: snoop.KindReport, only: true},
		{name: "leave", data: leave4(1, "239.1.1.1"), kind: snoop.KindLeave},
		{name: "v3 report", data: report(1, record{snoop.IsIn, "239.1.1.1", []string{"10.1.1.1"}}), kind: snoop.KindReportV3},
		{name: "v1 query", data: igmp(message(snoop.TypeIGMPQuery, 0, "0.0.0.0")), kind: snoop.KindQuery, also: delay(10*time.Second, 1)},
		{name: "v1 query of a group is general", data: packet4(1, "10.0.0.1", "239.1.1.1", 2, message(snoop.TypeIGMPQuery, 0, "239.1.1.1")), kind: snoop.KindQuery,
			also: func(t *testing.T, p snoop.Packet) { assert.Zero(t, p.Group) }},
		{name: "v2 query", data: igmp(message(snoop.TypeIGMPQuery, 255, "0.0.0.0")), kind: snoop.KindQuery, also: delay(25500*time.Millisecond, 2)},
		{name: "v3 query", data: igmp(v3query), kind: snoop.KindQuery, also: func(t *testing.T, p snoop.Packet) {
			delay(time.Duration(0xf|0x10)<<4*100*time.Millisecond, 3)(t, p)
			assert.True(t, p.Suppress)
		}},
		{name: "query of 10 bytes", data: igmp(append(message(snoop.TypeIGMPQuery, 1, "0.0.0.0"), 0, 0)), err: snoop.BadLength},
		{name: "general query to a group", data: packet4(1, "10.0.0.1", "239.1.1.1", 2, message(snoop.TypeIGMPQuery, 1, "0.0.0.0")), err: snoop.BadQuery},
		{name: "IGMP of 7 bytes", data: igmp([]byte{snoop.TypeIGMPv2Report, 0, 0, 0, 239, 1, 1}), err: snoop.BadLength},
		{name: "IGMP checksum", data: with(join, 45, 99), err: snoop.BadChecksum},
		{name: "unknown IGMP", data: packet4(1, "10.0.0.1", "239.1.1.1", 2, message(0x99, 0, "239.1.1.1")), only: true},
		{name: "unknown IGMP, checksum", data: with(packet4(1, "10.0.0.1", "239.1.1.1", 2, message(0x99, 0, "239.1.1.1")), 40, 1, 1), err: snoop.BadChecksum},
		{name: "IP checksum", data: with(data("10.0.0.1", "239.1.1.1"), 24, 1, 2), err: snoop.BadChecksum},
		{name: "IP version", data: with(join, 14, 0x56), err: snoop.BadHeader},
		{name: "header length", data: with(join, 14, 0x44), err: snoop.BadHeader},
		{name: "total length too long", data: with(join, 16, 0, 200), err: snoop.BadHeader},
		{name: "total length within the header", data: with(join, 16, 0, 23), err: snoop.BadHeader},
		{name: "cut within the header", data: join[:30], err: snoop.BadHeader},
		{name: "nothing behind the type", data: join[:14], err: snoop.BadHeader},
		{name: "padded", data: append(slices.Clone(join), 1, 2, 3, 4), kind: snoop.KindReport, only: true, also: func(t *testing.T, p snoop.Packet) {
			assert.Equal(t, 4, p.Padding)
		}},
		{name: "data", data: data("10.0.0.1", "239.1.1.1"), only: true},
		{name: "data of the link", data: data("10.0.0.1", "224.0.0.5")},
		{name: "PIM hello", data: packet4(1, "10.0.0.1", "224.0.0.13", 103, []byte{0x20, 0, 0, 0}), kind: snoop.KindRouter},
		{name: "PIM join", data: packet4(1, "10.0.0.1", "224.0.0.13", 103, []byte{0x23, 0, 0, 0})},
		{name: "PIM hello of version 1", data: packet4(1, "10.0.0.1", "224.0.0.13", 103, []byte{0x10, 0, 0, 0})},
		{name: "PIM hello elsewhere", data: packet4(1, "10.0.0.1", "224.0.0.14", 103, []byte{0x20, 0, 0, 0})},
		{name: "PIM hello in padding", data: append(packet4(1, "10.0.0.1", "224.0.0.13", 103, []byte{0x20, 0}), 0, 0), kind: snoop.KindRouter},
		{name: "PIM hello cut", data: packet4(1, "10.0.0.1", "224.0.0.13", 103, []byte{0x20, 0, 0})},
		{name: "router advertisement", data: packet4(1, "10.0.0.1", "224.0.0.106", 2, message(0x30, 0, "0.0.0.0")), kind: snoop.KindRouter},
		{name: "not to all snoopers", data: packet4(1, "10.0.0.1", "224.0.0.107", 2, message(0x30, 0, "0.0.0.0"))},

		{name: "MLDv1 report", data: join6(1, "ff0e::1"), kind: snoop.KindReport, only: true, also: func(t *testing.T, p snoop.Packet) {
			assert.Equal(t, ip("ff0e::1"), p.Group)
		}},
		{name: "MLDv1 report from a global address", data: mld("2001:db8::1", "ff0e::1", message6(snoop.TypeMLDv1Report, 0, "ff0e::1")), kind: snoop.KindReport, only: true},
		{name: "MLD done", data: leave6(1, "ff0e::1"), kind: snoop.KindLeave},
		{name: "MLDv2 report", data: report(1, record{snoop.IsIn, "ff0e::1", nil}), kind: snoop.KindReportV3},
		{name: "MLDv2 report shorter than MLDv1", data: mld("fe80::1", "ff02::16", raw6(snoop.TypeMLDv2Report, 8)), only: true},
		{name: "MLDv1 query", data: query6(1, "fe80::1", 1500), kind: snoop.KindQuery, also: delay(1500*time.Millisecond, 1)},
		{name: "MLDv2 query", data: mld("fe80::1", "ff02::1", v2query6), kind: snoop.KindQuery, also: delay(time.Duration(0x345|0x1000)<<3*time.Millisecond, 2)},
		{name: "MLD query of 26 bytes", data: mld("fe80::1", "ff02::1", append(message6(snoop.TypeMLDQuery, 1, "::"), 0, 0)), err: snoop.BadLength},
		{name: "MLD query from a global address", data: query6(1, "2001:db8::1", 1), err: snoop.BadQuery},
		{name: "general MLD query to a group", data: mld("fe80::1", "ff0e::1", message6(snoop.TypeMLDQuery, 1, "::")), err: snoop.BadQuery},
		{name: "MLD checksum", data: with(join6(1, "ff0e::1"), 70, 7), err: snoop.BadChecksum},
		{name: "ICMPv6 of 4 bytes", data: mld("fe80::1", "ff0e::1", raw6(128, 4)), err: snoop.BadLength},
		{name: "other ICMPv6", data: mld("fe80::1", "ff0e::1", raw6(128, 24)), only: true},
		{name: "other ICMPv6 to all nodes", data: mld("fe80::1", "ff02::1", raw6(128, 24))},
		{name: "IPv6 router advertisement of snooping", data: mld("fe80::1", "ff02::6a", raw6(151, 8)), kind: snoop.KindRouter, only: true},
		{name: "IPv6 version", data: with(join6(1, "ff0e::1"), 14, 0x40), err: snoop.BadHeader},
		{name: "no payload", data: with(data("2001:db8::1", "ff0e::1"), 18, 0, 0), err: snoop.BadHeader},
		{name: "payload cut", data: join6(1, "ff0e::1")[:80], err: snoop.BadHeader},
		{name: "hop-by-hop header longer than the packet", data: with(join6(1, "ff0e::1"), 55, 40), err: snoop.BadLength},
		{name: "data of IPv6", data: data("2001:db8::1", "ff0e::1"), only: true},
		{name: "data to all nodes", data: data("2001:db8::1", "ff02::1")},

		{name: "neither", data: append([]byte{3, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}, 1, 2), also: func(t *testing.T, p snoop.Packet) {
			assert.Equal(t, snoop.L2, p.Family)
			assert.Equal(t, frame.MAC{3, 0, 0, 0, 0, 1}, p.Dst.MAC())
		}},
		{name: "behind two tags", data: slices.Concat(join[:12], []byte{0x81, 0, 0, 1, 0x81, 0, 0, 2}, with(join, 46, 1)[12:])},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p, err := parse(t, tc.data)
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.kind, p.Kind)
			assert.Equal(t, tc.only, p.RoutersOnly)
			assert.Equal(t, tc.kind >= snoop.KindReport, p.Message())
			if tc.also != nil {
				tc.also(t, p)
			}
		})
	}
}

func delay(d time.Duration, version uint8) func(*testing.T, snoop.Packet) {
	return func(t *testing.T, p snoop.Packet) {
		assert.Equal(t, d, p.Delay)
		assert.Equal(t, version, p.Version)
		assert.Zero(t, p.Group)
	}
}

// TestExtensionHeaders: MLD is found behind further headers, and what cannot be it
// passes.
func TestExtensionHeaders(t *testing.T) {
	mld := message6(snoop.TypeMLDv1Report, 0, "ff0e::1")
	plain := packet6(1, "fe80::1", "ff0e::1", mld)
	behind := func(chain ...byte) []byte {
		last := len(chain) - 1
		b := slices.Concat(plain[:62], chain[:last], plain[62:])
		b[54] = chain[last]
		binary.BigEndian.PutUint16(b[18:], uint16(len(b)-54))
		return b
	}
	tests := []struct {
		name  string
		chain []byte // headers, and last the type of the first
		kind  snoop.Kind
		err   error
	}{
		{"routing", []byte{58, 0, 0, 0, 0, 0, 0, 0, 43}, snoop.KindReport, nil},
		{"options, then authentication", []byte{51, 0, 1, 4, 0, 0, 0, 0, 58, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60}, snoop.KindReport, nil},
		{"the first fragment", []byte{58, 0, 0, 1, 0, 0, 0, 1, 44}, snoop.KindReport, nil},
		{"another fragment", []byte{58, 0, 0, 9, 0, 0, 0, 1, 44}, snoop.KindData, nil},
		{"nothing follows", []byte{59}, 0, snoop.BadHeader},
		{"UDP", []byte{17}, snoop.KindData, nil},
		{"options longer than the packet, then UDP", []byte{17, 200, 0, 0, 0, 0, 0, 0, 60}, snoop.KindData, nil},
		{"options longer than the packet, then ICMPv6", []byte{58, 200, 0, 0, 0, 0, 0, 0, 60}, 0, snoop.BadLength},
		{"options longer than the packet, then more", []byte{60, 200, 0, 0, 0, 0, 0, 0, 60}, 0, snoop.BadHeader},
		{"a fragment header behind the end", []byte{44, 200, 0, 0, 0, 0, 0, 0, 60}, 0, snoop.BadHeader},
		{"authentication behind the end", []byte{51, 200, 0, 0, 0, 0, 0, 0, 60}, 0, snoop.BadHeader},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p, err := parse(t, behind(tc.chain...))
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.kind, p.Kind)
			assert.True(t, p.RoutersOnly)
		})
	}
}

// TestOwedChecksum: what a guest leaves to its card is not held against it.
func TestOwedChecksum(t *testing.T) {
	for _, data := range [][]byte{with(join4(1, "239.1.1.1"), 40, 0, 0), with(join6(1, "ff0e::1"), 64, 0, 0)} {
		f := frame.Frame{Data: data, Owed: frame.Offload{Flags: frame.NeedsCsum}}
		var p snoop.Packet
		require.NoError(t, p.Parse(&f))
		assert.Equal(t, snoop.KindReport, p.Kind)
		f.Owed = frame.Offload{}
		assert.ErrorIs(t, p.Parse(&f), snoop.BadChecksum)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	good, bad := join4(1, "239.1.1.1"), with(join4(1, "239.1.1.1"), 45, 99)
	var p snoop.Packet
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		for _, data := range [][]byte{good, bad} {
			f := frame.Frame{Data: data}
			_ = p.Parse(&f)
		}
	}))
}

func TestAddr(t *testing.T) {
	for _, s := range []string{"239.1.2.3", "ff02::1", "::ffff:1.2.3.4", "0.0.0.0"} {
		k := group(s, "")
		assert.Equal(t, s, k.Group.IP(k.Family).String())
	}
	assert.False(t, ip("1.2.3.4").IP(snoop.L2).IsValid())
	assert.Equal(t, []string{"L2", "IPv4", "IPv6"}, []string{snoop.L2.String(), snoop.IPv4.String(), snoop.IPv6.String()})
	assert.ErrorContains(t, snoop.BadRecord, "cut short")
}

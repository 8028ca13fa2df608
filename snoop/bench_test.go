package snoop_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// crowd is a bench with n groups, restricted.
func crowd(b *testing.B, n int) *bench {
	x := newBench(b, 16, newer)
	x.m.SetHashMax(1 << 20)
	_ = x.receive(1, query4(9, "10.0.0.254", 1))
	x.wait(time.Second)
	for i := range n {
		_ = x.receive(uint16(2+i%15), join4(1, groupNumber(i)))
	}
	x.events = nil
	return x
}

func groupNumber(i int) string {
	return netip.AddrFrom4([4]byte{239, byte(i >> 16), byte(i >> 8), byte(i)}).String()
}

// BenchmarkData is all that a packet of a group costs here: parsing, deciding, and
// its targets.
func BenchmarkData(b *testing.B) {
	for _, n := range []int{1, 10000} {
		for _, version := range []uint8{2, 3} {
			b.Run(fmt.Sprintf("groups=%d/igmp=%d", n, version), func(b *testing.B) {
				x := crowd(b, n)
				x.options(func(o *snoop.Options) { o.IGMPVersion = version })
				v, f := x.m.View(), frame.Frame{Data: data("10.9.0.1", groupNumber(n/2))}
				b.ReportAllocs()
				for b.Loop() {
					var p snoop.Packet
					if v.Parse(&f, 0, &p) != nil {
						b.Fatal("refused")
					}
					d := v.Decide(&p, 0)
					if _, ok := d.Next(); !ok || d.Group == nil {
						b.Fatal("no target")
					}
				}
			})
		}
	}
}

// BenchmarkChurn is one join and one leave that takes effect, among n groups.
func BenchmarkChurn(b *testing.B) {
	for _, n := range []int{100, 10000, 100000} {
		b.Run(fmt.Sprintf("groups=%d", n), func(b *testing.B) {
			x := crowd(b, n)
			_ = x.m.SetPortOptions(2, snoop.PortOptions{FastLeave: true, EHTHostsLimit: 1})
			var join, leave snoop.Packet
			fj, fl := frame.Frame{Data: join4(1, "238.0.0.1")}, frame.Frame{Data: leave4(1, "238.0.0.1")}
			if join.Parse(&fj) != nil || leave.Parse(&fl) != nil {
				b.Fatal("refused")
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = x.m.Handle(x.now, 2, 0, &join)
				_ = x.m.Handle(x.now, 2, 0, &leave)
				x.events = x.events[:0]
			}
			if x.m.Len() != n {
				b.Fatal(x.m.Len())
			}
		})
	}
}

// BenchmarkRefresh is a report of who is a member already.
func BenchmarkRefresh(b *testing.B) {
	x := crowd(b, 10000)
	var p snoop.Packet
	f := frame.Frame{Data: join4(1, groupNumber(5000))}
	if p.Parse(&f) != nil {
		b.Fatal("refused")
	}
	b.ReportAllocs()
	for b.Loop() {
		x.now++
		_ = x.m.Handle(x.now, 2+5000%15, 0, &p)
	}
}

// fastLeave lets hosts behind a port be tracked, and go at once.
var fastLeave = snoop.PortOptions{FastLeave: true, EHTHostsLimit: 512}

// parsed is a packet that is a message.
func parsed(b *testing.B, data []byte) *snoop.Packet {
	p, f := new(snoop.Packet), frame.Frame{Data: data}
	if p.Parse(&f) != nil || !p.Control() {
		b.Fatal("refused")
	}
	return p
}

// BenchmarkSource is a source that one host names and lets go, in a group that n other
// ports want all sources of: they are members of (S,G) for as long.
func BenchmarkSource(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("ports=%d", n), func(b *testing.B) {
			x := newBench(b, n+1, newer)
			x.options(modern)
			_ = x.m.SetPortOptions(1, fastLeave)
			for i := range n {
				_ = x.receive(uint16(2+i), join4(1, "239.0.0.1"))
			}
			allow := parsed(b, report(1, record{snoop.Allow, "239.0.0.1", []string{"10.9.0.1"}}))
			block := parsed(b, report(1, record{snoop.Block, "239.0.0.1", []string{"10.9.0.1"}}))
			b.ReportAllocs()
			for b.Loop() {
				_ = x.m.Handle(x.now, 1, 0, allow)
				if x.m.Len() != 2 {
					b.Fatal(x.m.Len())
				}
				_ = x.m.Handle(x.now, 1, 0, block)
				x.events, x.queries = x.events[:0], x.queries[:0]
			}
			if x.m.Len() != 1 {
				b.Fatal(x.m.Len())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/port")
		})
	}
}

// BenchmarkReport is what a report of full length costs at most, that one host sends and
// then takes back: of as many groups, or of as many sources, as there is room for.
func BenchmarkReport(b *testing.B) {
	for _, c := range []struct {
		name             string
		bytes            int
		records, sources int
	}{
		{"groups/bytes=1500", 1500, 184, 0}, {"groups/bytes=9000", 9000, 1121, 0},
		{"sources/bytes=1500", 1500, 10, 32}, {"sources/bytes=9000", 9000, 66, 32},
	} {
		b.Run(c.name, func(b *testing.B) {
			x := newBench(b, 4, newer)
			x.options(modern)
			_ = x.m.SetPortOptions(1, fastLeave)
			var on, off []record
			for i := range c.records {
				g := groupNumber(i)
				var sources []string
				for k := range c.sources {
					sources = append(sources, fmt.Sprintf("10.%d.%d.1", i, k))
				}
				if c.sources == 0 {
					on, off = append(on, record{snoop.ToEx, g, nil}), append(off, record{snoop.ToIn, g, nil})
				} else {
					on, off = append(on, record{snoop.Allow, g, sources}), append(off, record{snoop.Block, g, sources})
				}
			}
			p, q := parsed(b, report(1, on...)), parsed(b, report(1, off...))
			b.ReportAllocs()
			for b.Loop() {
				_ = x.m.Handle(x.now, 1, 0, p)
				if x.m.Len() != c.records*(1+c.sources) {
					b.Fatal(x.m.Len())
				}
				_ = x.m.Handle(x.now, 1, 0, q)
				x.events, x.queries = x.events[:0], x.queries[:0]
			}
			if x.m.Len() != 0 {
				b.Fatal(x.m.Len())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N*c.bytes), "ns/byte")
		})
	}
}

// BenchmarkVLAN is a port that comes into a VLAN and leaves it again, while it is in n
// groups in others, which is to cost the same; and "down" is a port that forgets n groups
// in a thousand VLANs, joins included.
func BenchmarkVLAN(b *testing.B) {
	const vlans = 1000
	trunk := func(b *testing.B, n int) (*bench, func()) {
		x := newBench(b, 2, newer)
		x.m.SetHashMax(1 << 20)
		for v := range frame.VID(vlans) {
			x.m.AddVLAN(1 + v)
			x.m.AddPortVLAN(0, 1, 1+v, snoop.Forwarding)
		}
		x.m.SetPerVLAN(0, true)
		var joins []*snoop.Packet
		for i := range n {
			joins = append(joins, parsed(b, join4(1, groupNumber(i))))
		}
		join := func() {
			for i, p := range joins {
				_ = x.m.Handle(x.now, 1, frame.VID(1+i%vlans), p)
			}
			x.events = x.events[:0]
		}
		join()
		if x.m.Len() != n {
			b.Fatal(x.m.Len())
		}
		return x, join
	}
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("change/groups=%d", n), func(b *testing.B) {
			x, _ := trunk(b, n)
			x.m.AddVLAN(4000)
			for b.Loop() {
				x.m.AddPortVLAN(0, 1, 4000, snoop.Forwarding)
				x.m.RemovePortVLAN(0, 1, 4000)
			}
		})
		b.Run(fmt.Sprintf("down/groups=%d", n), func(b *testing.B) {
			x, join := trunk(b, n)
			for b.Loop() {
				x.m.DisablePort(0, 1)
				if x.m.Len() != 0 {
					b.Fatal(x.m.Len())
				}
				x.m.EnablePort(0, 1)
				join()
			}
		})
	}
}

// BenchmarkMember is a port that joins a group and leaves it, in which n others are: what
// the datapath sees of a group is one value.
func BenchmarkMember(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("others=%d", n), func(b *testing.B) {
			x := newBench(b, n+1, newer)
			_ = x.m.SetPortOptions(1, fastLeave)
			for i := range n {
				_ = x.receive(uint16(2+i), join4(1, "239.0.0.1"))
			}
			join, leave := parsed(b, join4(1, "239.0.0.1")), parsed(b, leave4(1, "239.0.0.1"))
			b.ReportAllocs()
			for b.Loop() {
				_ = x.m.Handle(x.now, 1, 0, join)
				_ = x.m.Handle(x.now, 1, 0, leave)
				x.events = x.events[:0]
			}
			if d, _ := x.targets(data("10.9.0.1", "239.0.0.1")); len(d) > n+2 {
				b.Fatal(len(d))
			}
		})
	}
}

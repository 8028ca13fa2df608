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

package snoop_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/snoop"
)

// seeds are frames of each kind.
func seeds() [][]byte {
	return [][]byte{
		join4(1, "239.1.1.1"), leave4(1, "239.1.1.1"), query4(1, "10.0.0.1", 100),
		report(1, record{snoop.IsEx, "239.1.1.1", []string{"192.0.2.1", "192.0.2.2"}}, record{snoop.Block, "239.1.1.2", nil}),
		join6(1, "ff0e::1"), leave6(1, "ff0e::1"), query6(1, "fe80::1", 1000),
		report(1, record{snoop.ToIn, "ff0e::1", []string{"2001:db8::1"}}),
		data("10.0.0.1", "239.1.1.1"), data("2001:db8::1", "ff0e::1"),
		packet4(1, "10.0.0.1", "224.0.0.13", 103, []byte{0x20, 0, 0, 0}),
	}
}

// FuzzPacket: what is read is what the bytes say, nothing behind the packet counts,
// and no bit of a message can be wrong.
func FuzzPacket(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s, uint16(40))
	}
	f.Fuzz(func(t *testing.T, wire []byte, bit uint16) {
		if len(wire) < frame.HeaderLen {
			return
		}
		fr := frame.Frame{Data: wire}
		var p snoop.Packet
		before := slices.Clone(wire)
		err := p.Parse(&fr)
		if !bytes.Equal(before, wire) {
			t.Fatal("the frame has changed")
		}
		if err != nil {
			if p.Family == snoop.L2 {
				t.Fatal("only IP can be wrong")
			}
			return
		}
		if p.Message() != (p.Version > 0) || p.Message() && p.Type == 0 || p.Padding < 0 || p.Padding > len(wire) {
			t.Fatalf("%+v", p)
		}
		padded := frame.Frame{Data: append(slices.Clone(wire), 1, 2, 3)}
		var q snoop.Packet
		if err := q.Parse(&padded); err != nil || p.Kind != q.Kind && q.Kind != snoop.KindRouter || // PIM is read to the end of the frame
			p.Group != q.Group || p.Family != snoop.L2 && q.Padding != p.Padding+3 {
			t.Fatalf("padding counts: %v %+v %+v", err, p, q)
		}
		if !p.Message() {
			return
		}
		// A single wrong bit in the message itself does not pass its checksum.
		end := len(wire) - p.Padding
		at := end - 1 - int(bit>>3)%8
		flipped := slices.Clone(wire)
		flipped[at] ^= 1 << (bit & 7)
		fl := frame.Frame{Data: flipped}
		if err := q.Parse(&fl); err == nil {
			t.Fatalf("bit %d of byte %d does not matter", bit&7, at)
		}
	})
}

// FuzzRecords: the records that are given, written again, are the bytes they were
// read from.
func FuzzRecords(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s[14:], uint16(len(s)), true)
	}
	f.Add(records(true, []record{{snoop.IsIn, "239.1.1.1", []string{"10.0.0.1"}}})[8:], uint16(1), true)
	f.Add(records(false, []record{{snoop.IsIn, "ff0e::1", []string{"2001:db8::1"}}})[8:], uint16(1), false)
	f.Fuzz(func(t *testing.T, body []byte, n uint16, v4 bool) {
		if len(body) > 1400 {
			return
		}
		head := []byte{snoop.TypeIGMPv3Report, 0, 0, 0, 0, 0, byte(n >> 8), byte(n)}
		var wire []byte
		size := 4
		if v4 {
			wire = packet4(1, "10.0.0.1", "224.0.0.22", 2, sumIGMP(append(head, body...)))
		} else {
			head[0], size = snoop.TypeMLDv2Report, 16
			wire = packet6(1, "fe80::1", "ff02::16", append(head, body...))
			if len(body) < 16 {
				return // not taken for a report
			}
		}
		fr := frame.Frame{Data: wire}
		var p snoop.Packet
		if err := p.Parse(&fr); err != nil || p.Records != n {
			t.Fatalf("%v, %d records", err, p.Records)
		}
		var again []byte
		count := 0
		err := p.EachRecord(func(r snoop.Record) bool {
			count++
			again = append(again, byte(r.Type), body[len(again)+1])
			again = binary.BigEndian.AppendUint16(again, uint16(r.Len()))
			again = append(again, r.Group[:size]...)
			for i := range r.Len() {
				s := r.Source(i)
				again = append(again, s[:size]...)
			}
			return true
		})
		if !bytes.HasPrefix(body, again) || (err == nil) != (count == int(n)) {
			t.Fatalf("%d of %d records, %v: % x of % x", count, n, err, again, body)
		}
	})
}

// FuzzMachine: whatever frames and changes come in any order, what is published is
// what the machine keeps, the dry run says what then happens, and all ends when
// nobody is heard of any more.
func FuzzMachine(f *testing.F) {
	for i := range uint64(8) {
		f.Add(i, []byte{1, 2, 3, 4, 5, 6, 7, 8}, slices.Concat(seeds()...))
	}
	f.Fuzz(func(t *testing.T, seed uint64, script, wire []byte) {
		r := rand.New(rand.NewPCG(seed, 7))
		b := newBench(t, 5, newer)
		b.options(modern)
		limited := snoop.PortOptions{FastLeave: true, EHTHostsLimit: 2}
		if b.limited = seed&1 != 0; b.limited {
			limited.MaxGroups = 6
		}
		_ = b.m.SetPortOptions(2, limited)
		_ = b.m.SetPortOptions(3, snoop.PortOptions{ToUnicast: true, FastLeave: true, EHTHostsLimit: 2})
		for _, step := range script[:min(len(script), 200)] {
			if step&1 == 0 && len(wire) > 54 {
				n := 20 + int(step)
				if n > len(wire) {
					n = len(wire)
				}
				payload := slices.Clone(wire[:n])
				wire = wire[1:]
				if step&2 == 0 {
					_ = b.receive(uint16(step>>4)%6, packet4(step, host4(step), "224.0.0.22", 2, sumIGMP(payload)))
				} else {
					_ = b.receive(uint16(step>>4)%6, packet6(step, host6(step), "ff02::16", payload))
				}
			} else {
				b.random(r)
			}
			b.check()
		}
		b.options(func(o *snoop.Options) { modern(o); o.Querier = false })
		b.m.FlushEntries(b.now, snoop.Flush{Permanent: new(true)})
		b.wait(1000e9)
		b.m.Entries(b.now, func(e snoop.Entry) bool {
			// The (S,G) of a source that a request gave a station may stay
			// (TestSourceOfStation), and who is in it because of their EXCLUDE
			// (TestSourceOfAnotherStation).
			if b.given[e.Key] {
				return true
			}
			// Who asked for no source that there can be is a member without end, as in
			// Linux: no timer was ever set.
			if e.Port == 0 || e.Mode != snoop.ModeInclude || e.Key.Source != (snoop.Addr{}) || len(e.Sources) > 0 {
				t.Fatalf("this is left: %+v", e)
			}
			return true
		})
		if at, ok := b.m.NextTimer(); ok {
			t.Fatalf("a timer runs for nobody, until %v", at)
		}
	})
}

package frame_test

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/ddfb540f/bridge/frame"
)

// FuzzLift holds that lifting a tag by view changes nothing that can be seen on
// the wire, and that what is owed still points at the same bytes.
func FuzzLift(f *testing.F) {
	for _, tc := range bodies {
		f.Add(tc.data, uint16(34))
	}
	f.Add(bytes.Repeat([]byte{0x81, 0x00}, 10), uint16(0))
	f.Fuzz(func(t *testing.T, wire []byte, start uint16) {
		fr := frame.Frame{Data: bytes.Clone(wire), Owed: frame.Offload{Flags: 1, CsumStart: start, CsumOffset: 6, HdrLen: start}}
		if !fr.WellFormed() {
			return
		}
		before := fr
		if ok := fr.Lift(); !ok {
			if fr.Lifted || fr.Tag.Present() || !before.Type().IsTag() || len(wire) >= 20 {
				t.Fatalf("% x: Lift refused, and left %+v", wire, fr)
			}
		}
		if before.OuterTag() != fr.Tag || fr.OuterTag() != fr.Tag {
			t.Fatalf("% x: OuterTag %v before, %v after, lifted %v", wire, before.OuterTag(), fr.OuterTag(), fr.Tag)
		}
		if got := fr.AppendWire(nil); !bytes.Equal(got, wire) || fr.WireLen() != len(wire) {
			t.Fatalf("% x does not survive: % x, WireLen %d", wire, got, fr.WireLen())
		}
		if fr.OwedOnWire() != before.Owed {
			t.Fatalf("% x: owes %+v on the wire; want %+v", wire, fr.OwedOnWire(), before.Owed)
		}
		if !bytes.Equal(fr.Data, wire) {
			t.Fatalf("% x: Lift changed the data", wire)
		}
		again := fr
		if again.Lift(); again.Tag != fr.Tag || again.Lifted != fr.Lifted {
			t.Fatalf("% x: lifting twice differs from lifting once: %+v", wire, again)
		}
	})
}

// FuzzMAC holds that an address that parses prints as what was parsed, in the
// canonical form, and that package net understands the same.
func FuzzMAC(f *testing.F) {
	for _, s := range []string{"02:00:00:00:00:01", "FF-FF-FF-FF-FF-FF", "00:00:5e:00:53:01", "02:00:00:00:00:0", "0200.5e10.0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := frame.ParseMAC(s)
		hw, netErr := net.ParseMAC(s)
		if err != nil {
			if netErr == nil && len(hw) == 6 && len(s) == 17 {
				t.Fatalf("%q: package net reads it as %v, ParseMAC says %v", s, hw, err)
			}
			return
		}
		if netErr != nil || !bytes.Equal(hw, m[:]) {
			t.Fatalf("%q: ParseMAC says %v, package net %v, %v", s, m, hw, netErr)
		}
		if want := strings.ReplaceAll(strings.ToLower(s), "-", ":"); m.String() != want {
			t.Fatalf("%q prints as %q; want %q", s, m.String(), want)
		}
		var back frame.MAC
		if err := back.UnmarshalText([]byte(m.String())); err != nil || back != m {
			t.Fatalf("%q: text round trip gives %v, %v", s, back, err)
		}
		if frame.MACFromUint64(m.Uint64()) != m {
			t.Fatalf("%q: number round trip gives %v", s, frame.MACFromUint64(m.Uint64()))
		}
	})
}

package frame_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/ddfb540f/bridge/frame"
)

func TestParseMAC(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want frame.MAC
		ok   bool
	}{
		{"02:00:00:00:00:01", frame.MAC{2, 0, 0, 0, 0, 1}, true},
		{"02-00-00-00-00-01", frame.MAC{2, 0, 0, 0, 0, 1}, true},
		{"ff:ff:ff:ff:ff:ff", frame.Broadcast, true},
		{"DE:AD:be:Ef:00:1a", frame.MAC{0xde, 0xad, 0xbe, 0xef, 0, 0x1a}, true},
		{"00:00:00:00:00:00", frame.MAC{}, true},
		{"", frame.MAC{}, false},
		{"02:00:00:00:00", frame.MAC{}, false},
		{"02:00:00:00:00:01:02", frame.MAC{}, false},
		{"02:00-00:00-00:01", frame.MAC{}, false},
		{"02.00.00.00.00.01", frame.MAC{}, false},
		{"02:00:00:00:00:0g", frame.MAC{}, false},
		{"2:0:0:0:0:1      ", frame.MAC{}, false},
		{"0200.0000.0001", frame.MAC{}, false},
		{" 2:00:00:00:00:01", frame.MAC{}, false},
		{"02:00:00:00:00:0\xff", frame.MAC{}, false},
		{"+2:00:00:00:00:01", frame.MAC{}, false},
	} {
		got, err := frame.ParseMAC(tc.in)
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("ParseMAC(%q) = %v, %v; want %v, ok %v", tc.in, got, err, tc.want, tc.ok)
		}
		if err != nil && (!errors.Is(err, frame.ErrBadMAC) || !strings.Contains(err.Error(), "frame: bad MAC")) {
			t.Errorf("ParseMAC(%q): error %q does not match ErrBadMAC", tc.in, err)
		}
	}
}

func TestMustParseMACPanics(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, frame.ErrBadMAC) {
			t.Errorf("recovered %v; want an error matching ErrBadMAC", err)
		}
	}()
	frame.MustParseMAC("nonsense")
	t.Error("MustParseMAC took nonsense")
}

func TestMACKinds(t *testing.T) {
	type kinds struct{ zero, multicast, broadcast, valid, linkLocal bool }
	for _, tc := range []struct {
		mac  string
		want kinds
	}{
		{"00:00:00:00:00:00", kinds{zero: true}},
		{"02:00:00:00:00:01", kinds{valid: true}},
		{"00:00:00:00:00:01", kinds{valid: true}},
		{"fe:ff:ff:ff:ff:ff", kinds{valid: true}},
		{"01:00:00:00:00:00", kinds{multicast: true}},
		{"01:00:5e:00:00:01", kinds{multicast: true}},
		{"33:33:00:00:00:01", kinds{multicast: true}},
		{"ff:ff:ff:ff:ff:ff", kinds{multicast: true, broadcast: true}},
		{"ff:ff:ff:ff:ff:fe", kinds{multicast: true}},
		{"01:80:c2:00:00:00", kinds{multicast: true, linkLocal: true}},
		{"01:80:c2:00:00:0f", kinds{multicast: true, linkLocal: true}},
		{"01:80:c2:00:00:10", kinds{multicast: true}},
		{"01:80:c2:00:01:00", kinds{multicast: true}},
		{"01:80:c2:01:00:00", kinds{multicast: true}},
		{"01:80:c3:00:00:00", kinds{multicast: true}},
		{"01:81:c2:00:00:00", kinds{multicast: true}},
		{"00:80:c2:00:00:00", kinds{valid: true}},
	} {
		m := frame.MustParseMAC(tc.mac)
		got := kinds{m.IsZero(), m.IsMulticast(), m.IsBroadcast(), m.IsValid(), m.IsLinkLocal()}
		if got != tc.want {
			t.Errorf("%v: %+v; want %+v", m, got, tc.want)
		}
	}
}

func TestMACUint64AndCompare(t *testing.T) {
	ascending := []string{
		"00:00:00:00:00:00", "00:00:00:00:00:01", "00:00:00:00:01:00", "00:00:00:01:00:00",
		"00:00:01:00:00:00", "00:01:00:00:00:00", "01:00:00:00:00:00", "7f:ff:ff:ff:ff:ff",
		"80:00:00:00:00:00", "ff:ff:ff:ff:ff:ff",
	}
	for i, s := range ascending {
		m := frame.MustParseMAC(s)
		if got := frame.MACFromUint64(m.Uint64()); got != m {
			t.Errorf("MACFromUint64(%v.Uint64()) = %v", m, got)
		}
		for j, u := range ascending {
			n := frame.MustParseMAC(u)
			if got, want := m.Compare(n), cmp.Compare(i, j); got != want {
				t.Errorf("%v.Compare(%v) = %d; want %d", m, n, got, want)
			}
		}
	}
	if got := frame.MACFromUint64(0xabcd_0203_0405_0607); got != (frame.MAC{2, 3, 4, 5, 6, 7}) {
		t.Errorf("MACFromUint64 uses more than the low 48 bits: %v", got)
	}
}

func TestMACText(t *testing.T) {
	m := frame.MustParseMAC("02:00:00:00:00:1f")
	out, err := json.Marshal(map[frame.MAC]frame.MAC{m: frame.Broadcast})
	if want := `{"02:00:00:00:00:1f":"ff:ff:ff:ff:ff:ff"}`; err != nil || string(out) != want {
		t.Fatalf("Marshal = %s, %v; want %s", out, err, want)
	}
	var back map[frame.MAC]frame.MAC
	if err := json.Unmarshal(out, &back); err != nil || back[m] != frame.Broadcast || len(back) != 1 {
		t.Errorf("Unmarshal = %v, %v", back, err)
	}
	kept := m
	if err := kept.UnmarshalText([]byte("02:00:00:00:00")); !errors.Is(err, frame.ErrBadMAC) || kept != m {
		t.Errorf("UnmarshalText of a bad address: %v, and left %v; want ErrBadMAC, and %v", err, kept, m)
	}
	if b, err := m.AppendText([]byte("src=")); err != nil || string(b) != "src=02:00:00:00:00:1f" {
		t.Errorf("AppendText = %q, %v", b, err)
	}
	if got, want := m.String(), net.HardwareAddr(m[:]).String(); got != want {
		t.Errorf("String = %q; package net says %q", got, want)
	}
}

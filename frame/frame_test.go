package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// hex puts bytes together: slices as they are, ints as two bytes each.
func hex(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			b = append(b, p...)
		case int:
			b = binary.BigEndian.AppendUint16(b, uint16(p))
		}
	}
	return b
}

var (
	addrs   = []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	payload = []byte("payload")
)

// bodies are the forms in which a frame can stand in a driver's memory.
var bodies = []struct {
	name string
	data []byte
}{
	{"bare header", hex(addrs, 0x88b5)},
	{"untagged", hex(addrs, 0x88b5, payload)},
	{"802.3 length", hex(addrs, 7, payload)},
	{"802.1Q", hex(addrs, 0x8100, 0x600a, 0x88b5, payload)},
	{"802.1Q, VID 0", hex(addrs, 0x8100, 0, 0x88b5, payload)},
	{"802.1Q, all ones", hex(addrs, 0x8100, 0xffff, 0x88b5, payload)},
	{"802.1ad", hex(addrs, 0x88a8, 20, 0x88b5, payload)},
	{"802.1ad over 802.1Q", hex(addrs, 0x88a8, 20, 0x8100, 10, 0x88b5, payload)},
	{"foreign TPID", hex(addrs, 0x9100, 30, 0x88b5, payload)},
	{"tag and type alone", hex(addrs, 0x8100, 10, 0x88b5)},
	{"ends in its tag", hex(addrs, 0x8100, 10)},
	{"ends in its TPID", hex(addrs, 0x8100)},
}

var tags = []frame.Tag{
	{},
	{TPID: frame.TypeDot1Q, TCI: 10},
	{TPID: frame.TypeDot1Q, TCI: 0},
	{TPID: frame.TypeDot1Q, TCI: 0xffff},
	{TPID: frame.TypeDot1AD, TCI: 20},
	{TPID: 0x9100, TCI: 30},
}

// TestAppendWire crosses every body with every Tag and both values of Lifted and
// holds the result against the rule of the wire form, put together by hand.
func TestAppendWire(t *testing.T) {
	for _, body := range bodies {
		for _, tag := range tags {
			for _, lifted := range []bool{false, true} {
				f := frame.Frame{Data: bytes.Clone(body.data), Tag: tag, Lifted: lifted}
				if !f.WellFormed() {
					continue
				}
				t.Run(fmt.Sprintf("%s/%v/lifted=%v", body.name, tag, lifted), func(t *testing.T) {
					checkWire(t, f, body.data)
				})
			}
		}
	}
}

func checkWire(t *testing.T, f frame.Frame, data []byte) {
	rest := data[12:]
	if f.Lifted {
		rest = data[16:]
	}
	want := bytes.Clone(data[:12])
	if f.Tag.Present() {
		want = append(want, hex(int(f.Tag.TPID), int(f.Tag.TCI))...)
	}
	want = append(want, rest...)

	prefix := []byte("prefix")
	got := f.AppendWire(bytes.Clone(prefix))
	if !bytes.Equal(got, append(bytes.Clone(prefix), want...)) {
		t.Errorf("AppendWire = % x; want % x behind a prefix", got, want)
	}
	if !bytes.Equal(f.Data, data) {
		t.Errorf("AppendWire changed the data to % x", f.Data)
	}
	if f.WireLen() != len(want) {
		t.Errorf("WireLen = %d; want %d", f.WireLen(), len(want))
	}
	if wantLen := 12 + len(rest); f.Len() != wantLen {
		t.Errorf("Len = %d; want %d", f.Len(), wantLen)
	}
	if !bytes.Equal(f.Rest(), rest) {
		t.Errorf("Rest = % x; want % x", f.Rest(), rest)
	}
	if f.Plain() != (!f.Tag.Present() && !f.Lifted) || f.Plain() && !bytes.Equal(f.Data, want) {
		t.Errorf("Plain = %v", f.Plain())
	}
	if got, want := f.Type(), frame.EtherType(binary.BigEndian.Uint16(rest)); got != want {
		t.Errorf("Type = %v; want %v", got, want)
	}
	if f.Dst() != (frame.MAC{2, 0, 0, 0, 0, 2}) || f.Src() != (frame.MAC{2, 0, 0, 0, 0, 1}) {
		t.Errorf("addresses %v, %v", f.Dst(), f.Src())
	}

	// A checksum owed over the last bytes is still owed over the same bytes.
	f.Owed = frame.Offload{Flags: 1, CsumStart: uint16(len(data)), CsumOffset: 6, HdrLen: uint16(len(data)), GSOType: 1, GSOSize: 99}
	owed := f.Owed
	owed.CsumStart, owed.HdrLen = uint16(len(want)), uint16(len(want))
	if f.OwedOnWire() != owed {
		t.Errorf("OwedOnWire = %+v; want %+v", f.OwedOnWire(), owed)
	}
}

func TestOwedOnWireLeavesUnusedFieldsAlone(t *testing.T) {
	tagged := frame.Frame{Data: hex(addrs, 0x88b5), Tag: frame.Tag{TPID: frame.TypeDot1Q, TCI: 1}}
	for _, owed := range []frame.Offload{{}, {GSOType: 5, GSOSize: 100}} {
		tagged.Owed = owed
		if got := tagged.OwedOnWire(); got != owed {
			t.Errorf("%+v becomes %+v", owed, got)
		}
	}
}

func TestWellFormed(t *testing.T) {
	for n := range 32 {
		for _, lifted := range []bool{false, true} {
			f := frame.Frame{Data: make([]byte, n), Lifted: lifted}
			want := n >= 14
			if lifted {
				want = n >= 18
			}
			if f.WellFormed() != want {
				t.Errorf("%d bytes, lifted %v: WellFormed = %v", n, lifted, f.WellFormed())
			}
			if want { // and then none of these may panic
				f.AppendWire(nil)
				f.Dst()
				f.Src()
				f.Type()
				f.Lift()
			}
		}
	}
}

func TestLift(t *testing.T) {
	aside := frame.Tag{TPID: frame.TypeDot1AD, TCI: 7}
	for _, tc := range []struct {
		name   string
		f      frame.Frame
		ok     bool
		tag    frame.Tag
		lifted bool
		typ    frame.EtherType
	}{
		{"untagged", frame.Frame{Data: hex(addrs, 0x88b5, payload)}, true, frame.Tag{}, false, 0x88b5},
		{"bare header", frame.Frame{Data: hex(addrs, 0x88b5)}, true, frame.Tag{}, false, 0x88b5},
		{"802.1Q", frame.Frame{Data: hex(addrs, 0x8100, 0x600a, 0x88b5, payload)}, true, frame.Tag{TPID: 0x8100, TCI: 0x600a}, true, 0x88b5},
		{"VID 0", frame.Frame{Data: hex(addrs, 0x8100, 0, 0x88b5, payload)}, true, frame.Tag{TPID: 0x8100}, true, 0x88b5},
		{"802.1ad over 802.1Q: the outer alone", frame.Frame{Data: hex(addrs, 0x88a8, 20, 0x8100, 10, 0x88b5, payload)}, true, frame.Tag{TPID: 0x88a8, TCI: 20}, true, 0x8100},
		{"foreign TPID stays", frame.Frame{Data: hex(addrs, 0x9100, 30, 0x88b5, payload)}, true, frame.Tag{}, false, 0x9100},
		{"aside already", frame.Frame{Data: hex(addrs, 0x8100, 10, 0x88b5, payload), Tag: aside}, true, aside, false, 0x8100},
		{"lifted already", frame.Frame{Data: hex(addrs, 0x8100, 10, 0x8100, 5, payload), Lifted: true}, true, frame.Tag{}, true, 0x8100},
		{"20 bytes are enough", frame.Frame{Data: hex(addrs, 0x8100, 10, 0x88b5, 0)}, true, frame.Tag{TPID: 0x8100, TCI: 10}, true, 0x88b5},
		{"19 are not", frame.Frame{Data: hex(addrs, 0x8100, 10, 0x88b5, []byte{0})}, false, frame.Tag{}, false, 0x8100},
		{"ends in its TPID", frame.Frame{Data: hex(addrs, 0x88a8)}, false, frame.Tag{}, false, 0x88a8},
	} {
		f := tc.f
		if outer := f.OuterTag(); outer != tc.tag {
			t.Errorf("%s: OuterTag %v, want %v", tc.name, outer, tc.tag)
		}
		if ok := f.Lift(); ok != tc.ok || f.Tag != tc.tag || f.Lifted != tc.lifted || f.Type() != tc.typ {
			t.Errorf("%s: Lift = %v, tag %v, lifted %v, type %v", tc.name, ok, f.Tag, f.Lifted, f.Type())
		}
		if tc.ok && !bytes.Equal(f.AppendWire(nil), tc.f.AppendWire(nil)) {
			t.Errorf("%s: the wire form changed to % x", tc.name, f.AppendWire(nil))
		}
	}
}

func TestClone(t *testing.T) {
	f := frame.Frame{
		Data: hex(addrs, 0x8100, 10, 0x88b5, payload), Tag: frame.Tag{TPID: 0x8100, TCI: 10}, Lifted: true,
		Owed: frame.Offload{Flags: 1, CsumStart: 20}, Tunnel: 3, Time: 4, Nexthop: 5,
	}
	g := f.Clone()
	if !bytes.Equal(g.Data, f.Data) || g.Tag != f.Tag || !g.Lifted || g.Owed != f.Owed || g.Tunnel != 3 || g.Time != 4 || g.Nexthop != 5 {
		t.Fatalf("Clone = %+v; want %+v", g, f)
	}
	if f.Data[20]++; g.Data[20] == f.Data[20] {
		t.Error("the clone shares its bytes")
	}
}

func TestTag(t *testing.T) {
	for _, tc := range []struct {
		tag     frame.Tag
		present bool
		vid     frame.VID
		pcp     uint8
		dei     bool
		text    string
	}{
		{frame.Tag{}, false, 0, 0, false, "untagged"},
		{frame.Tag{TCI: 5}, false, 5, 0, false, "untagged"},
		{frame.Tag{TPID: 0x8100, TCI: 0}, true, 0, 0, false, "802.1Q vid 0"},
		{frame.Tag{TPID: 0x8100, TCI: 0x600a}, true, 10, 3, false, "802.1Q vid 10 pcp 3"},
		{frame.Tag{TPID: 0x88a8, TCI: 0xffff}, true, 4095, 7, true, "802.1ad vid 4095 pcp 7 dei"},
		{frame.Tag{TPID: 0x9100, TCI: 0x1001}, true, 1, 0, true, "0x9100 vid 1 dei"},
	} {
		g := tc.tag
		if g.Present() != tc.present || g.VID() != tc.vid || g.PCP() != tc.pcp || g.DEI() != tc.dei || g.String() != tc.text {
			t.Errorf("%#v: %v %v %v %v %q", g, g.Present(), g.VID(), g.PCP(), g.DEI(), g)
		}
		if w := g.WithVID(0x1abc); w.VID() != 0xabc || w.PCP() != g.PCP() || w.DEI() != g.DEI() || w.TPID != g.TPID {
			t.Errorf("%v.WithVID(0x1abc) = %v", g, w)
		}
		b := make([]byte, frame.TagLen)
		if g.Put(b); !bytes.Equal(b, hex(int(g.TPID), int(g.TCI))) {
			t.Errorf("%v.Put gives % x", g, b)
		}
	}
}

func TestEtherType(t *testing.T) {
	for typ, want := range map[frame.EtherType]bool{
		frame.TypeDot1Q: true, frame.TypeDot1AD: true, 0x9100: false, frame.TypeIPv4: false, frame.TypePAE: false, 0: false,
	} {
		if typ.IsTag() != want {
			t.Errorf("%v.IsTag() = %v", typ, typ.IsTag())
		}
	}
	if got := frame.EtherType(0x5ff).String(); got != "0x05ff" {
		t.Errorf("String = %q", got)
	}
}

func TestNoAllocs(t *testing.T) {
	data := hex(addrs, 0x8100, 0x600a, 0x88b5, payload)
	scratch := make([]byte, 0, 64)
	text := make([]byte, 0, 17)
	m := frame.MAC{2, 0, 0, 0, 0, 1}
	var sum int
	for name, f := range map[string]func(){
		"Lift and AppendWire": func() {
			f := frame.Frame{Data: data}
			f.Lift()
			f.Tag = f.Tag.WithVID(20)
			scratch = f.AppendWire(scratch[:0])
			sum += len(scratch) + f.WireLen() + int(f.OwedOnWire().CsumStart)
		},
		"Frame's accessors": func() {
			f := frame.Frame{Data: data}
			if f.WellFormed() && f.Plain() {
				sum += int(f.Dst().Uint64()) + int(f.Src().Uint64()) + int(f.Type()) + f.Len() + len(f.Rest())
			}
		},
		"ParseMAC": func() {
			p, _ := frame.ParseMAC("02:00:00:00:00:01")
			sum += int(p.Uint64())
		},
		"AppendText": func() {
			text, _ = m.AppendText(text[:0])
			sum += len(text) + m.Compare(frame.Broadcast)
		},
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s allocates %v times; want 0", name, n)
		}
	}
	if sum == 0 {
		t.Error("nothing was done")
	}
}

func BenchmarkAppendWire(b *testing.B) {
	f := frame.Frame{Data: make([]byte, 1514), Tag: frame.Tag{TPID: frame.TypeDot1Q, TCI: 10}}
	scratch := make([]byte, 0, 2048)
	b.SetBytes(int64(f.WireLen()))
	for b.Loop() {
		scratch = f.AppendWire(scratch[:0])
	}
}

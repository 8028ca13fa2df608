package bridge_test

import (
	"bytes"
	"testing"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// taken is a cable that keeps the wire form of what it is given.
type taken struct {
	*sink
	wire [][]byte
}

func (c *taken) WriteFrames(fs []frame.Frame) (int, error) {
	for i := range fs {
		c.wire = append(c.wire, fs[i].AppendWire(nil))
	}
	return len(fs), nil
}

// FuzzReceive gives a bridge any bytes with any metadata, under any of a set of
// configurations. The laws: the frame is accounted for in both ledgers, what
// Explain foretold is what leaves, and the caller's bytes stay as they were.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5data"), uint16(0), uint16(0), false, uint64(0), uint16(0))
	f.Add([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x81\x00\x00\x0a\x88\xb5data"), uint16(0), uint16(0), false, uint64(0), uint16(1))
	f.Add([]byte("\x01\x80\xc2\x00\x00\x0e\x02\x00\x00\x00\x00\x01\x88\xcc\x00\x00\x00\x00\x00\x00"), uint16(0x88a8), uint16(5), false, uint64(0), uint16(3))
	f.Add([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00\x45\x00\x00\x14\x00\x00\x00\x00\x00\x06\x00\x00"), uint16(0x8100), uint16(1), true, uint64(0x0001_0010_0005_0001), uint16(0xfff))
	f.Add(whoHas(1, 2).Data, uint16(0), uint16(0), false, uint64(0), uint16(1<<11))
	f.Add(solicit(1, 2).frame().Data, uint16(0x8100), uint16(0xa005), false, uint64(0), uint16(1<<11|1<<9|1))
	f.Fuzz(func(t *testing.T, data []byte, tpid, tci uint16, lifted bool, owed uint64, how uint16) {
		if len(data) > 1<<16 {
			return
		}
		in := frame.Frame{
			Data: data, Tag: frame.Tag{TPID: frame.EtherType(tpid), TCI: tci}, Lifted: lifted,
			Owed: frame.Offload{
				Flags: uint8(owed & 3), GSOType: uint8(owed >> 8), CsumStart: uint16(owed >> 16),
				CsumOffset: uint16(owed >> 32), GSOSize: uint16(owed >> 48), HdrLen: uint16(owed >> 40),
			},
		}
		b, cables := fuzzBridge(t, how)
		before := bytes.Clone(data)
		foretold := b.Ports()[0].Explain(in)
		_ = b.Ports()[0].Receive(in)
		if !bytes.Equal(before, data) {
			t.Fatal("the caller's bytes were changed")
		}
		for i, p := range b.Ports() {
			s := p.Stats()
			if s.Ingress.Balance() != 0 || s.Egress.Balance() != 0 {
				t.Fatalf("%s does not balance: %+v", p.Name(), s)
			}
			var want [][]byte
			for _, o := range foretold.Out {
				switch plain := i == 2; {
				case o.Dev != p.Name():
				case plain && !o.Frame.Owed.None():
					parts, _ := o.Frame.AppendFinished(nil, nil, frame.Form{TagInline: true})
					for _, f := range parts {
						want = append(want, f.Data)
					}
				default:
					want = append(want, o.Frame.AppendWire(nil))
				}
			}
			if len(want) != len(cables[i].wire) {
				t.Fatalf("%s: Explain foretold %d frames, %d left\n%s", p.Name(), len(want), len(cables[i].wire), foretold)
			}
			for j := range want {
				if !bytes.Equal(want[j], cables[i].wire[j]) {
					t.Fatalf("%s: Explain foretold %x, %x left", p.Name(), want[j], cables[i].wire[j])
				}
			}
		}
		if s := b.Stats(); s.Egress.Balance() != 0 {
			t.Fatalf("the host does not balance: %+v", s)
		}
	})
}

// fuzzBridge is a bridge of three ports whose settings are the bits of how. The
// third port's cable takes plain frames only.
func fuzzBridge(t *testing.T, how uint16) (*bridge.Bridge, []*taken) {
	bit := func(i int) bool { return how>>i&1 != 0 }
	c := bridge.Config{VLANFiltering: bit(0), VLANStats: bit(1), Promisc: bit(2), NoLinkLocalLearn: bit(3), Seed: 1}
	if bit(4) {
		c.VLANProtocol = frame.TypeDot1AD
	}
	if bit(11) {
		c.Host = knowing(bit(12))
	}
	b, err := bridge.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	var cables []*taken
	for i, name := range []string{"p1", "p2", "p3"} {
		pc := bridge.PortConfig{Hairpin: bit(5), Locked: bit(6), MAB: bit(6), Isolated: bit(7), NoLearning: bit(8) && !bit(6)}
		if i != 2 {
			pc.Caps = bridge.Caps{TagAside: true, Checksum: true, TSO: true, USO: true}
		}
		if bit(9) {
			pc.VLANs = bridge.Trunk(1, 5, 10)
		}
		if bit(10) && i > 0 {
			pc.MTU = 68
		}
		if bit(11) {
			pc.Attrs = bridge.PortAttrs{NeighSuppress: new(i == 1), ProxyARP: new(i == 0 && bit(13)), ProxyARPWifi: new(i == 2)}
		}
		cable := &taken{sink: newSink()}
		if _, err := b.AddPort(name, cable, pc); err != nil {
			t.Fatal(err)
		}
		cables = append(cables, cable)
	}
	if bit(11) {
		for i, p := range b.Ports() {
			r := bridge.FDBRequest{Port: p, MAC: neighMAC(i + 1), State: bridge.NUDNoARP}
			if err := b.FDB().Update(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b, cables
}

// knowing is a host that knows stations 1 to 3, in three VLANs too.
func knowing(vlans bool) *bridge.HostTable {
	h := new(bridge.HostTable)
	for _, vid := range []frame.VID{0, 1, 5, 10} {
		for n := 1; n <= 3; n++ {
			h.SetNeighbour(vid, ip4(n), bridge.Neighbour{MAC: neighMAC(n)})
			h.SetNeighbour(vid, ip6(n), bridge.Neighbour{MAC: neighMAC(n)})
		}
		if vlans {
			h.AddVLANDevice(frame.TypeDot1Q, vid)
		}
	}
	h.AddAddress(0, ip4(9))
	return h
}

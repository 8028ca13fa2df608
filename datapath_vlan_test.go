package bridge_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// vlanLab is a bridge with VLAN filtering:
//
//	p1  trunk, 1 native, 10, 20, 30
//	p2  access 10
//	p3  trunk 10, no PVID
//	p4  access 20
//	p5  PVID 30, leaves tagged
//	br0 1 native, 10
func vlanLab(t testing.TB, c bridge.Config) *lab {
	l := newLab(t, c)
	l.add(1, bridge.PortConfig{VLANs: bridge.Trunk(1, 10, 20, 30)})
	l.add(2, bridge.PortConfig{VLANs: bridge.Access(10)})
	l.add(3, bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
	l.add(4, bridge.PortConfig{VLANs: bridge.Access(20)})
	l.add(5, bridge.PortConfig{VLANs: []bridge.VLAN{{VID: 30, PVID: true}}})
	require.NoError(t, l.b.VLANs().Add(bridge.VLAN{VID: 10}))
	return l
}

// out is the wire form that a device is to get.
type out struct {
	dev string
	f   frame.Frame
}

// vlan.md sections 4 and 6, for a bridge whose own TPID is own; the other one is
// payload to it.
func TestVLANPath(t *testing.T) {
	for _, own := range []frame.EtherType{frame.TypeDot1Q, frame.TypeDot1AD} {
		other := own ^ frame.TypeDot1Q ^ frame.TypeDot1AD
		f := ether(frame.Broadcast, mac(9))
		tag := func(tci uint16) frame.Frame { return tagged(f, own, tci) }
		foreign := tagged(f, other, 0x700a)
		const pcp5dei, pcp3 = 0xb000, 0x6000
		for _, c := range []struct {
			name   string
			in     int
			f      frame.Frame
			want   []out
			reason bridge.DropReason
			vid    frame.VID // where the source is learned, 0 nowhere
			setup  func(l *lab)
		}{
			{name: "tagged 10, priority and DEI kept", in: 1, f: tag(pcp5dei | 10), vid: 10,
				want: []out{{"p3", tag(pcp5dei | 10)}, {"p2", f}, {"br0", tag(pcp5dei | 10)}}},
			{name: "untagged: PVID 1, only the host", in: 1, f: f, want: []out{{"br0", f}}, vid: 1},
			{name: "tagged with the PVID's VID", in: 1, f: tag(1), want: []out{{"br0", f}}, vid: 1},
			{name: "untagged into 10: no priority", in: 2, f: f, want: []out{{"p3", tag(10)}, {"p1", tag(10)}, {"br0", tag(10)}}, vid: 10},
			{name: "priority-tagged into 10: priority kept", in: 2, f: tag(pcp3), vid: 10,
				want: []out{{"p3", tag(pcp3 | 10)}, {"p1", tag(pcp3 | 10)}, {"br0", tag(pcp3 | 10)}}},
			{name: "priority-tagged, leaves untagged", in: 1, f: tag(pcp3), want: []out{{"br0", f}}, vid: 1},
			{name: "foreign tag is payload, own in front", in: 2, f: foreign, vid: 10,
				want: []out{{"p3", tagged(foreign, own, 10)}, {"p1", tagged(foreign, own, 10)}, {"br0", tagged(foreign, own, 10)}}},
			{name: "foreign tag is payload, leaves untagged", in: 1, f: foreign, want: []out{{"br0", foreign}}, vid: 1},
			{name: "foreign tag without PVID", in: 3, f: foreign, reason: bridge.DropVLANIngress},
			{name: "two tags, own outside", in: 1, f: tagged(foreign, own, 10), vid: 10,
				want: []out{{"p3", tagged(foreign, own, 10)}, {"p2", foreign}, {"br0", tagged(foreign, own, 10)}}},
			{name: "own tag twice: only the outer counts", in: 1, f: tagged(tag(20), own, 10), vid: 10,
				want: []out{{"p3", tagged(tag(20), own, 10)}, {"p2", tag(20)}, {"br0", tagged(tag(20), own, 10)}}},
			{name: "no PVID, untagged", in: 3, f: f, reason: bridge.DropVLANIngress},
			{name: "no PVID, priority-tagged", in: 3, f: tag(pcp3), reason: bridge.DropVLANIngress},
			{name: "not a member of 20", in: 3, f: tag(20), reason: bridge.DropVLANIngress},
			{name: "nobody is a member of 99", in: 1, f: tag(99), reason: bridge.DropVLANIngress},
			{name: "4095", in: 1, f: tag(4095), reason: bridge.DropVLANIngress},
			{name: "the host is not in 20", in: 1, f: tag(20), want: []out{{"p4", f}}, vid: 20},
			{name: "the host is not in 20 but promiscuous: as it came", in: 1, f: tag(pcp3 | 20), vid: 20,
				setup: func(l *lab) { require.NoError(l.t, l.b.SetPromisc(true)) }, want: []out{{"p4", f}, {"br0", tag(pcp3 | 20)}}},
			{name: "PVID without untagged leaves tagged", in: 1, f: tag(30), want: []out{{"p5", tag(30)}}, vid: 30},
			{name: "PVID without untagged, comes in untagged", in: 5, f: f, want: []out{{"p1", tag(30)}}, vid: 30},
			{name: "VLAN state learning", in: 2, f: f, vid: 10, reason: bridge.DropLearning,
				setup: func(l *lab) { require.NoError(l.t, l.p(2).VLANs().SetState(10, 0, bridge.StateLearning)) }},
			{name: "VLAN state blocking", in: 2, f: f, reason: bridge.DropVLANIngress,
				setup: func(l *lab) { require.NoError(l.t, l.p(2).VLANs().SetState(10, 0, bridge.StateBlocking)) }},
			{name: "VLAN state blocking, tagged", in: 3, f: tag(10), reason: bridge.DropVLANIngress,
				setup: func(l *lab) { require.NoError(l.t, l.p(3).VLANs().SetState(10, 0, bridge.StateBlocking)) }},
			{name: "VLAN state learning lets nothing out", in: 1, f: tag(10), vid: 10, want: []out{{"p3", tag(10)}, {"br0", tag(10)}},
				setup: func(l *lab) { require.NoError(l.t, l.p(2).VLANs().SetState(10, 0, bridge.StateLearning)) }},
			{name: "the host's VLAN state blocking", in: 1, f: tag(10), vid: 10, want: []out{{"p3", tag(10)}, {"p2", f}},
				setup: func(l *lab) { require.NoError(l.t, l.b.VLANs().SetState(10, 0, bridge.StateBlocking)) }},
			{name: "the port state goes before the VLAN's", in: 2, f: f, reason: bridge.DropLearning, vid: 10,
				setup: func(l *lab) { l.set(2, bridge.PortAttrs{State: new(bridge.StateLearning)}) }},
			{name: "host untagged: its PVID", f: f, want: []out{{"p1", f}}},
			{name: "host tagged 10", f: tag(pcp5dei | 10), want: []out{{"p3", tag(pcp5dei | 10)}, {"p2", f}, {"p1", tag(pcp5dei | 10)}}},
			{name: "host tagged 20: no member", f: tag(20), reason: bridge.DropVLANIngress},
			{name: "host foreign tag: payload in its PVID", f: foreign, want: []out{{"p1", foreign}}},
			{name: "host priority-tagged", f: tag(pcp3), want: []out{{"p1", f}}},
		} {
			t.Run(fmt.Sprintf("%s %s", own, c.name), func(t *testing.T) {
				l := vlanLab(t, bridge.Config{VLANFiltering: true, VLANProtocol: own})
				if c.setup != nil {
					c.setup(l)
				}
				before := l.ingress(c.in)
				kept := bytes.Clone(c.f.Data)
				got := l.in(c.in, c.f)
				assert.Equal(t, kept, c.f.Data, "the caller's bytes")
				want := []delivery(nil)
				for _, o := range c.want {
					want = append(want, delivery{o.dev, wireOf(o.f)})
				}
				assert.Equal(t, want, got)
				if c.reason != bridge.NotDropped {
					assert.Equal(t, before.Dropped[c.reason]+1, l.ingress(c.in).Dropped[c.reason], "%s", c.reason)
				}
				learned := map[frame.VID]string{}
				for e := range l.b.FDB().All() {
					if e.MAC == mac(9) {
						learned[e.VID] = e.Port
					}
				}
				wantLearned := map[frame.VID]string{}
				if c.vid != 0 {
					wantLearned[c.vid] = portName(c.in)
				}
				assert.Equal(t, wantLearned, learned)
				balanced(t, l.b)
			})
		}
	}
}

// With filtering off a tag is payload: one address, one entry at VLAN 0, and the
// bytes as they came.
func TestVLANFilteringOff(t *testing.T) {
	l := vlanLab(t, bridge.Config{})
	base := ether(mac(2), mac(9))
	for i, f := range []frame.Frame{
		base, dot1q(base, 10), dot1q(base, 4095), tagged(base, frame.TypeDot1AD, 0xf014), tagged(dot1q(base, 20), frame.TypeDot1AD, 99),
		aside(base, frame.TypeDot1Q, 10), aside(base, frame.TypeDot1AD, 0),
	} {
		got := l.in(1, f)
		assert.Equal(t, []string{"p5", "p4", "p3", "p2"}, devs(got), "frame %d", i)
		for _, d := range got {
			assert.Equal(t, wireOf(f), d.wire, "frame %d to %s", i, d.dev)
		}
		assert.Equal(t, "p1", l.where(mac(9), 0))
		for _, v := range []frame.VID{1, 10, 20} {
			assert.Equal(t, "-", l.where(mac(9), v))
		}
	}
	f := dot1q(ether(mac(9), mac(2)), 20)
	assert.Equal(t, []delivery{{"p1", f.Data}}, l.in(3, f), "found at VLAN 0 whatever the tag")
}

// Addresses are learned and looked up per VLAN (fdb.md section 1).
func TestVLANForward(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true})
	l.in(2, ether(frame.Broadcast, mac(2)))
	assert.Equal(t, []string{"p2"}, l.out(1, dot1q(ether(mac(2), mac(9)), 10)))
	assert.Equal(t, []string{"p4"}, l.out(1, dot1q(ether(mac(2), mac(9)), 20)), "unknown in VLAN 20: flooded there")
	assert.Equal(t, []string{"br0"}, l.out(1, dot1q(ether(portMAC(1), mac(9)), 10)), "p1's address is local in each of its VLANs")
	assert.Equal(t, []string{"p3", "p1", "br0"}, devs(l.in(2, ether(frame.Broadcast, mac(2)))))
	assert.Equal(t, []string{"p1"}, l.out(4, ether(portMAC(3), mac(4))), "p3 is not in VLAN 20: its address is unknown there")

	require.NoError(t, l.b.FDB().Update(bridge.FDBRequest{Port: l.p(4), MAC: mac(4), VID: new(frame.VID(20)), State: bridge.NUDNoARP, Mode: bridge.FDBReplace}))
	require.NoError(t, l.p(4).VLANs().Delete(20, 0))
	assert.Empty(t, l.out(1, dot1q(ether(mac(4), mac(9)), 20)), "a static entry stays when its VLAN goes")
	assert.EqualValues(t, 1, l.ingress(1).Dropped[bridge.DropVLANEgress])
}

// The bridge's address in a VLAN that the bridge device is not in is unknown.
func TestVLANBridgeAddress(t *testing.T) {
	l := vlanLab(t, bridge.Config{VLANFiltering: true, Address: mac(77)})
	assert.Equal(t, []string{"br0"}, l.out(2, ether(mac(77), mac(9))))
	assert.Equal(t, []string{"p1"}, l.out(4, ether(mac(77), mac(9))))
	require.NoError(t, l.b.VLANs().Add(bridge.VLAN{VID: 20}))
	assert.Equal(t, []string{"br0"}, l.out(4, ether(mac(77), mac(9))))
	require.NoError(t, l.b.VLANs().Delete(20, 0))
	assert.Equal(t, []string{"p1"}, l.out(4, ether(mac(77), mac(9))))
}

// A port sends frames of mtu+18 bytes, not counting the tag held aside, and drops
// longer ones silently (section 6).
func TestMTU(t *testing.T) {
	bc := frame.Broadcast
	for _, c := range []struct {
		name   string
		filter bool
		f      frame.Frame
		fits   bool
	}{
		{"fits", false, etherN(bc, mac(9), 1418), true},
		{"one byte more", false, etherN(bc, mac(9), 1419), false},
		{"tag not counted", false, dot1q(etherN(bc, mac(9), 1418), 1), true},
		{"tag not counted, one byte more", false, dot1q(etherN(bc, mac(9), 1419), 1), false},
		{"tag aside", false, aside(etherN(bc, mac(9), 1418), frame.TypeDot1Q, 1), true},
		{"tag aside, one byte more", false, aside(etherN(bc, mac(9), 1419), frame.TypeDot1Q, 1), false},
		{"two tags: the inner counts", false, tagged(dot1q(etherN(bc, mac(9), 1415), 1), frame.TypeDot1AD, 1), false},
		{"foreign tag is payload", true, tagged(etherN(bc, mac(9), 1415), frame.TypeDot1AD, 1), false},
		{"foreign tag is payload, fits", true, tagged(etherN(bc, mac(9), 1414), frame.TypeDot1AD, 1), true},
		{"foreign tag aside is payload", true, aside(etherN(bc, mac(9), 1415), frame.TypeDot1AD, 1), false},
		{"own tag", true, dot1q(etherN(bc, mac(9), 1418), 1), true},
		{"GSO", false, tcpGSO(bc, mac(9), 4000, 1000), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, bridge.Config{VLANFiltering: c.filter})
			l.add(1, bridge.PortConfig{})
			l.add(2, bridge.PortConfig{MTU: 1400, Caps: bridge.Caps{Checksum: true, TSO: true, USO: true}})
			l.add(3, bridge.PortConfig{MTU: 4000, Caps: bridge.Caps{Checksum: true, TSO: true, USO: true}})
			require.Equal(t, 1400, l.b.Info().MTU)
			got := l.out(1, c.f)
			want := []string{"p3", "p2"}
			if !c.fits {
				want = want[:1]
			}
			if c.f.Owed.None() {
				want = append(want, "br0")
			} else { // the host's cable takes no offload
				want = append(want, "br0", "br0", "br0", "br0")
			}
			assert.Equal(t, want, got)
			assert.Equal(t, !c.fits, l.p(2).Stats().Egress.Refused[bridge.DropTooLong] == 1)
			assert.EqualValues(t, 1, l.ingress(1).Used, "the frame as a whole is used")
			balanced(t, l.b)
		})
	}
}

// keeper is a cable that keeps the frames themselves.
type keeper struct {
	*recorder
	got []frame.Frame
}

func (k *keeper) WriteFrames(fs []frame.Frame) (int, error) {
	for i := range fs {
		k.got = append(k.got, fs[i].Clone())
	}
	return len(fs), nil
}

// Who puts the wire form together moves the offsets of what is owed: what they
// point at stays the same.
func TestOwedOffsets(t *testing.T) {
	f := tcpGSO(mac(100), mac(9), 90, 50)
	inData := tagged(f, frame.TypeDot1Q, 10)
	inData.Owed = f.Owed
	inData.Owed.CsumStart, inData.Owed.HdrLen = 38, 58
	foreign := tagged(f, frame.TypeDot1AD, 10)
	foreign.Owed = inData.Owed
	for name, in := range map[string]frame.Frame{
		"untagged": f, "tag in the data": inData, "tag aside": aside(f, frame.TypeDot1Q, 10),
		"foreign tag in the data": foreign, "foreign tag aside": aside(f, frame.TypeDot1AD, 10),
	} {
		for _, tagAside := range []bool{false, true} {
			l := newLab(t, bridge.Config{VLANFiltering: true, VLANDefaultPVID: new(frame.VID(10))})
			l.add(1, bridge.PortConfig{})
			var cables []*keeper
			for i, vlans := range [][]bridge.VLAN{bridge.Access(10), bridge.Trunk(0, 10)} {
				k := &keeper{recorder: newRecorder("k", l.log)}
				cables = append(cables, k)
				_, err := l.b.AddPort(portName(2+i), k, bridge.PortConfig{VLANs: vlans, Caps: bridge.Caps{Checksum: true, TSO: true, USO: true, TagAside: tagAside}})
				require.NoError(t, err)
			}
			require.NoError(t, l.p(1).Receive(in))
			for i, k := range cables {
				require.Len(t, k.got, 1, name)
				g := &k.got[0]
				assert.True(t, tagAside || g.Plain())
				wire, owed := g.AppendWire(nil), g.OwedOnWire()
				assert.Equal(t, f.Data[34:], wire[owed.CsumStart:], "%s, cable %d, TagAside %v: where the checksum starts", name, i, tagAside)
				assert.Equal(t, f.Data[54:], wire[owed.HdrLen:], "%s: where the headers end", name)
			}
		}
	}
}

// What the door refuses: section 1 and what a write to a device answers.
func TestDoor(t *testing.T) {
	owes := func(o frame.Offload) frame.Frame { f := ether(mac(2), mac(9)); f.Owed = o; return f }
	short := func(n int) frame.Frame { return frame.Frame{Data: dot1q(ether(mac(2), mac(9)), 1).Data[:n]} }
	for _, c := range []struct {
		name   string
		f      frame.Frame
		reason bridge.DropReason
		err    error
	}{
		{"empty", frame.Frame{}, bridge.DropRunt, bridge.EINVAL},
		{"13 bytes", frame.Frame{Data: ether(mac(2), mac(9)).Data[:13]}, bridge.DropRunt, bridge.EINVAL},
		{"14 bytes", frame.Frame{Data: ether(mac(2), mac(9)).Data[:14]}, bridge.NotDropped, nil},
		{"lifted and nothing there", frame.Frame{Data: ether(mac(2), mac(9)).Data[:17], Lifted: true}, bridge.DropRunt, bridge.EINVAL},
		{"14 bytes with a tag's type", short(14), bridge.DropTaggedRunt, nil},
		{"18 bytes with a tag", short(18), bridge.DropTaggedRunt, nil},
		{"19 bytes with a tag", short(19), bridge.DropTaggedRunt, nil},
		{"20 bytes with a tag", short(20), bridge.NotDropped, nil},
		{"checksum behind the end", owes(frame.Offload{Flags: 1, CsumStart: 50, CsumOffset: 9}), bridge.DropBadOffload, nil},
		{"checksum in the header", owes(frame.Offload{Flags: 1, CsumStart: 13, CsumOffset: 9}), bridge.DropBadOffload, nil},
		{"unknown flag", owes(frame.Offload{Flags: 2}), bridge.DropBadOffload, nil},
		{"GSO without a checksum", owes(frame.Offload{GSOType: 1, HdrLen: 54, GSOSize: 10}), bridge.DropBadOffload, nil},
		{"GSO of size 0", owes(frame.Offload{Flags: 1, GSOType: 1, HdrLen: 54, CsumStart: 34, CsumOffset: 16}), bridge.DropBadOffload, nil},
		{"GSO of no TCP segment", owes(frame.Offload{Flags: 1, GSOType: 1, HdrLen: 54, GSOSize: 1, CsumStart: 34, CsumOffset: 16}), bridge.DropBadOffload, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLabN(t, bridge.Config{}, 2)
			err := l.p(1).Receive(c.f, ether(mac(2), mac(8)))
			assert.ErrorIs(t, err, c.err)
			in := l.ingress(1)
			assert.EqualValues(t, 2, in.Received)
			if c.reason == bridge.NotDropped {
				assert.Len(t, l.log.take(), 2)
			} else {
				assert.EqualValues(t, 1, in.Dropped[c.reason])
				assert.Len(t, l.log.take(), 1, "the other frame of the batch goes on")
			}
			balanced(t, l.b)
		})
	}
	l := newLabN(t, bridge.Config{}, 2)
	require.NoError(t, l.p(1).SetLink(false, true))
	assert.ErrorIs(t, l.p(1).Receive(ether(mac(2), mac(9))), bridge.EIO)
	assert.EqualValues(t, 1, l.ingress(1).Dropped[bridge.DropLinkDown])
	require.NoError(t, l.b.RemovePort(l.p(1)))
	_ = l.p(1).Receive(ether(mac(2), mac(9)))
	assert.EqualValues(t, 1, l.ingress(1).Dropped[bridge.DropNotServed])
	assert.Empty(t, l.log.take())
}

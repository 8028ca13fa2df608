package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// tunnel is what a frame bears that came, or is to go, by a tunnel id.
func tunnel(f frame.Frame, id uint32) frame.Frame {
	f.Tunnel = uint64(id) + 1
	return f
}

// tunnelLab has p1, in VLAN 1 untagged and 10 to 12, 20 tagged, and p2, a tunnel in
// the same VLANs but 11 untagged, where 10 is mapped to 10010, 11 to 10011. k is p2's
// cable.
func tunnelLab(t testing.TB, c bridge.Config, caps bridge.Caps) (l *lab, k *keeper) {
	l = newLab(t, c)
	l.add(1, bridge.PortConfig{VLANs: append(bridge.Trunk(1, 20), bridge.VLAN{VID: 10, End: 12})})
	k = l.addTunnel(2, caps)
	require.NoError(t, l.p(2).VLANs().Add(bridge.VLAN{VID: 11, Untagged: true}))
	require.NoError(t, l.p(2).VLANs().AddTunnel(bridge.VLANTunnel{VID: 10, End: 11, ID: 10010}))
	return l, k
}

// addTunnel adds port n, whose cable sees what tunnel each frame is to take.
func (l *lab) addTunnel(n int, caps bridge.Caps) *keeper {
	l.t.Helper()
	k := &keeper{recorder: newRecorder(portName(n), l.log)}
	p, err := l.b.AddPort(portName(n), k, bridge.PortConfig{
		Address: portMAC(n), Caps: caps, VLANs: append(bridge.Trunk(1, 20), bridge.VLAN{VID: 10, End: 12}),
		Attrs: bridge.PortAttrs{VLANTunnel: new(true)},
	})
	require.NoError(l.t, err)
	l.ports[portName(n)] = p
	return k
}

// took is what a tunnel's cable took: wire forms, each with its tunnel.
func (k *keeper) took() []string {
	got := []string{}
	for i := range k.got {
		got = append(got, tookLine(k.got[i]))
	}
	k.got = nil
	return got
}

// foretold is what Explain says a device's cable will take.
func foretold(e bridge.Explanation, dev string) []string {
	lines := []string{}
	for _, o := range e.Out {
		if o.Dev == dev {
			lines = append(lines, tookLine(o.Frame))
		}
	}
	return lines
}

func tookLine(f frame.Frame) string {
	return fmt.Sprintf("tunnel %d nexthop %d: %x", f.Tunnel, f.Nexthop, f.AppendWire(nil))
}

// vlan.md 11: what goes out. A frame that leaves tagged in a VLAN that is mapped
// leaves without the tag and with the id.
func TestVLANTunnelEgress(t *testing.T) {
	f := ether(frame.Broadcast, mac(1))
	inner := tagged(f, frame.TypeDot1Q, 77)
	for _, caps := range []bridge.Caps{{}, {TagAside: true}} {
		for _, c := range []struct {
			name string
			f    frame.Frame
			want frame.Frame
		}{
			{"mapped", dot1q(f, 10), tunnel(f, 10010)},
			{"mapped, with priority", tagged(f, frame.TypeDot1Q, 0xe00a), tunnel(f, 10010)},
			{"mapped, tag aside", aside(f, frame.TypeDot1Q, 10), tunnel(f, 10010)},
			{"mapped, but untagged there", dot1q(f, 11), f},
			{"not mapped", dot1q(f, 20), dot1q(f, 20)},
			{"not mapped, untagged", f, f},
			{"a tag of its own below", tagged(inner, frame.TypeDot1Q, 10), tunnel(inner, 10010)},
		} {
			t.Run(fmt.Sprintf("%s, TagAside %v", c.name, caps.TagAside), func(t *testing.T) {
				l, k := tunnelLab(t, bridge.Config{VLANFiltering: true}, caps)
				before := wireOf(c.f)
				assert.Equal(t, []string{tookLine(c.want)}, foretold(l.p(1).Explain(c.f), "p2"))
				require.NoError(t, l.p(1).Receive(c.f))
				assert.Equal(t, []string{tookLine(c.want)}, k.took())
				assert.Equal(t, before, wireOf(c.f))
				balanced(t, l.b)
			})
		}
	}
}

// The host's frames, known unicast, and copies for other ports, which see nothing of
// the tunnel.
func TestVLANTunnelCopies(t *testing.T) {
	l, k := tunnelLab(t, bridge.Config{VLANFiltering: true, VLANs: bridge.Trunk(1, 10)}, bridge.Caps{TagAside: true})
	plain := &keeper{recorder: newRecorder("p3", l.log)}
	_, err := l.b.AddPort("p3", plain, bridge.PortConfig{VLANs: bridge.Trunk(0, 10), Caps: bridge.Caps{TagAside: true}})
	require.NoError(t, err)
	other := l.addTunnel(4, bridge.Caps{TagAside: true})
	require.NoError(t, l.p(4).VLANs().AddTunnel(bridge.VLANTunnel{VID: 10, ID: 5}))

	f := dot1q(ether(frame.Broadcast, mac(1)), 10)
	bare := ether(frame.Broadcast, mac(1))
	assert.Equal(t, []string{"p1"}, devs(l.in(0, f)), "the recorders: p1 only")
	assert.Equal(t, []string{tookLine(tunnel(bare, 10010))}, k.took())
	assert.Equal(t, []string{tookLine(tunnel(bare, 5))}, other.took(), "each port has its own mapping")
	assert.Equal(t, []string{tookLine(f)}, plain.took(), "the next port's copy is as it was")

	l.in(1, f)
	k.took()
	plain.took()
	other.took()
	require.NoError(t, l.p(2).Receive(tunnel(ether(mac(1), mac(2)), 10010)))
	assert.Equal(t, "p2", l.where(mac(2), 10))
	l.in(1, dot1q(ether(mac(2), mac(1)), 10))
	assert.Equal(t, []string{tookLine(tunnel(ether(mac(2), mac(1)), 10010))}, k.took(), "known unicast")
	assert.Empty(t, plain.got)
	assert.Empty(t, other.got)
	balanced(t, l.b)
}

// vlan.md 11: what comes in. An untagged frame of a tunnel that is mapped is in that
// VLAN; any other is as it would be without. By what tunnel it came nobody hears.
func TestVLANTunnelIngress(t *testing.T) {
	f := ether(frame.Broadcast, mac(2))
	for _, c := range []struct {
		name  string
		f     frame.Frame
		vid   frame.VID // 0: dropped
		out   frame.Frame
		setup func(l *lab)
	}{
		{name: "mapped", f: tunnel(f, 10010), vid: 10, out: dot1q(f, 10)},
		{name: "mapped, untagged on the port", f: tunnel(f, 10011), vid: 11, out: dot1q(f, 11)},
		{name: "no such id: the PVID", f: tunnel(f, 10012), vid: 1, out: f},
		{name: "no id: the PVID", f: f, vid: 1, out: f},
		{name: "id beyond 32 bits", f: func() frame.Frame { f := f; f.Tunnel = 1<<32 + 10011; return f }(), vid: 1, out: f},
		{name: "all ones", f: func() frame.Frame { f := f; f.Tunnel = 1<<64 - 1; return f }(), vid: 1, out: f},
		{name: "tagged: the tag", f: tunnel(dot1q(f, 20), 10010), vid: 20, out: dot1q(f, 20)},
		{name: "tag aside: the tag", f: tunnel(aside(f, frame.TypeDot1Q, 20), 10010), vid: 20, out: dot1q(f, 20)},
		{name: "priority-tagged: the PVID", f: tunnel(dot1q(f, 0), 10010), vid: 1, out: f},
		{name: "foreign tag: the PVID", f: tunnel(tagged(f, frame.TypeDot1AD, 20), 10010), vid: 1, out: tagged(f, frame.TypeDot1AD, 20)},
		{name: "one tag left out, another below", f: func() frame.Frame {
			f := tunnel(dot1q(dot1q(f, 20), 7), 10010)
			f.Lifted = true
			return f
		}(), vid: 1, out: dot1q(f, 20)},
		{name: "flag off", f: tunnel(f, 10010), vid: 1, out: f,
			setup: func(l *lab) { l.set(2, bridge.PortAttrs{VLANTunnel: new(false)}) }},
		{name: "flag off and on again: the mapping has gone", f: tunnel(f, 10010), vid: 1, out: f, setup: func(l *lab) {
			l.set(2, bridge.PortAttrs{VLANTunnel: new(false)})
			l.set(2, bridge.PortAttrs{VLANTunnel: new(true)})
		}},
		{name: "the VLAN has gone", f: tunnel(f, 10010), vid: 1, out: f,
			setup: func(l *lab) { require.NoError(l.t, l.p(2).VLANs().Delete(10, 0)) }},
		{name: "the VLAN's state", f: tunnel(f, 10010),
			setup: func(l *lab) { require.NoError(l.t, l.p(2).VLANs().SetState(10, 0, bridge.StateBlocking)) }},
		{name: "802.1ad", f: tunnel(f, 10010), vid: 10, out: tagged(f, frame.TypeDot1AD, 10),
			setup: func(l *lab) { require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{VLANProtocol: new(frame.TypeDot1AD)})) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, _ := tunnelLab(t, bridge.Config{VLANFiltering: true}, bridge.Caps{})
			plain := &keeper{recorder: newRecorder("p3", l.log)}
			_, err := l.b.AddPort("p3", plain, bridge.PortConfig{VLANs: append(bridge.Trunk(1, 20), bridge.VLAN{VID: 10, End: 12}), Caps: bridge.Caps{TagAside: true}})
			require.NoError(t, err)
			if c.setup != nil {
				c.setup(l)
			}
			want := foretold(l.p(2).Explain(c.f), "p3")
			require.NoError(t, l.p(2).Receive(c.f))
			if c.vid == 0 {
				assert.Empty(t, want)
				assert.Empty(t, plain.got)
				assert.EqualValues(t, 1, l.ingress(2).Dropped[bridge.DropVLANIngress])
				return
			}
			assert.Equal(t, want, plain.took())
			assert.Equal(t, []string{tookLine(c.out)}, want)
			assert.Equal(t, "p2", l.where(mac(2), c.vid))
			balanced(t, l.b)
		})
	}
}

// Without filtering the mapping still tags what comes in; nothing is changed on the
// way out (datapath.md 2 row 5, vlan.md 6).
func TestVLANTunnelWithoutFiltering(t *testing.T) {
	l, k := tunnelLab(t, bridge.Config{}, bridge.Caps{})
	f := ether(frame.Broadcast, mac(2))
	got := l.in(2, tunnel(f, 10010))
	assert.Equal(t, []delivery{{"p1", wireOf(dot1q(f, 10))}, {"br0", wireOf(dot1q(f, 10))}}, got)
	assert.Equal(t, "p2", l.where(mac(2), 0))
	g := dot1q(ether(frame.Broadcast, mac(1)), 10)
	l.in(1, g)
	assert.Equal(t, []string{tookLine(g)}, k.took())
}

// A link-local frame is in the VLAN of its tunnel too, where it is learned.
func TestVLANTunnelLinkLocal(t *testing.T) {
	l, _ := tunnelLab(t, bridge.Config{VLANFiltering: true}, bridge.Caps{})
	l.in(2, tunnel(ether(linkLocal(0xe), mac(2)), 10010))
	assert.Equal(t, "p2", l.where(mac(2), 10))
	assert.Equal(t, "-", l.where(mac(2), 1))
}

// Kernel selftest test_bridge_backup_port: backup_nhid selects the next hop, of the
// port that has no carrier; without VLAN tunnels it marks nothing.
func TestVLANTunnelBackupNexthop(t *testing.T) {
	for _, c := range []struct {
		kernel bridge.Kernel
		want   uint32
	}{{bridge.KernelNewest, 10}, {bridge.Linux6_6, 10}, {bridge.Linux6_5, 0}} {
		l, k := tunnelLab(t, bridge.Config{VLANFiltering: true, Kernel: c.kernel}, bridge.Caps{TagAside: true})
		l.add(3, bridge.PortConfig{VLANs: append(bridge.Trunk(1, 20), bridge.VLAN{VID: 10, End: 12})})
		plain := &keeper{recorder: newRecorder("p4", l.log)}
		_, err := l.b.AddPort("p4", plain, bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
		require.NoError(t, err)
		l.in(3, dot1q(ether(frame.Broadcast, mac(3)), 10), dot1q(ether(frame.Broadcast, mac(3)), 20))
		k.took()
		plain.took()
		to := dot1q(ether(mac(3), mac(1)), 10)
		l.set(3, bridge.PortAttrs{BackupPort: new("p2"), BackupNexthopID: new(uint32(10))})
		assert.Equal(t, []string{"p3"}, l.out(1, to), "it has a carrier")
		require.NoError(t, l.p(3).SetLink(true, false))

		l.in(1, to, dot1q(ether(mac(3), mac(1)), 20), dot1q(ether(frame.Broadcast, mac(1)), 10))
		redirected := tunnel(ether(mac(3), mac(1)), 10010)
		redirected.Nexthop = c.want
		assert.Equal(t, []string{
			tookLine(redirected), tookLine(dot1q(ether(mac(3), mac(1)), 20)), tookLine(tunnel(ether(frame.Broadcast, mac(1)), 10010)),
		}, k.took(), "%s: a VLAN that is not mapped, and the next frame, have none", c.kernel)

		plain.took()
		l.set(3, bridge.PortAttrs{BackupPort: new("p4")})
		l.in(1, to)
		assert.Equal(t, []string{tookLine(to)}, plain.took(), "%s: not a tunnel", c.kernel)
		l.set(3, bridge.PortAttrs{BackupPort: new(""), BackupNexthopID: new(uint32(0))})
		assert.Equal(t, []string{}, l.out(1, to), "%s: without a backup it goes nowhere", c.kernel)
		balanced(t, l.b)
	}
}

// Explain and a trace tell of the tunnel, on the way in and out.
func TestVLANTunnelExplained(t *testing.T) {
	l, _ := tunnelLab(t, bridge.Config{VLANFiltering: true}, bridge.Caps{})
	e := l.p(2).Explain(tunnel(ether(frame.Broadcast, mac(2)), 10010))
	assert.Contains(t, e.String(), "br_handle_frame dev: p2 02:00:00:01:00:02 -> ff:ff:ff:ff:ff:ff [802.1Q vid 10] tunnel 10010 VLAN of the tunnel\n")
	assert.Contains(t, e.String(), "br_allowed_ingress dev: p2 02:00:00:01:00:02 -> ff:ff:ff:ff:ff:ff vlan 10 [802.1Q vid 10] VLAN of the tag\n")
	e = l.p(1).Explain(dot1q(ether(frame.Broadcast, mac(1)), 10))
	assert.Contains(t, e.String(), "__br_forward to dev: p2 02:00:00:01:00:01 -> ff:ff:ff:ff:ff:ff vlan 10 tunnel 10010 tunnel of the VLAN\n")
	require.NotEmpty(t, e.Out)
	assert.Equal(t, "p2", e.Out[0].Dev)
	assert.Equal(t, tookLine(tunnel(ether(frame.Broadcast, mac(1)), 10010)), tookLine(e.Out[0].Frame))
	assert.Equal(t, "-", l.where(mac(2), 10))
}

// The mapping is the VLANs': it goes with them, is not touched by another flag, and
// is dumped by VLAN.
func TestVLANTunnelMapping(t *testing.T) {
	l, _ := tunnelLab(t, bridge.Config{}, bridge.Caps{})
	v := l.p(2).VLANs()
	assert.Equal(t, []bridge.VLANTunnel{{VID: 10, ID: 10010}, {VID: 11, ID: 10011}}, v.Tunnels())
	require.NoError(t, v.Add(bridge.VLAN{VID: 10, Untagged: true}))
	require.NoError(t, v.AddTunnel(bridge.VLANTunnel{VID: 12, ID: 1<<32 - 1}))
	require.NoError(t, v.AddTunnel(bridge.VLANTunnel{VID: 20, ID: 0}))
	assert.Equal(t, []bridge.VLANTunnel{{VID: 10, ID: 10010}, {VID: 11, ID: 10011}, {VID: 12, ID: 1<<32 - 1}, {VID: 20}}, v.Tunnels())
	require.NoError(t, v.Delete(11, 0))
	require.NoError(t, v.Add(bridge.VLAN{VID: 11}))
	assert.Equal(t, []bridge.VLANTunnel{{VID: 10, ID: 10010}, {VID: 12, ID: 1<<32 - 1}, {VID: 20}}, v.Tunnels())
	require.NoError(t, v.DeleteTunnel(10, 12), "11 is not mapped")
	require.NoError(t, v.AddTunnel(bridge.VLANTunnel{VID: 11, ID: 10010}), "the id is free again")
	assert.Equal(t, []bridge.VLANTunnel{{VID: 11, ID: 10010}, {VID: 20}}, v.Tunnels())
	l.set(2, bridge.PortAttrs{VLANTunnel: new(true)})
	assert.Len(t, v.Tunnels(), 2, "set to the value that it has")
	l.set(2, bridge.PortAttrs{VLANTunnel: new(false)})
	assert.Empty(t, v.Tunnels())
	l.set(2, bridge.PortAttrs{VLANTunnel: new(true)})
	assert.Empty(t, v.Tunnels())
	require.NoError(t, v.AddTunnel(bridge.VLANTunnel{VID: 11, ID: 10010}))
	assert.Empty(t, l.b.VLANs().Tunnels())
	require.NoError(t, l.b.RemovePort(l.p(2)))
	assert.Empty(t, v.Tunnels())
}

// Linux maps id 0 on the way in only.
func TestVLANTunnelZero(t *testing.T) {
	l, k := tunnelLab(t, bridge.Config{VLANFiltering: true}, bridge.Caps{})
	require.NoError(t, l.p(2).VLANs().AddTunnel(bridge.VLANTunnel{VID: 20, ID: 0}))
	assert.Equal(t, []string{"p1"}, l.out(2, tunnel(ether(frame.Broadcast, mac(2)), 0)))
	assert.Equal(t, "p2", l.where(mac(2), 20))
	f := dot1q(ether(frame.Broadcast, mac(1)), 20)
	l.in(1, f)
	assert.Equal(t, []string{tookLine(f)}, k.took())
}

// The errors of vlan.md 11.
func TestRefusalVLANTunnel(t *testing.T) {
	l, _ := tunnelLab(t, bridge.Config{}, bridge.Caps{})
	gone := l.add(5, bridge.PortConfig{Attrs: bridge.PortAttrs{VLANTunnel: new(true)}})
	require.NoError(t, l.b.RemovePort(gone))
	p2, p1, br := l.p(2).VLANs(), l.p(1).VLANs(), l.b.VLANs()
	add := func(v *bridge.VLANFilter, vid, end frame.VID, id uint32) error {
		return v.AddTunnel(bridge.VLANTunnel{VID: vid, End: end, ID: id})
	}
	before, mapped := snap(l.b), p2.Tunnels()
	for _, c := range []struct {
		name string
		err  error
		no   bridge.Errno
		dev  string
	}{
		{"flag off", add(p1, 10, 0, 1), bridge.EINVAL, "p1"},
		{"flag off, delete", p1.DeleteTunnel(10, 0), bridge.EINVAL, "p1"},
		{"the bridge", add(br, 1, 0, 1), bridge.EINVAL, "br0"},
		{"the bridge, delete", br.DeleteTunnel(1, 0), bridge.EINVAL, "br0"},
		{"no such VLAN", add(p2, 99, 0, 1), bridge.EINVAL, "p2"},
		{"range that is half there", add(p2, 12, 13, 1), bridge.EINVAL, "p2"},
		{"mapped", add(p2, 10, 0, 1), bridge.EEXIST, "p2"},
		{"mapped, to the same", add(p2, 10, 0, 10010), bridge.EEXIST, "p2"},
		{"id in use", add(p2, 12, 0, 10010), bridge.EEXIST, "p2"},
		{"id in use in a range", add(p2, 12, 0, 10011), bridge.EEXIST, "p2"},
		{"too few ids", add(p2, 10, 12, 1<<32-2), bridge.EINVAL, "p2"},
		{"VID 0", add(p2, 0, 0, 1), bridge.EINVAL, "p2"},
		{"VID 4095", add(p2, 4095, 0, 1), bridge.EINVAL, "p2"},
		{"end below", add(p2, 12, 10, 1), bridge.EINVAL, "p2"},
		{"delete, no such VLAN", p2.DeleteTunnel(99, 0), bridge.ENOENT, "p2"},
		{"delete, range that is half there", p2.DeleteTunnel(10, 13), bridge.ENOENT, "p2"},
		{"delete, VID 0", p2.DeleteTunnel(0, 0), bridge.EINVAL, "p2"},
		{"port has left", add(gone.VLANs(), 1, 0, 1), bridge.EOPNOTSUPP, "p5"},
		{"port has left, delete", gone.VLANs().DeleteTunnel(1, 0), bridge.EOPNOTSUPP, "p5"},
	} {
		t.Run(c.name, func(t *testing.T) { assertRefused(t, c.err, c.no, c.dev) })
	}
	assert.Equal(t, before, snap(l.b))
	assert.Equal(t, mapped, p2.Tunnels())
	assertRefused(t, l.p(2).Set(bridge.PortAttrs{VLANTunnel: new(false), Cost: new(0)}), bridge.ERANGE, "p2")
	assert.Equal(t, mapped, p2.Tunnels(), "a request that is refused drops no mapping")
}

// The mapping against a map, by ids far apart and close together.
func TestVLANTunnelModel(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true})
	l.add(1, bridge.PortConfig{VLANs: []bridge.VLAN{{VID: 1, End: 4094}}, Attrs: bridge.PortAttrs{VLANTunnel: new(true)}})
	v := l.p(1).VLANs()
	r := rand.New(rand.NewPCG(1, 2))
	model := map[frame.VID]uint32{}
	ids := map[uint32]frame.VID{}
	for range 3000 {
		vid, id := frame.VID(1+r.IntN(300)), []uint32{r.Uint32(), 10000 + r.Uint32N(300), r.Uint32N(200) << 8}[r.IntN(3)]
		if r.IntN(3) == 0 {
			require.NoError(t, v.DeleteTunnel(vid, 0))
			delete(ids, model[vid])
			delete(model, vid)
			continue
		}
		err := v.AddTunnel(bridge.VLANTunnel{VID: vid, ID: id})
		_, mapped := model[vid]
		if _, taken := ids[id]; mapped || taken {
			require.ErrorIs(t, err, bridge.EEXIST)
			continue
		}
		require.NoError(t, err)
		model[vid], ids[id] = id, vid
	}
	got := map[frame.VID]uint32{}
	for _, m := range v.Tunnels() {
		got[m.VID] = m.ID
	}
	require.Equal(t, model, got)
	for id, vid := range ids {
		l.in(1, tunnel(ether(frame.Broadcast, mac(int(vid))), id))
		require.Equal(t, "p1", l.where(mac(int(vid)), vid), "id %d", id)
	}
	require.NoError(t, v.DeleteTunnel(1, 4094))
	require.NoError(t, v.AddTunnel(bridge.VLANTunnel{VID: 1, End: 4094, ID: 1 << 24}))
	require.Len(t, v.Tunnels(), 4094)
	require.Equal(t, bridge.VLANTunnel{VID: 4094, ID: 1<<24 + 4093}, v.Tunnels()[4093])
}

// While frames pass mappings come and go: each frame is wholly under one or the other,
// and once DeleteTunnel has returned none is under the old one.
func TestVLANTunnelUnderTraffic(t *testing.T) {
	l, _ := tunnelLab(t, bridge.Config{VLANFiltering: true}, bridge.Caps{TagAside: true})
	l.forget()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for n := 1; n <= 2; n++ {
		in := l.p(n).Input()
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					_ = in.Receive([]frame.Frame{tunnel(ether(mac(900), mac(100*n+i%50)), 10010), dot1q(ether(mac(901), mac(100*n)), 10)})
				}
			}
		})
	}
	v := l.p(2).VLANs()
	for range 50 {
		require.NoError(t, v.DeleteTunnel(10, 0))
		_, err := l.b.FDB().Flush(bridge.FDBFlush{VID: new(frame.VID(10)), Port: l.p(2)})
		require.NoError(t, err)
		for i := range 50 {
			e, ok := l.b.FDB().Lookup(mac(200+i), 10)
			require.False(t, ok && e.Port == "p2" && i != 0, "learned in VLAN 10 by a tunnel that is not mapped")
		}
		require.NoError(t, v.AddTunnel(bridge.VLANTunnel{VID: 10, ID: 10010}))
	}
	close(done)
	wg.Wait()
	balanced(t, l.b)
}

// No allocation for a frame that comes by a tunnel or leaves by one.
func TestVLANTunnelAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, caps := range []bridge.Caps{{}, {TagAside: true}} {
		l := newLab(t, bridge.Config{VLANFiltering: true})
		var ports []*bridge.Port
		for i := range 3 {
			p, err := l.b.AddPort(portName(i), newSink(), bridge.PortConfig{
				Caps: caps, VLANs: bridge.Trunk(0, 10), Attrs: bridge.PortAttrs{VLANTunnel: new(true)},
			})
			require.NoError(t, err)
			require.NoError(t, p.VLANs().AddTunnel(bridge.VLANTunnel{VID: 10, ID: uint32(i)}))
			ports = append(ports, p)
		}
		in := ports[1].Input()
		fs := []frame.Frame{tunnel(ether(frame.Broadcast, mac(1)), 1), dot1q(ether(mac(7), mac(1)), 10)}
		_ = in.Receive(fs)
		before := ports[2].Stats().TxPackets
		assert.Zero(t, testing.AllocsPerRun(100, func() { _ = in.Receive(fs) }))
		assert.EqualValues(t, before+2*101, ports[2].Stats().TxPackets)
	}
}

// A tunnelCable holds that it gets numbered frames in order, all by one tunnel.
type tunnelCable struct {
	*recorder
	tunnel uint64
	next   byte
	wrong  int
}

func (c *tunnelCable) WriteFrames(fs []frame.Frame) (int, error) {
	for i := range fs {
		if fs[i].Tunnel != c.tunnel || fs[i].Data[59] != c.next {
			c.wrong++
		}
		c.next++
	}
	return len(fs), nil
}

// A batch that is flooded to as many tunnels as there can be ports makes more different
// frames than 16 bits count: each port gets its own all the same.
func TestFloodToManyTunnels(t *testing.T) {
	l := newLab(t, bridge.Config{VLANFiltering: true, VLANs: bridge.Access(5)})
	l.forget()
	var cables []*tunnelCable
	for i := range 1023 {
		name := fmt.Sprint("t", i)
		c := &tunnelCable{recorder: newRecorder(name, l.log), tunnel: uint64(i) + 2}
		p, err := l.b.AddPort(name, c, bridge.PortConfig{
			VLANs: bridge.Trunk(0, 5), Hairpin: true, Attrs: bridge.PortAttrs{VLANTunnel: new(true)},
		})
		require.NoError(t, err)
		require.NoError(t, p.VLANs().AddTunnel(bridge.VLANTunnel{VID: 5, ID: uint32(i) + 1}))
		cables = append(cables, c)
	}
	fs := make([]frame.Frame, 64)
	for i := range fs {
		fs[i] = etherN(frame.Broadcast, mac(1), 60)
		fs[i].Data[59], fs[i].Tunnel = byte(i), 2
	}
	require.NoError(t, l.b.Port("t0").Receive(fs...))
	for _, c := range cables {
		require.Zero(t, c.wrong, c.name)
		require.EqualValues(t, 64, c.next, c.name)
	}
	balanced(t, l.b)
}

package filter_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
	"github.com/ddfb540f/bridge/frame"
)

// mirrored is a rig of a p1 in VLAN 10 untagged, p2 tagged, and the port of a mirror.
func mirrored(t *testing.T, in, out []string, more ...bridge.Filter) (*rig, *filter.Mirror) {
	r := newRig(t, 0, bridge.Config{VLANFiltering: true})
	r.add("p1", bridge.PortConfig{VLANs: bridge.Access(10)})
	r.add("p2", bridge.PortConfig{VLANs: bridge.Trunk(0, 10)})
	to := r.add("span", filter.MirrorPort(bridge.Caps{}))
	m, err := filter.NewMirror(filter.Mirrored{Ingress: in, Egress: out, To: to})
	require.NoError(t, err)
	r.filters(append([]bridge.Filter{m.Filter()}, more...)...)
	return r, m
}

// Copies look as the frames on the cable do.
func TestMirror(t *testing.T) {
	f := plain(mac(2), mac(1))
	tag10 := wrap(f, "\x81\x00\x00\x0a")
	for _, c := range []struct {
		in, out []string
		port    int
		f       frame.Frame
		want    []sent
	}{
		{[]string{"p1"}, nil, 1, f, []sent{{"span", f.Data}, {"p2", tag10.Data}}},
		{[]string{"p1"}, nil, 2, tag10, []sent{{"p1", f.Data}}},
		{[]string{"p2"}, nil, 2, tag10, []sent{{"span", tag10.Data}, {"p1", f.Data}}},
		{nil, []string{"p1"}, 2, tag10, []sent{{"span", f.Data}, {"p1", f.Data}}},
		{nil, []string{"p2"}, 1, f, []sent{{"span", tag10.Data}, {"p2", tag10.Data}}},
		{[]string{"p1", "p2"}, []string{"p1", "p2"}, 1, f, []sent{{"span", f.Data}, {"span", tag10.Data}, {"p2", tag10.Data}}},
	} {
		r, m := mirrored(t, c.in, c.out)
		assert.Len(t, r.ports[c.port-1].Explain(c.f).Out, len(c.want))
		assert.Zero(t, m.Copies(), "only explained")
		got := r.in(c.port, c.f)
		assert.Equal(t, c.want, got, "%v %v", c.in, c.out)
		assert.Equal(t, uint64(len(got)-1), m.Copies())
		r.balanced()
	}
}

// What the other filters drop is copied; nothing goes round.
func TestMirrorProtectsItself(t *testing.T) {
	drop := bridge.Filter{Name: "drop", Hooks: bridge.Hooks(bridge.HookPreRouting), Judge: func(s *bridge.Passage) bridge.Ruling {
		if s.Frame.Src() == mac(13) {
			return bridge.FilterDrop.Because("")
		}
		return bridge.Ruling{}
	}}
	r, _ := mirrored(t, []string{"p1", "p2"}, []string{"p1", "p2"}, drop)
	assert.Equal(t, "span", r.out(1, plain(frame.Broadcast, mac(13))))
	assert.Equal(t, "span", r.out(1, plain(frame.MAC{1, 0x80, 0xc2, 0, 0, 3}, mac(1))), "for the port's own stack")
	assert.Empty(t, r.out(3, plain(frame.Broadcast, mac(9))), "what comes in by the mirror's port")
	assert.Equal(t, []string{"filter span " + mac(9).String() + ": mirror: the port of a mirror is not for sending"}, r.reports())
	require.NoError(t, r.b.VLANs().Add(bridge.VLAN{VID: 10, PVID: true, Untagged: true}))
	require.NoError(t, r.ports[2].VLANs().Add(bridge.VLAN{VID: 10}))
	require.NoError(t, r.b.Xmit(plain(frame.Broadcast, mac(99))))
	assert.Equal(t, uint64(1), r.ports[2].Stats().Egress.Refused[bridge.DropFilter], "only copies leave by it")
	r.in(1)
	require.NoError(t, r.b.RemovePort(r.ports[2]))
	assert.Equal(t, "p2", r.out(1, plain(frame.Broadcast, mac(1))), "the mirror's port has left")
	r.balanced()
}

// A checksum that is owed is paid for a mirror's cable that cannot take it, and for
// no other.
func TestMirrorFinishes(t *testing.T) {
	r := newRig(t, 1, bridge.Config{})
	r.add("p2", bridge.PortConfig{Caps: bridge.Caps{Checksum: true}})
	m, err := filter.NewMirror(filter.Mirrored{Egress: []string{"p2"}, To: r.add("span", filter.MirrorPort(bridge.Caps{}))})
	require.NoError(t, err)
	r.filters(m.Filter())
	f := ether(mac(2), mac(1), frame.TypeIPv4, ipv4("10.0.0.1", "10.0.0.2", 17, append(udp(1, 2), make([]byte, 18)...)))
	f.Data[39] = 26 // the length of UDP
	f.Owed = frame.Offload{Flags: frame.NeedsCsum, CsumStart: 34, CsumOffset: 6}
	got := r.in(1, f)
	require.Len(t, got, 2)
	assert.Equal(t, "span", got[0].dev)
	assert.Equal(t, f.Data, got[1].wire, "p2 takes it as it is")
	assert.NotEqual(t, f.Data[40:42], got[0].wire[40:42])
	r.balanced()
}

func TestMirrorRefused(t *testing.T) {
	r := newRig(t, 1, bridge.Config{})
	for _, c := range []filter.Mirrored{
		{Ingress: []string{"p1"}}, {To: r.ports[0]}, {To: r.ports[0], Ingress: []string{"p1"}}, {To: r.ports[0], Egress: []string{"p1"}},
	} {
		_, err := filter.NewMirror(c)
		assert.ErrorContains(t, err, "filter: ")
	}
}

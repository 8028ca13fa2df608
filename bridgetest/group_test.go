package bridgetest_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

var group = netip.MustParseAddr("239.1.1.1")

func TestIGMPBytes(t *testing.T) {
	q := bridgetest.IGMP{Type: bridgetest.IGMPQuery, MaxResp: 10 * time.Second, Group: netip.IPv4Unspecified()}
	assert.Equal(t, "1164ee9b00000000", hex.EncodeToString(q.Append(nil)))
	r := bridgetest.IGMP{Type: bridgetest.IGMPReport, Group: group}
	assert.Equal(t, "1600f9fcef010101", hex.EncodeToString(r.Append(nil)))

	v3 := append(q.Append(nil), 0x02, 0x7d, 0, 0)
	v3[2], v3[3] = 0, 0
	sum := bridgetest.Checksum(v3)
	v3[2], v3[3] = byte(sum>>8), byte(sum)
	m, err := bridgetest.ParseIGMP(v3)
	require.NoError(t, err)
	assert.Equal(t, q, m, "what is known of a query of IGMPv3")

	for _, b := range [][]byte{nil, r.Append(nil)[:7], append(r.Append(nil), 0), {0x16, 0, 0, 0, 239, 1, 1, 1}} {
		_, err := bridgetest.ParseIGMP(b)
		assert.ErrorIs(t, err, bridgetest.ErrBadPacket, "% x", b)
	}
}

func TestUDPBytes(t *testing.T) {
	b := bridgetest.UDP{Src: 1, Dst: 2, Payload: []byte("abc")}.Append(nil)
	assert.Equal(t, "00010002000b0000616263", hex.EncodeToString(b))
	u, err := bridgetest.ParseUDP(append(b, 0, 0)) // padding
	require.NoError(t, err)
	assert.Equal(t, bridgetest.UDP{Src: 1, Dst: 2, Payload: []byte("abc")}, u)
	for _, b := range [][]byte{nil, b[:7], b[:10], {0, 1, 0, 2, 0, 7, 0, 0}} {
		_, err := bridgetest.ParseUDP(b)
		assert.ErrorIs(t, err, bridgetest.ErrBadPacket, "% x", b)
	}
}

func FuzzIGMP(f *testing.F) {
	f.Add(bridgetest.IGMP{Type: 0x11, MaxResp: time.Second, Group: group}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := bridgetest.ParseIGMP(b)
		if err == nil && len(b) == 8 {
			again := m.Append(nil)
			// A sum of ones is written 0000 and ffff alike.
			require.True(t, bytes.Equal(again[:2], b[:2]) && bytes.Equal(again[4:], b[4:]), "% x", b)
		}
	})
}

func FuzzUDP(f *testing.F) {
	f.Add(bridgetest.UDP{Src: 1, Dst: 2, Payload: []byte("x")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := bridgetest.ParseUDP(b)
		if err != nil {
			return
		}
		again, err := bridgetest.ParseUDP(u.Append(nil))
		require.NoError(t, err)
		assert.Equal(t, u, again)
	})
}

// reports counts the reports of group among what a host saw.
func reports(h *bridgetest.Host) (n int) {
	for _, f := range h.Received() {
		if p, err := bridgetest.ParseIPv4(f.Data[frame.HeaderLen:]); err == nil && p.Protocol == bridgetest.ProtocolIGMP {
			if m, err := bridgetest.ParseIGMP(p.Payload); err == nil && m.Type == bridgetest.IGMPReport {
				n++
			}
		}
	}
	return n
}

// Without snooping everybody hears everybody: of those in a group one answers a query.
func TestOneMemberAnswers(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Star("router", "a", "b", "c"))
	router := lab.Host("router")
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, lab.Host(name).Join(group))
	}
	lab.Run(time.Second)
	assert.Equal(t, 3, reports(router), "each reports what it joins")

	router.Query(100*time.Second, 10*time.Second)
	lab.Run(11 * time.Second)
	assert.Equal(t, 1, reports(router), "the first keeps the others from answering")

	router.Query(0, 0)
	lab.Run(200 * time.Second)
	assert.Zero(t, reports(router), "nobody asks any more")
}

// A host leaves with a message if it was the last to report the group.
func TestLeave(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Star("a", "b"))
	a, b := lab.Host("a"), lab.Host("b")
	require.NoError(t, a.Join(group))
	lab.Run(time.Second)
	require.NoError(t, b.Join(group))
	lab.Run(time.Second)
	assert.Equal(t, []netip.Addr{group}, a.Groups())
	a.Received()
	b.Received()

	require.NoError(t, a.Leave(group))
	lab.Run(time.Second)
	assert.Empty(t, b.Received(), "b has reported it since")
	require.NoError(t, b.Leave(group))
	lab.Run(time.Second)
	require.Len(t, a.Received(), 1)
	assert.Empty(t, a.Groups())
	assert.Error(t, a.Leave(group))

	require.NoError(t, a.Join(group))
	lab.Run(time.Second)
	b.Received()
	a.Forget(group)
	lab.Run(time.Second)
	assert.Empty(t, a.Groups())
	assert.Empty(t, b.Received(), "who forgets says nothing")
}

func TestGroupRefusals(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Star("a"))
	a := lab.Host("a")
	for _, s := range []string{"224.0.0.251", "10.0.0.1", "ff02::fb"} {
		assert.Error(t, a.Join(netip.MustParseAddr(s)), s)
	}
	assert.Error(t, a.SendGroup(netip.MustParseAddr("10.0.0.1"), nil))
	assert.Empty(t, a.Groups())
}

// The bridge's own querier and these hosts understand each other: the hosts stay in
// their groups for as long as they want, and no longer.
func TestHostsAndTheBridgesQuerier(t *testing.T) {
	lab := bridgetest.NewLab(t, bridgetest.Star("a", "b"))
	require.NoError(t, lab.Bridge().Set(bridge.BridgeAttrs{McastSnooping: new(true), McastQuerier: new(true)}))
	require.NoError(t, lab.Host("a").Join(group))
	require.NoError(t, lab.Host("b").Join(group))
	for range 100 {
		lab.Run(time.Minute)
		require.Len(t, lab.Bridge().MDB(), 2)
	}
	lab.Host("a").Forget(group)
	lab.Run(6 * time.Minute)
	require.Len(t, lab.Bridge().MDB(), 1)
	assert.Equal(t, "p2", lab.Bridge().MDB()[0].Port)
}

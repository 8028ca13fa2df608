package bridgetest_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

var (
	mac1 = frame.MustParseMAC("02:00:00:00:00:01")
	mac2 = frame.MustParseMAC("02:00:00:00:00:02")
	ip1  = netip.MustParseAddr("10.0.0.1")
	ip2  = netip.MustParseAddr("10.0.0.2")
)

func TestARPBytes(t *testing.T) {
	a := bridgetest.ARP{Op: bridgetest.ARPReply, SenderMAC: mac1, SenderIP: ip1, TargetMAC: mac2, TargetIP: ip2}
	want := []byte{
		0, 1, 0x08, 0, 6, 4, 0, 2,
		2, 0, 0, 0, 0, 1, 10, 0, 0, 1,
		2, 0, 0, 0, 0, 2, 10, 0, 0, 2,
	}
	assert.Equal(t, want, a.Append(nil))
	got, err := bridgetest.ParseARP(append(want, 0, 0)) // with padding
	require.NoError(t, err)
	assert.Equal(t, a, got)

	for i := range want {
		_, err := bridgetest.ParseARP(want[:i])
		assert.ErrorIs(t, err, bridgetest.ErrBadPacket, "%d bytes", i)
	}
	for _, i := range []int{1, 3, 4, 5} {
		bad := bytes.Clone(want)
		bad[i]++
		_, err := bridgetest.ParseARP(bad)
		assert.ErrorIs(t, err, bridgetest.ErrBadPacket, "byte %d changed", i)
	}
}

// The header is the example of the article "IPv4 header checksum": its sum is
// known.
func TestIPv4Checksum(t *testing.T) {
	header := []byte{
		0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61,
		0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7,
	}
	assert.Zero(t, bridgetest.Checksum(header))
	got := bridgetest.IPv4{
		TTL: 64, Protocol: 17, Payload: make([]byte, 0x73-20),
		Src: netip.MustParseAddr("192.168.0.1"), Dst: netip.MustParseAddr("192.168.0.199"),
	}.Append(nil)
	assert.Equal(t, header, got[:20])
}

func TestIPv4Refusals(t *testing.T) {
	good := bridgetest.IPv4{TTL: 64, Protocol: 1, Src: ip1, Dst: ip2, Payload: []byte("payload")}.Append(nil)
	for i := range good {
		_, err := bridgetest.ParseIPv4(good[:i])
		assert.ErrorIs(t, err, bridgetest.ErrBadPacket, "%d bytes", i)
	}
	for i := range 20 { // every bit of the header is held by the checksum
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		_, err := bridgetest.ParseIPv4(bad)
		assert.ErrorIs(t, err, bridgetest.ErrBadPacket, "byte %d changed", i)
	}
	fragment := bytes.Clone(good)
	fragment[6], fragment[7] = 0x20, 0 // more fragments, and the checksum for it
	fragment[10], fragment[11] = 0, 0
	sum := bridgetest.Checksum(fragment[:20])
	fragment[10], fragment[11] = byte(sum>>8), byte(sum)
	_, err := bridgetest.ParseIPv4(fragment)
	assert.ErrorContains(t, err, "fragment")

	long := bridgetest.IPv4{Src: ip1, Dst: ip2, Payload: make([]byte, 70000)}.Append(nil)
	assert.Len(t, long, 65535)
	_, err = bridgetest.ParseIPv4(long)
	assert.NoError(t, err)
}

func TestEchoRefusals(t *testing.T) {
	good := bridgetest.Echo{ID: 7, Seq: 9, Data: []byte("odd")}.Append(nil)
	got, err := bridgetest.ParseEcho(good)
	require.NoError(t, err)
	assert.Equal(t, bridgetest.Echo{ID: 7, Seq: 9, Data: []byte("odd")}, got)
	for i := range good {
		_, err := bridgetest.ParseEcho(good[:i])
		assert.ErrorIs(t, err, bridgetest.ErrBadPacket, "%d bytes", i)
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		_, err = bridgetest.ParseEcho(bad)
		assert.ErrorIs(t, err, bridgetest.ErrBadPacket, "byte %d changed", i)
	}
}

// What is read and written again is the same packet.
func FuzzARP(f *testing.F) {
	f.Add(bridgetest.ARP{Op: 1, SenderMAC: mac1, SenderIP: ip1, TargetIP: ip2}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := bridgetest.ParseARP(b); err == nil && !bytes.Equal(a.Append(nil), b[:28]) {
			t.Fatalf("% x does not survive a round trip", b)
		}
	})
}

func FuzzIPv4(f *testing.F) {
	f.Add(bridgetest.IPv4{TTL: 1, Protocol: 1, Src: ip1, Dst: ip2, Payload: []byte("x")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := bridgetest.ParseIPv4(b)
		if err != nil {
			return
		}
		again, err := bridgetest.ParseIPv4(p.Append(nil))
		require.NoError(t, err)
		assert.Equal(t, p, again)
	})
}

func FuzzEcho(f *testing.F) {
	f.Add(bridgetest.Echo{Reply: true, ID: 1, Seq: 2, Data: []byte("abc")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := bridgetest.ParseEcho(b)
		if err != nil {
			return
		}
		again, err := bridgetest.ParseEcho(e.Append(nil))
		require.NoError(t, err)
		assert.Equal(t, e, again)
	})
}

// Whatever a station sends, the others can talk to each other afterwards, and no
// frame is lost without a reason.
func FuzzHostileStation(f *testing.F) {
	f.Add([]byte{})
	f.Add(bridgetest.NewFrame(frame.Broadcast, mac1, frame.TypeARP, // says that h1 is somewhere else
		bridgetest.ARP{Op: 2, SenderMAC: mac2, SenderIP: ip1, TargetIP: ip2}.Append(nil)).Data)
	f.Add(bridgetest.NewFrame(mac2, mac1, frame.TypeIPv4, bridgetest.IPv4{Protocol: 1, Src: ip1, Dst: ip2,
		Payload: bridgetest.Echo{}.Append(nil)}.Append(nil)).Data)
	f.Add(bridgetest.NewFrame(mac2, mac1, frame.TypeDot1Q, []byte{0, 1, 8, 6}).Data)
	f.Fuzz(func(t *testing.T, b []byte) {
		lab := bridgetest.NewLab(t, bridgetest.Star("h1", "h2", "h3"))
		h1, h2 := lab.Host("h1"), lab.Host("h2")
		require.NoError(t, lab.Host("h3").Send(frame.Frame{Data: b}))
		lab.Run(time.Millisecond)
		h1.FlushARP()
		h2.FlushARP()
		_, err := h1.Ping(h2.IP())
		require.NoError(t, err)
	})
}

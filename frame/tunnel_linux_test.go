package frame_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// A kernelTunnel is a tunnel device of the kernel.
type kernelTunnel struct {
	name string
	args string // of "ip link add t0"
}

var kernelTunnels = []kernelTunnel{
	{"VXLAN", "type vxlan id 7 dstport 4789 remote 10.9.0.2 local 10.9.0.1 dev v0 noudpcsum"},
	{"VXLAN with checksum", "type vxlan id 7 dstport 4789 remote 10.9.0.2 local 10.9.0.1 dev v0 udpcsum df set"},
	{"VXLAN over IPv6", "type vxlan id 7 dstport 4789 remote fd09::2 local fd09::1 dev v0"},
	{"VXLAN over IPv6 without checksum", "type vxlan id 7 dstport 4789 remote fd09::2 local fd09::1 dev v0 udp6zerocsumtx"},
	{"Geneve", "type geneve id 7 remote 10.9.0.2 udpcsum"},
	{"GRE of Ethernet", "type gretap remote 10.9.0.2 local 10.9.0.1 dev v0"},
	{"GRE of Ethernet over IPv6, with a key", "type ip6gretap remote fd09::2 local fd09::1 dev v0 key 7"},
}

// peer is the other end of the tunnels, which is not there.
var peer = frame.MAC{2, 0, 0, 0, 0, 0x99}

// A tunnelWire is a tunnel device t0 of the kernel over the veth device v0. What
// comes out at that one's other end, v1, the kernel's own bridge carries to w0, whose
// other end, w1, shows what it has become: v0 does tunnels and checksums in hardware,
// w0 nothing.
type tunnelWire struct {
	above   wire // in sends through t0; out shows what v0 sends
	below   wire // in sends through v0; out shows what w0 sends
	missing string
}

func newTunnelWire(t *testing.T, kt kernelTunnel) *tunnelWire {
	w := &tunnelWire{}
	for _, side := range []*wire{&w.above, &w.below} {
		*side = wire{t: t, in: -1, out: -1, buf: make([]byte, 1<<17), oob: make([]byte, 256)}
		t.Cleanup(func() {
			unix.Close(side.in)
			unix.Close(side.out)
		})
	}
	inNewNetns(t, func() (err error) {
		if err := w.makeDevices(kt); err != nil || w.missing != "" {
			return err
		}
		if w.above.in, err = packetSocket("t0", unix.PACKET_VNET_HDR); err != nil {
			return err
		}
		if w.below.in, err = packetSocket("v0", unix.PACKET_VNET_HDR); err != nil {
			return err
		}
		for name, out := range map[string]*int{"v1": &w.above.out, "w1": &w.below.out} {
			if *out, err = packetSocket(name, unix.PACKET_VNET_HDR, unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING); err != nil {
				return err
			}
			if err := unix.SetsockoptInt(*out, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
				return err
			}
		}
		for _, cmd := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO} {
			if err := ethtool(w.below.in, "w0", cmd, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if w.missing != "" {
		return w
	}
	w.below.awaitLink()
	patience := unix.Timeval{Sec: 60}
	require.NoError(t, unix.SetsockoptTimeval(w.above.out, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience))
	return w
}

// makeDevices makes them. What the kernel does not know at all is missing.
func (w *tunnelWire) makeDevices(kt kernelTunnel) error {
	commands := []string{
		"link add v0 mtu 9000 type veth peer name v1 mtu 9000",
		"link add w0 mtu 9000 type veth peer name w1 mtu 9000",
		"link add br0 mtu 9000 type bridge mcast_snooping 0",
		"link set v1 master br0",
		"link set w0 master br0",
	}
	for _, name := range []string{"br0", "v0", "v1", "w0", "w1"} {
		commands = append(commands, "link set "+name+" up")
	}
	commands = append(commands, "addr add 10.9.0.1/24 dev v0", fmt.Sprintf("neigh add 10.9.0.2 lladdr %v dev v0", peer))
	if err := w.ip(commands...); err != nil {
		return err
	}
	if strings.Contains(kt.args, "fd09::") {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/v0/disable_ipv6", []byte("0"), 0)
		if errors.Is(err, os.ErrNotExist) {
			w.missing = "IPv6"
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.ip("addr add fd09::1/64 dev v0 nodad", fmt.Sprintf("neigh add fd09::2 lladdr %v dev v0", peer)); err != nil {
			return err
		}
	}
	return w.ip("link add t0 mtu 8000 "+kt.args, "link set t0 up")
}

// ip runs ip(8) until something is missing.
func (w *tunnelWire) ip(commands ...string) error {
	for _, c := range commands {
		text, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput()
		switch {
		case err != nil && strings.Contains(string(text), "Unknown device type"):
			w.missing = fmt.Sprintf("ip %s: %s", c, text)
			return nil
		case err != nil:
			return fmt.Errorf("ip %s: %w: %s", c, err, text)
		}
	}
	return nil
}

// next is the next frame that goes to the peer: the devices send some of their own.
func next(w *wire) frame.Frame {
	w.t.Helper()
	for {
		if f := w.receive(); f.Dst() == peer {
			return f
		}
	}
}

// The kernel cuts what a tunnel device sends into the same segments, byte for byte.
// It takes those whose inner checksum is owed still, and finishes them as we do.
func TestTunnelledAsByKernel(t *testing.T) {
	cut := 0
	for i, kt := range kernelTunnels {
		t.Run(kt.name, func(t *testing.T) {
			w := newTunnelWire(t, kt)
			if w.missing != "" {
				t.Log("not held against the kernel, which lacks it: ", w.missing)
				return
			}
			rnd := rand.New(rand.NewPCG(61, uint64(i)))
			for _, sh := range tunnels[0].inside() {
				for _, tg := range []tagging{taggings[0], taggings[5]} {
					for _, flags := range []byte{0, fin | psh, cwr | ece | psh} {
						for _, n := range []int{1, 1400, 1401, 2800, 30000 + rnd.IntN(30000)} {
							p := sh.packet
							p.tags, p.payload, p.flags = tg, random(rnd, n), flags
							p.id, p.seq = 0xffff-uint16(rnd.IntN(5)), rnd.Uint32()
							size := 1400
							if n <= 1400 {
								size = 0
							}
							cut += w.compare(p.build(size))
						}
					}
				}
			}
		})
	}
	if !t.Failed() && !t.Skipped() {
		require.NotZero(t, cut, "the kernel gave nothing to cut in a tunnel")
	}
}

// compare sends f through the tunnel, and holds what the kernel makes of that against
// what AppendFinished makes. It says whether there was a frame to be cut.
func (w *tunnelWire) compare(sent frame.Frame) (cut int) {
	t := w.above.t
	t.Helper()
	require.NoError(t, w.above.send(&sent))
	whole := next(&w.above)
	require.False(t, whole.Owed.None())
	require.NoError(t, whole.CheckOwed(), "%+v", whole.Owed)
	require.Equal(t, sent.Owed.GSO(), whole.Owed.GSO())
	if whole.Owed.GSO() {
		require.True(t, whole.Tunnelled())
		cut = 1
	}
	ours, _ := whole.AppendFinished(nil, nil, frame.Form{})
	for i := range ours {
		w.receiveEqual(&ours[i], "frame %d of %d, %+v", i, len(ours), whole.Owed)
	}
	owing, _ := whole.AppendFinished(nil, nil, frame.Form{Checksum: true})
	require.Len(t, owing, len(ours))
	for i := range owing {
		require.NoError(t, w.below.send(&owing[i]))
		next(&w.above)
		w.receiveEqual(&ours[i], "frame %d of %d, whose checksum was owed", i, len(ours))
	}
	return cut
}

// receiveEqual holds what comes out below against a frame.
func (w *tunnelWire) receiveEqual(want *frame.Frame, format string, args ...any) {
	t := w.below.t
	t.Helper()
	got := next(&w.below)
	require.True(t, got.Owed.None(), "the kernel leaves a debt: %+v", got.Owed)
	if string(got.Data) == string(want.Data) {
		return
	}
	at := 0
	for at < min(len(got.Data), len(want.Data)) && got.Data[at] == want.Data[at] {
		at++
	}
	t.Fatalf("%s: the kernel's has %d bytes, ours %d, different from byte %d on\nkernel: % x\nours:   % x", fmt.Sprintf(format, args...),
		len(got.Data), len(want.Data), at, got.Data[:min(len(got.Data), 150)], want.Data[:min(len(want.Data), 150)])
}

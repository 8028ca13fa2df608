package xdp_test

import (
	"errors"
	"net"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/xdp"
)

// An interface that has several queues has a FrameIO for each: every frame comes by one
// of them, and by none twice.
func TestQueues(t *testing.T) {
	netnstest.Needs(t, "ethtool")
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			ns := netnstest.New(t, false)
			ip(t, ns, "link", "add", "v0", "numrxqueues", "3", "numtxqueues", "3", "type", "veth",
				"peer", "name", "v1", "numrxqueues", "3", "numtxqueues", "3")
			for _, v := range []string{"v0", "v1"} {
				_, err := ns.Run("ethtool", "-L", v, "rx", "3", "tx", "3")
				require.NoError(t, err)
				ip(t, ns, "link", "set", v, "up")
			}
			awaitUp(t, ns, "v0")
			awaitUp(t, ns, "v1")
			g := open(t, xdp.Config{Ring: 64, Ports: []xdp.PortConfig{
				{Name: "v0", Netns: ns.Path(), Generic: generic}, {Name: "v1", Netns: ns.Path(), Generic: generic},
			}})
			a, b := g.Ports()[0], g.Ports()[1]
			require.Len(t, a.Queues(), 2)
			require.Len(t, b.Queues(), 2)
			from := append([]bridge.FrameIO{a}, a.Queues()...)
			came := make(chan int, 100)
			for _, q := range append([]bridge.FrameIO{b}, b.Queues()...) {
				go func() { // ends with Close
					fs := make([]frame.Frame, 8)
					for {
						n, err := q.ReadFrames(fs)
						if err != nil {
							return
						}
						for i := range fs[:n] {
							if number := numberOf(fs[i].Data); number >= 0 {
								came <- number
							}
						}
					}
				}()
			}
			seen := make(map[int]int)
			for i := range 60 {
				send(t, from[i%3], frame.Frame{Data: wire(i, 100)})
				seen[<-came]++
			}
			assert.Len(t, seen, 60)
			require.NoError(t, from[1].Close())
			require.NoError(t, g.Close())
			require.NoError(t, from[1].Close())
		})
	}
}

// Tags stand in the data, of either TPID, one or two; and a bridge that filters VLANs
// puts them in and takes them out.
func TestVLANs(t *testing.T) {
	netnstest.Needs(t)
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			s := newStar(t, 2, 64, generic)
			q, ad := frame.Tag{TPID: frame.TypeDot1Q, TCI: 0xa00a}, frame.Tag{TPID: frame.TypeDot1AD, TCI: 20}
			for _, tags := range [][]frame.Tag{{q}, {ad}, {ad, q}, {q, q}} {
				f := frame.Frame{Data: wire(5, 100)}
				for i := len(tags) - 1; i >= 0; i-- {
					f.Tag = tags[i]
					f = frame.Frame{Data: f.AppendWire(nil)}
				}
				send(t, s.peers[0], f)
				fs := make([]frame.Frame, 1)
				for fs[0].Data == nil || fs[0].Src() != f.Src() {
					_, err := s.ports[0].ReadFrames(fs)
					require.NoError(t, err)
				}
				require.Equal(t, f.Data, fs[0].Data)
				require.True(t, fs[0].Plain())
				back := fs[0]
				require.True(t, back.Lift())
				require.Equal(t, tags[0], back.Tag)
				send(t, s.ports[1], back)
				for fs[0] = (frame.Frame{}); fs[0].Data == nil || fs[0].Src() != f.Src(); {
					_, err := s.peers[1].ReadFrames(fs)
					require.NoError(t, err)
				}
				require.Equal(t, f.Data, fs[0].AppendWire(nil))
			}

			br, err := bridge.New(bridge.Config{VLANFiltering: true})
			require.NoError(t, err)
			for i, vlans := range [][]bridge.VLAN{bridge.Access(10), bridge.Trunk(0, 10)} {
				_, err := br.AddPort(s.ports[i].Name(), s.ports[i], bridge.PortConfig{Caps: s.ports[i].Caps(), VLANs: vlans})
				require.NoError(t, err)
			}
			serve(t, br)
			send(t, s.peers[0], frame.Frame{Data: wire(6, 100)})
			f := next(t, s.peers[1])
			assert.Equal(t, frame.VID(10), f.Tag.VID())
			assert.Equal(t, wire(6, 100), f.Data)
			send(t, s.peers[1], frame.Frame{Data: wire(7, 100), Tag: frame.Tag{TPID: frame.TypeDot1Q, TCI: 10}})
			f = next(t, s.peers[0])
			assert.False(t, f.Tag.Present())
			assert.Equal(t, wire(7, 100), f.Data)
		})
	}
}

// A tag that the sender's kernel leaves beside the frame, as that of a VLAN device, does
// not arrive, and nothing tells of it: what the package's doc says.
func TestTagBesideFrameIsLost(t *testing.T) {
	netnstest.Needs(t)
	for name, generic := range modes {
		t.Run(name, func(t *testing.T) {
			s := newStar(t, 1, 64, generic)
			prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
				Type: ebpf.SchedCLS, License: "Apache-2.0",
				Instructions: asm.Instructions{
					asm.Mov.Imm(asm.R2, 0x0081), // 802.1Q, as it stands in a frame
					asm.Mov.Imm(asm.R3, 10),
					asm.FnSkbVlanPush.Call(),
					asm.Mov.Imm(asm.R0, -1), // TCX_NEXT
					asm.Return(),
				},
			})
			require.NoError(t, err)
			defer prog.Close()
			var hook link.Link
			err = s.hub.Do(func() error {
				ifi, err := net.InterfaceByName("e0")
				if err != nil {
					return err
				}
				hook, err = link.AttachTCX(link.TCXOptions{Interface: ifi.Index, Program: prog, Attach: ebpf.AttachTCXEgress})
				return err
			})
			if errors.Is(err, ebpf.ErrNotSupported) {
				t.Skip("needs tcx, to put tags beside frames: ", err)
			}
			require.NoError(t, err)
			defer hook.Close()
			require.NoError(t, s.group.Close())
			raw, err := bridge.OpenRaw(bridge.RawConfig{Name: "p0", Netns: s.hub.Path()})
			require.NoError(t, err)
			send(t, s.peers[0], frame.Frame{Data: wire(8, 100)})
			assert.Equal(t, frame.VID(10), next(t, raw).Tag.VID(), "who is told what is beside the frame gets it")
			require.NoError(t, raw.Close())

			g := open(t, xdp.Config{Ports: []xdp.PortConfig{{Name: "p0", Netns: s.hub.Path(), Generic: generic}}})
			send(t, s.peers[0], frame.Frame{Data: wire(9, 100)})
			f := next(t, g.Ports()[0])
			assert.Equal(t, wire(9, 100), f.Data)
			assert.True(t, f.Plain())
		})
	}
}

package stp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// A bridge between two others whose way to the root becomes a worse one may not agree to
// that before the bridge behind it has: what was agreed to was the better one, and by
// now the worse one may come from below. It is so whichever port runs first.
func TestRapidAgreesAnew(t *testing.T) {
	above := BridgeID{0x8000, frame.MACFromUint64(0x020000000002)}
	me := BridgeID{0x8000, frame.MACFromUint64(0x020000000005)}
	below := BridgeID{0x8000, frame.MACFromUint64(0x020000000009)}
	root := BridgeID{0x1000, frame.MACFromUint64(0x020000000001)}
	rst := func(f Flags, cost uint32, from BridgeID) *BPDU {
		return &BPDU{
			Version: 2, Type: RST, Flags: f, Root: root, Cost: cost, Bridge: from, Port: 0x8001,
			MessageAge: 256, MaxAge: 20 * 256, HelloTime: 2 * 256, ForwardDelay: 15 * 256,
		}
	}
	for _, up := range []uint16{1, 2} {
		t.Run(fmt.Sprint("root port ", up), func(t *testing.T) {
			down := 3 - up
			sent, state := map[uint16][]BPDU{}, map[uint16]State{}
			m := NewRapid(RapidConfig{
				Send:  func(port uint16, b *BPDU) { sent[port] = append(sent[port], *b) },
				State: func(port uint16, s State) { state[port] = s },
			}, me)
			for num := range uint16(2) {
				m.AddPort(0, num+1, RapidPort{ID: testPortID(num + 1)})
				m.SetLink(0, num+1, Link{Up: true, PointToPoint: true, Cost: 20_000})
			}
			agreed := func() bool {
				for _, b := range sent[up] {
					if b.Flags&Agreement != 0 {
						return true
					}
				}
				return false
			}
			m.Handle(0, up, rst(RoleDesignated|Proposal, 1000, above))
			require.True(t, agreed())
			m.Handle(0, down, rst(RoleRoot|Agreement|LearningFlag|ForwardingFlag, 41_000, below))
			require.Equal(t, Forwarding, state[up])
			require.Equal(t, Forwarding, state[down])
			m.Tick(time.Second)

			clear(sent)
			m.Handle(time.Second, up, rst(RoleDesignated|LearningFlag|ForwardingFlag, 500_000, above))
			require.NotEmpty(t, sent[down])
			assert.Equal(t, uint32(520_000), sent[down][0].Cost)
			assert.False(t, agreed(), "before the bridge below agreed")
			assert.Equal(t, Forwarding, state[down], "nobody asked: what forwards goes on to")

			m.Handle(time.Second, down, rst(RoleRoot|Agreement|LearningFlag|ForwardingFlag, 540_000, below))
			assert.True(t, agreed(), "once it has")
		})
	}
}

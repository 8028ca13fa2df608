package bridge_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/stp"
)

// rapidStep makes one change or lets a BPDU in, at random.
func rapidStep(l *lab, r *rand.Rand) {
	n := 1 + r.IntN(4)
	p := l.p(n)
	switch op := r.IntN(14); {
	case op == 0 && p != nil:
		require.NoError(l.t, l.b.RemovePort(p))
		delete(l.ports, portName(n))
	case p == nil:
		l.add(n, bridge.PortConfig{Down: coin(r, 4), Attrs: bridge.PortAttrs{AdminEdge: new(coin(r, 3))}})
	case op == 1:
		require.NoError(l.t, p.SetLink(!coin(r, 4), !coin(r, 3)))
	case op == 2:
		require.NoError(l.t, l.b.SetUp(!coin(r, 3)))
	case op == 3:
		require.NoError(l.t, p.Set(bridge.PortAttrs{
			Guard: new(coin(r, 4)), RootBlock: new(coin(r, 4)), LoopGuard: new(coin(r, 3)), BPDUFilter: new(coin(r, 5)),
			AutoEdge: new(coin(r, 2)), PathCost: new(r.Uint32N(4) * 100_000), Priority: new(r.IntN(64)),
		}))
	case op == 4:
		require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{Priority: new(uint16(r.IntN(4) << 12)), HelloTime: new(time.Duration(1+r.IntN(3)) * time.Second)}))
	case op == 5:
		on := r.IntN(4)
		require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{STPState: &on}))
	case op == 6:
		require.NoError(l.t, l.b.SetAddress(mac(0x90+r.IntN(3))))
	case op < 9:
		l.wait(1 + r.IntN(5))
	default:
		b := rst(uint16(r.IntN(5)<<12), stp.Flags(r.IntN(128)))
		b.Cost, b.Port = r.Uint32N(3), stp.PortID(0x8000|r.IntN(4))
		if coin(r, 5) {
			b.Version, b.Type = 0, stp.Config
		}
		_ = p.Receive(bpdu(n, b)) // a port that is down takes none
	}
}

// Whatever is asked for and comes in, the ports of the bridge are in the states that
// RSTP says, and frames go where those let them.
func TestRSTPStates(t *testing.T) {
	for seed := range uint64(120) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			l := rapidLab(t, 2)
			for range 120 {
				rapidStep(l, r)
				_, on := l.b.RSTP()
				require.Equal(t, l.b.Info().STPState == 2, on)
				for name, p := range l.ports {
					i := p.Info()
					s, ok := p.RSTP()
					require.Equal(t, on, ok)
					running := i.Up && i.Carrier && l.b.Info().Up
					switch {
					case on:
						require.Equal(t, s.State, i.State, name)
						require.Equal(t, i.State == bridge.StateDisabled, !running || s.BPDUGuardError, name)
					case running:
						require.Equal(t, bridge.StateForwarding, i.State, name)
					default:
						require.Equal(t, bridge.StateDisabled, i.State, name)
					}
				}
			}
			balanced(t, l.b)
		})
	}
}

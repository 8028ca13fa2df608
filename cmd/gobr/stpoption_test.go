package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/stp"
)

func TestTreeOptions(t *testing.T) {
	c := parse(t, "--tap a").cfg
	assert.Zero(t, c.STPState)
	assert.Nil(t, c.Priority)
	c = parse(t, "--tap a --stp stp --priority 0x1000 --hello-time 1 --max-age 6 --forward-delay 2 --port a=cost=7,priority=3,guard,root_block").cfg
	assert.Equal(t, 1, c.STPState)
	assert.Equal(t, bridge.STPModeKernel, c.STPMode)
	assert.Equal(t, uint16(0x1000), *c.Priority)
	assert.Equal(t, []time.Duration{time.Second, 6 * time.Second, 2 * time.Second}, []time.Duration{*c.HelloTime, *c.MaxAge, *c.ForwardDelay})

	b, err := bridge.New(c)
	require.NoError(t, err)
	defer b.Close()
	assert.Equal(t, 2*time.Second, b.Info().ForwardDelay)
	assert.Equal(t, uint16(0x1000), b.Info().BridgeID.Priority)
	assert.Equal(t, 1, b.Info().STPState)

	o := parse(t, "--tap a --stp rstp --tx-hold-count 3 --port a=path_cost=200000000,edge,auto_edge=off,point_to_point=no,loop_guard")
	assert.Equal(t, bridge.STPModeRapid, o.cfg.STPMode)
	assert.Equal(t, 3, *o.cfg.Attrs.TxHoldCount)
	assert.Equal(t, bridge.PortAttrs{
		PathCost: new(uint32(200_000_000)), AdminEdge: new(true), AutoEdge: new(false), PointToPoint: new(stp.PointToPointNo), LoopGuard: new(true),
	}, o.ports[0].attrs)
	rapid, err := bridge.New(o.cfg)
	require.NoError(t, err)
	defer rapid.Close()
	assert.Equal(t, bridge.STPModeRapid, rapid.Info().STPMode)
	_, ok := rapid.RSTP()
	assert.True(t, ok)
}

// The report tells of the tree while there is one.
func TestReportTree(t *testing.T) {
	for kind, columns := range map[string]string{"off": "", "stp": "- +listening +7", "rstp": "designated +blocking +9"} {
		o := parse(t, "--tap p1 --stp "+kind)
		b, err := bridge.New(o.cfg)
		require.NoError(t, err)
		defer b.Close()
		end, _ := bridge.NewPipe(bridge.PipeConfig{})
		_, err = b.AddPort("p1", end, bridge.PortConfig{Cost: 7, Attrs: bridge.PortAttrs{PathCost: new(uint32(9))}})
		require.NoError(t, err)
		var out strings.Builder
		require.NoError(t, (&session{b: b}).reportTree(&out))
		if kind == "off" {
			assert.Empty(t, out.String())
			continue
		}
		id := b.Info().BridgeID.String()
		assert.Contains(t, out.String(), "bridge "+id+", root "+id+", which is this bridge\n")
		assert.Regexp(t, `(?m)^p1 +1 +8001 +`+columns+` +`+id+` +8001 +0$`, out.String())
	}
}

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
)

func TestTreeOptions(t *testing.T) {
	c := parse(t, "--tap a").cfg
	assert.Zero(t, c.STPState)
	assert.Nil(t, c.Priority)
	c = parse(t, "--tap a --stp stp --priority 0x1000 --hello-time 1 --max-age 6 --forward-delay 2 --port a=cost=7,priority=3,guard,root_block").cfg
	assert.Equal(t, 1, c.STPState)
	assert.Equal(t, uint16(0x1000), *c.Priority)
	assert.Equal(t, []time.Duration{time.Second, 6 * time.Second, 2 * time.Second}, []time.Duration{*c.HelloTime, *c.MaxAge, *c.ForwardDelay})

	b, err := bridge.New(c)
	require.NoError(t, err)
	defer b.Close()
	assert.Equal(t, 2*time.Second, b.Info().ForwardDelay)
	assert.Equal(t, uint16(0x1000), b.Info().BridgeID.Priority)
}

// The report tells of the tree while there is one.
func TestReportTree(t *testing.T) {
	for _, kind := range []string{"off", "stp"} {
		o := parse(t, "--tap p1 --stp "+kind)
		b, err := bridge.New(o.cfg)
		require.NoError(t, err)
		defer b.Close()
		end, _ := bridge.NewPipe(bridge.PipeConfig{})
		_, err = b.AddPort("p1", end, bridge.PortConfig{Cost: 7})
		require.NoError(t, err)
		var out strings.Builder
		require.NoError(t, (&session{b: b}).reportTree(&out))
		if kind == "off" {
			assert.Empty(t, out.String())
			continue
		}
		id := b.Info().BridgeID.String()
		assert.Contains(t, out.String(), "bridge "+id+", root "+id+", which is this bridge\n")
		assert.Regexp(t, `(?m)^p1 +1 +8001 +listening +7 +`+id+` +8001 +0$`, out.String())
	}
}

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A ring of eight heals without waiting for a forward delay with RSTP, whether the ends
// of the cable see the fault or only hear nothing more (three hello times), and frames
// flow again as soon. With 802.1D it waits for two of them, and first for a maximum age
// if nobody sees the fault.
func TestRingOfEightHeals(t *testing.T) {
	r := row{kind: "ring", size: 8}
	const forwardDelay, maxAge, hello = 15 * time.Second, 20 * time.Second, 2 * time.Second
	for seed := range uint64(2) {
		times, err := r.one(protocols["rstp"], seed)
		require.NoError(t, err)
		require.Len(t, times, len(columns))
		at := map[string]time.Duration{}
		for i, name := range columns {
			at[name] = times[i]
		}
		assert.Less(t, at["cable cut"], 10*time.Millisecond)
		assert.Less(t, times[2], 200*time.Millisecond, "traffic")
		assert.Less(t, at["cable silent"], 3*hello+time.Second)
		assert.Less(t, times[5], 3*hello+time.Second, "traffic")
		assert.Less(t, at["root back"], forwardDelay)

		times, err = r.one(protocols["stp"], seed)
		require.NoError(t, err)
		assert.Greater(t, times[0], 2*forwardDelay-time.Second, "power on")
		assert.Greater(t, times[1], 2*forwardDelay-time.Second, "cable cut")
		assert.Less(t, times[4], maxAge+2*forwardDelay+5*time.Second, "cable silent")
		assert.Greater(t, times[4], maxAge-2*hello+2*forwardDelay-time.Second, "cable silent")
	}
}

func TestTable(t *testing.T) {
	all := rows
	t.Cleanup(func() { rows = all })
	rows = []row{{"ring of 3", "ring", 3, false}, {"line of 8", "line", 8, true}}
	var out, errs bytes.Buffer
	assert.Equal(t, 0, run([]string{"-table", "-n", "2", "-protocol", "rstp"}, &out, &errs), &errs)
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	require.Len(t, lines, 5)
	assert.Contains(t, string(lines[2]), "cable silent")
	assert.Regexp(t, `^ring of 3 +\d+\.\d+ / \d+\.\d+ `, string(lines[3]))
	assert.Regexp(t, `^line of 8 +\d+\.\d+ / \d+\.\d+ +- +- +- +- +- +- `, string(lines[4]), "nothing to heal by")
}

func TestCell(t *testing.T) {
	assert.Equal(t, "-", cell{-1}.String())
	assert.Equal(t, "0.0 / 0.0", cell{0}.String())
	assert.Equal(t, "0.002 / 31.0", cell{31 * time.Second, -1, 2 * time.Millisecond, 0}.String())
	assert.Equal(t, "0.00013 / 0.00013", cell{20 * time.Microsecond, 130 * time.Microsecond}.String())
}

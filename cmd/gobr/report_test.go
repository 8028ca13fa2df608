package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// pipeBridge is a bridge of two ports whose peers nobody reads, at a time that
// stands still.
func pipeBridge(t *testing.T) *bridge.Bridge {
	t.Helper()
	var now time.Time
	b, err := bridge.New(bridge.Config{
		Address: frame.MustParseMAC("02:00:00:00:00:b0"), Clock: func() time.Time { return now }, Seed: 1,
	})
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	for i, name := range []string{"tap0", "tap1"} {
		end, _ := bridge.NewPipe(bridge.PipeConfig{QueueLen: 2})
		_, err := b.AddPort(name, end, bridge.PortConfig{
			Address: frame.MAC{2, 0, 0, 0, 0, 0xa0 + byte(i)}, Lost: func() uint64 { return 7 * uint64(i) },
		})
		require.NoError(t, err)
	}
	return b
}

// accounts gives the accounts of a bridge that no command line made.
func accounts(b *bridge.Bridge) []account {
	s := session{b: b}
	for _, p := range b.Ports() {
		s.ports = append(s.ports, &port{name: p.Name(), joined: p})
	}
	return s.accounts()
}

// wire is a shortest frame from one station to another.
func wire(dst, src string) frame.Frame {
	a, b := frame.MustParseMAC(dst), frame.MustParseMAC(src)
	data := make([]byte, 60)
	copy(data, a[:])
	copy(data[6:], b[:])
	data[12], data[13] = 0x88, 0xb5
	return frame.Frame{Data: data}
}

func TestReport(t *testing.T) {
	b := pipeBridge(t)
	tap0 := b.Port("tap0")
	for range 3 { // one more than the peer's queue holds
		require.NoError(t, tap0.Receive(wire("02:00:00:00:00:02", "02:00:00:00:00:01")))
	}
	require.NoError(t, tap0.Receive(wire("02:00:00:00:00:b0", "02:00:00:00:00:01"))) // nobody is the host
	require.NoError(t, tap0.Receive(wire("02:00:00:00:00:02", "00:00:00:00:00:00")))
	require.NoError(t, b.Port("tap1").Receive(wire("02:00:00:00:00:01", "02:00:00:00:00:02")))
	var text strings.Builder
	require.NoError(t, report(&text, accounts(b), b))
	assert.Equal(t, `
Frames
  device  received  used  passed  consumed  dropped  lost  |  offered  sent  refused
     br0         0     0       0         0        0     0  |        1     0        1
    tap0         5     4       0         0        1     0  |        1     1        0
    tap1         1     1       0         0        0     7  |        3     2        1

Reasons
br0   refused  1  nothing is attached as the host
tap0  dropped  1  source address is zero or a group address (MAC_INVALID_SOURCE)
tap1  refused  1  the cable's queue is full (FULL_RING)

Forwarding database
address            vlan  device      state      idle
02:00:00:00:00:01  -     tap0        dynamic    0s
02:00:00:00:00:02  -     tap1        dynamic    0s
02:00:00:00:00:a0  -     tap0        permanent  0s
02:00:00:00:00:a0  1     tap0        permanent  0s
02:00:00:00:00:a1  -     tap1        permanent  0s
02:00:00:00:00:a1  1     tap1        permanent  0s
02:00:00:00:00:b0  -     the bridge  permanent  0s
02:00:00:00:00:b0  1     the bridge  permanent  0s
`, text.String())
}

// Without drops there is no chapter of reasons.
func TestReportOfNothing(t *testing.T) {
	b := pipeBridge(t)
	var text strings.Builder
	require.NoError(t, report(&text, accounts(b), b))
	assert.NotContains(t, text.String(), "Reasons")
}

// A ledger that does not come out even is told.
func TestReportTellsAMissingFrame(t *testing.T) {
	var text strings.Builder
	printReasons(&text, []account{{"tap0", ledgers{bridge.IngressLedger{Received: 3, Used: 2}, bridge.EgressLedger{Offered: 1, Sent: 1}}}})
	assert.Equal(t, "\nReasons\ntap0  missing  1  neither counted as done nor as dropped: a fault of the bridge\n", text.String())
}

func TestReportTellsAWriteError(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	r.Close()
	w.Close()
	b := pipeBridge(t)
	err = report(w, accounts(b), b)
	assert.True(t, errors.Is(err, os.ErrClosed), err)
}

// What was counted before an interface was attached again is not forgotten.
func TestLedgersAdd(t *testing.T) {
	in := bridge.IngressLedger{Received: 10, Used: 4, Passed: 2, Consumed: 1, Lost: 8}
	in.Dropped[3] = 3
	out := bridge.EgressLedger{Offered: 5, Sent: 3}
	out.Refused[4] = 2
	var l ledgers
	l.add(in, out)
	assert.Equal(t, ledgers{in, out}, l)
	l.add(in, out)
	assert.Equal(t, []uint64{20, 8, 4, 2, 6, 16, 10, 6, 4},
		[]uint64{l.in.Received, l.in.Used, l.in.Passed, l.in.Consumed, l.in.Dropped[3], l.in.Lost, l.out.Offered, l.out.Sent, l.out.Refused[4]})
}

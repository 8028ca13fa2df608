//go:build linux

package main

import (
	"context"
	"math"
	"time"
)

// A workload is traffic between two stations, and what is measured of it.
type workload struct {
	name    string
	length  time.Duration // of a measurement
	plain   bool          // the sender finishes its frames itself
	start   func(ctx context.Context, r *rig) error
	metrics []metric // the first is the one that counts
}

// A metric is one figure of a measurement; NaN where it has none.
type metric struct {
	unit string
	of   func(m *measurement) float64
}

// A measurement is what happened between two moments.
type measurement struct {
	came    [2]counts     // at each station, the difference
	busy    time.Duration // all processors
	rig     time.Duration // the processes of stations and switch, of that
	process time.Duration // the switch's
	length  time.Duration // for which both were busy so
	trips   trips
}

// warmUp is how long the traffic runs before it counts.
const warmUp = 150 * time.Millisecond

// background is the load of rttload, in frames a second.
const background = 50_000

var workloads = []workload{
	{name: "tcp1", length: 500 * time.Millisecond, start: tcp(1), metrics: tcpMetrics},
	{name: "tcp4", length: 500 * time.Millisecond, start: tcp(4), metrics: tcpMetrics},
	{name: "tcp-nooffload", length: 500 * time.Millisecond, plain: true, start: tcp(1), metrics: tcpMetrics},
	{name: "pps", length: 400 * time.Millisecond, start: blast(0), metrics: frameMetrics},
	{name: "pps2", length: 400 * time.Millisecond, start: blast(0, 1), metrics: frameMetrics},
	{name: "rtt", length: 500 * time.Millisecond, start: ping, metrics: []metric{
		{"p50 us", func(m *measurement) float64 { return micro(m.trips, m.trips.P50) }},
		{"p99 us", func(m *measurement) float64 { return micro(m.trips, m.trips.P99) }},
	}},
	{name: "rttload", length: 1500 * time.Millisecond, start: pingUnderLoad, metrics: []metric{
		{"p99.9 us", func(m *measurement) float64 { return micro(m.trips, m.trips.P999) }},
		{"p50 us", func(m *measurement) float64 { return micro(m.trips, m.trips.P50) }},
		{"load kf/s", func(m *measurement) float64 {
			return m.framesPerSecond()/1e3 - rate(uint64(m.trips.N), m.came[1].At)/1e3
		}},
	}},
}

var tcpMetrics = []metric{
	{"Gbit/s", func(m *measurement) float64 { return m.bytesPerSecond() * 8 / 1e9 }},
	{"all ns/KB", func(m *measurement) float64 { return m.cpu(m.busy, m.bytesPerSecond()/1e3) }},
	{"rig ns/KB", func(m *measurement) float64 { return m.cpu(m.rig, m.bytesPerSecond()/1e3) }},
	{"switch ns/KB", func(m *measurement) float64 { return m.cpu(m.process, m.bytesPerSecond()/1e3) }},
}

var frameMetrics = []metric{
	{"kframes/s", func(m *measurement) float64 { return m.framesPerSecond() / 1e3 }},
	{"sent kf/s", func(m *measurement) float64 { return m.sentPerSecond() / 1e3 }},
	{"all ns/frame", func(m *measurement) float64 { return m.cpu(m.busy, m.framesPerSecond()) }},
	{"rig ns/frame", func(m *measurement) float64 { return m.cpu(m.rig, m.framesPerSecond()) }},
	{"switch ns/frame", func(m *measurement) float64 { return m.cpu(m.process, m.framesPerSecond()) }},
}

// tcp has the first station send to the second.
func tcp(streams int) func(ctx context.Context, r *rig) error {
	return func(ctx context.Context, r *rig) error {
		_, err := r.stations[0].ask(ctx, request{Op: "tcp", Address: addresses[1], Streams: streams})
		return err
	}
}

// blast has stations send frames, each to the other, as fast as they can.
func blast(from ...int) func(ctx context.Context, r *rig) error {
	return func(ctx context.Context, r *rig) error {
		for _, i := range from {
			if _, err := r.stations[i].ask(ctx, request{Op: "blast", MAC: r.macs[1-i]}); err != nil {
				return err
			}
		}
		return nil
	}
}

func ping(ctx context.Context, r *rig) error {
	_, err := r.stations[0].ask(ctx, request{Op: "ping", Address: addresses[1]})
	return err
}

// pingUnderLoad pings while frames cross in one direction.
func pingUnderLoad(ctx context.Context, r *rig) error {
	if _, err := r.stations[0].ask(ctx, request{Op: "blast", MAC: r.macs[1], Rate: background}); err != nil {
		return err
	}
	return ping(ctx, r)
}

// run has the traffic flow over a rig and measures it.
func (w *workload) run(ctx context.Context, r *rig, length time.Duration) (m *measurement, err error) {
	defer func() {
		for _, s := range r.stations { // also to make an end of what began in part
			if _, halted := s.ask(context.WithoutCancel(ctx), request{Op: "halt"}); err == nil {
				err = halted
			}
		}
	}()
	// In some workloads a station hardly speaks, and would be forgotten.
	if err := r.reach(ctx); err != nil {
		return nil, err
	}
	if err := w.start(ctx, r); err != nil {
		return nil, err
	}
	if err := sleep(ctx, warmUp); err != nil {
		return nil, err
	}
	return r.measure(ctx, length)
}

func (r *rig) measure(ctx context.Context, length time.Duration) (*measurement, error) {
	m := &measurement{}
	before, err := r.look(ctx, "mark")
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, length); err != nil {
		return nil, err
	}
	after, err := r.look(ctx, "count")
	if err != nil {
		return nil, err
	}
	m.length, m.busy = after.at-before.at, after.busy-before.busy
	m.rig, m.process = after.rig-before.rig, after.process-before.process
	m.trips = after.replies[0].Trips
	for i := range m.came {
		a, b := after.replies[i].Count, before.replies[i].Count
		m.came[i] = counts{a.At - b.At, a.Bytes - b.Bytes, a.Frames - b.Frames, a.Sent - b.Sent}
	}
	return m, nil
}

// A glance is what the counters say at one moment, nearly.
type glance struct {
	at, busy, rig, process time.Duration
	replies                [2]reply
}

func (r *rig) look(ctx context.Context, op string) (g glance, err error) {
	g.at, g.process = time.Duration(monotonic()), processBusy(r.pids)
	g.rig = processBusy(r.all)
	if g.busy, err = machineBusy(); err != nil {
		return g, err
	}
	for i := len(r.stations) - 1; i >= 0; i-- { // the receiver first
		if g.replies[i], err = r.stations[i].ask(ctx, request{Op: op}); err != nil {
			return g, err
		}
	}
	return g, nil
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// framesPerSecond and bytesPerSecond are what arrived, sentPerSecond what was sent. Each station counts and looks at
// the clock at the same time, so it does not matter when it was asked.
func (m *measurement) framesPerSecond() (sum float64) {
	for i, c := range m.came {
		if m.came[1-i].Sent > 0 { // else all that comes are answers
			sum += rate(c.Frames, c.At)
		}
	}
	return sum
}

func (m *measurement) sentPerSecond() (sum float64) {
	for _, c := range m.came {
		sum += rate(c.Sent, c.At)
	}
	return sum
}

func (m *measurement) bytesPerSecond() (sum float64) {
	for _, c := range m.came {
		sum += rate(c.Bytes, c.At)
	}
	return sum
}

func rate(n uint64, ns int64) float64 {
	if ns <= 0 {
		return 0
	}
	return float64(n) / time.Duration(ns).Seconds()
}

// cpu is the processor time that each of perSecond took, in ns.
func (m *measurement) cpu(busy time.Duration, perSecond float64) float64 {
	return float64(busy) / m.length.Seconds() / perSecond
}

func micro(t trips, ns int64) float64 {
	if t.N == 0 {
		return math.NaN()
	}
	return float64(ns) / 1e3
}

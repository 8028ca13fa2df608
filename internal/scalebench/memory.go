package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/workload"
)

// heap is how many bytes are in use, after a collection or as it is.
func heap(collect bool) uint64 {
	if collect {
		runtime.GC()
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// memory is what an address takes, at rest and while the table grows.
func memory(m *meter) (section, error) {
	out := section{
		title: "Memory of an address",
		text: "Bytes in use for each address once the table has come to rest, and the most that were in use on the way there from nothing, " +
			"what the collector had not come to yet included, divided by as many addresses; with Go's settings as they are, by which " +
			"a heap is not collected before it has 4 MB.",
		head: []string{"addresses", "at rest", "most while growing"},
	}
	c := chart{file: "memory.svg", title: "Memory of an address", x: "addresses", y: "bytes an address"}
	rest, most := line{name: "at rest"}, line{name: "most while growing"}
	for _, macs := range []int{1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 1 << 22} {
		a, b, err := m.grow(macs)
		if err != nil {
			return out, err
		}
		out.rows = append(out.rows, []string{fmt.Sprint(macs), fmt.Sprintf("%.1f", a), fmt.Sprintf("%.1f", b)})
		c.at, c.labels = append(c.at, float64(macs)), append(c.labels, short(macs))
		rest.y, most.y = append(rest.y, a), append(most.y, b)
	}
	c.lines = []line{rest, most}
	out.charts = []chart{c}
	return out, nil
}

// grow has macs addresses learned, and gives the bytes of each.
func (m *meter) grow(macs int) (rest, most float64, err error) {
	if m.pretend {
		return 0, 0, nil
	}
	n, err := workload.New(workload.Config{Ports: 2, Bridge: bridge.Config{VLANFiltering: true, FDBLimit: 2 * macs}})
	if err != nil {
		return 0, 0, err
	}
	in, fs := n.Ports[0].Input(), n.Strangers(0, workload.Batch)
	_ = in.Receive(fs) // the vectors take their size
	before := heap(true)
	top := before
	for at := workload.Batch; at < macs; {
		for next := at + max(workload.Batch, macs/1000); at < next; {
			for i := range fs {
				a := workload.Address(at)
				copy(fs[i].Data[6:], a[:])
				at++
			}
			_ = in.Receive(fs)
		}
		top = max(top, heap(false))
	}
	known := float64(n.Bridge.FDB().Learned())
	most = float64(top-before) / known
	n.Pass(time.Second)
	for range 100 { // the table comes to rest in parts
		n.Pass(10 * time.Millisecond)
	}
	rest = (float64(heap(true)) - float64(before)) / known
	runtime.KeepAlive(fs)
	return rest, max(most, rest), n.Bridge.Close()
}

// newAndAddPort is what a bridge and a port take.
func newAndAddPort(m *meter) (section, error) {
	out := section{
		title: "New and AddPort",
		text: "Bytes that a call allocates, in the mean of 100 bridges, and of as many ports as the bridge gets; usual is with VLAN " +
			"filtering, snooping, a querier and the spanning tree on.",
		head: []string{"bridge", "New", "AddPort, of 8", "of 64", "of 512"},
	}
	for _, x := range []struct {
		name string
		c    bridge.Config
	}{{"plain", bridge.Config{}}, {"usual", bridge.Config{VLANFiltering: true, McastSnooping: true, McastQuerier: true, STPState: 1}}} {
		row := []string{x.name}
		n, err := m.allocated(100, func(int) error {
			_, err := bridge.New(x.c)
			return err
		})
		if err != nil {
			return out, err
		}
		row = append(row, fmt.Sprintf("%.1f", n))
		for _, count := range []int{8, 64, 512} {
			b, err := bridge.New(x.c)
			if err != nil {
				return out, err
			}
			names, cables := make([]string, count), make([]workload.Sink, count)
			for i := range names {
				names[i] = fmt.Sprintf("p%d", i)
			}
			n, err := m.allocated(count, func(i int) error {
				_, err := b.AddPort(names[i], &cables[i], bridge.PortConfig{})
				return err
			})
			if err != nil {
				return out, err
			}
			row = append(row, fmt.Sprintf("%.1f", n))
		}
		out.rows = append(out.rows, row)
	}
	return out, nil
}

package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

var (
	h1 = frame.MustParseMAC("02:00:00:00:00:01")
	h2 = frame.MustParseMAC("02:00:00:00:00:02")
)

// check ends an example that cannot go on.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A bridge between two cables. What comes in by one leaves by the other; here the
// far ends are in this program, elsewhere they are TAPs.
func ExampleBridge() {
	b, err := bridge.New(bridge.Config{})
	check(err)
	far := map[string]*bridge.Pipe{}
	for _, name := range []string{"p1", "p2"} {
		near, end := bridge.NewPipe(bridge.PipeConfig{})
		far[name] = end
		_, err := b.AddPort(name, near, bridge.PortConfig{Caps: near.Caps()})
		check(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- b.Serve(ctx) }() // ends with stop, and is waited for below

	fs := []frame.Frame{bridgetest.NewFrame(h2, h1, 0x88b5, []byte("hello"))}
	_, err = far["p1"].WriteFrames(fs)
	check(err)
	_, err = far["p2"].ReadFrames(fs)
	check(err)
	fmt.Printf("%s from %s to %s\n", fs[0].Data[frame.HeaderLen:], fs[0].Src(), fs[0].Dst())

	e, _ := b.FDB().Lookup(h1, 0)
	fmt.Println(e.MAC, "is behind", e.Port)

	stop()
	fmt.Println(<-served)
	// Output:
	// hello from 02:00:00:00:00:01 to 02:00:00:00:00:02
	// 02:00:00:00:00:01 is behind p1
	// <nil>
}

// Without Serve nothing runs by itself: Receive carries frames, Tick the timers.
// With a clock of one's own five minutes are over at once.
func ExampleBridge_Tick() {
	now := time.Unix(0, 0)
	b, err := bridge.New(bridge.Config{Clock: func() time.Time { return now }})
	check(err)
	defer b.Close()
	near, _ := bridge.NewPipe(bridge.PipeConfig{})
	p1, err := b.AddPort("p1", near, bridge.PortConfig{})
	check(err)
	check(p1.Receive(bridgetest.NewFrame(h2, h1, 0x88b5, nil)))
	fmt.Println("learned:", b.FDB().Learned())
	for b.FDB().Learned() > 0 {
		now, _ = b.NextTimer()
		b.Tick(now)
	}
	fmt.Println("forgotten after", now.Sub(time.Unix(0, 0)))
	// Output:
	// learned: 1
	// forgotten after 5m0s
}

// Events tell what the bridge learns and loses.
func ExampleBridge_Watch() {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2"))
	check(err)
	defer lab.Close()
	stop := lab.Bridge().Watch(func(e bridge.Event) { fmt.Println(e) })
	_, err = lab.Host("h1").Ping(lab.Host("h2").IP())
	check(err)
	check(lab.Host("h1").Port().Receive(bridgetest.NewFrame(h1, h2, 0x88b5, nil))) // h2 was plugged in elsewhere
	stop()
	// Output:
	// fdb add p1 02:00:00:00:00:01
	// fdb add p2 02:00:00:00:00:02
	// fdb move p1 02:00:00:00:00:02
}

// The bridge says what it would do with a frame, and why, without doing it.
func ExamplePort_Explain() {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2", "h3"))
	check(err)
	defer lab.Close()
	h1, h2 := lab.Host("h1"), lab.Host("h2")
	f := bridgetest.NewFrame(h2.MAC(), h1.MAC(), 0x88b5, nil)
	fmt.Println(h1.Port().Explain(f))
	fmt.Println()

	_, err = h2.Ping(h1.IP()) // now both are known
	check(err)
	e := h1.Port().Explain(f)
	fmt.Println(e.Verdict, "and out of", len(e.Out), "port:", e.Out[0].Dev)
	// Output:
	// br_handle_frame dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:02
	// br_allowed_ingress dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:02 VLAN filtering is off
	// br_fdb_update dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:02 source learned
	// br_flood dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:02 unknown unicast
	// __br_forward to dev: p3 02:00:00:00:00:01 -> 02:00:00:00:00:02
	// __br_forward to dev: p2 02:00:00:00:00:01 -> 02:00:00:00:00:02
	// maybe_deliver to dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:02 passed over: it came in by this port
	// used: p3, p2
	//
	// used and out of 1 port: p2
}

// Every frame that came in is in exactly one column of the ledger.
func ExampleIngressLedger() {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2"))
	check(err)
	defer lab.Close()
	p1 := lab.Host("h1").Port()
	check(p1.Receive(
		bridgetest.NewFrame(h2, h1, 0x88b5, nil),
		bridgetest.NewFrame(h2, frame.Broadcast, 0x88b5, nil), // nobody can be everybody
		bridgetest.NewFrame(frame.MAC{0x01, 0x80, 0xc2, 0, 0, 0x0e}, h1, 0x88cc, nil),
	))
	l := p1.Stats().Ingress
	fmt.Println(l.Received, "=", l.Used, "+", l.Passed, "+", l.Consumed, "+", l.Dropped[bridge.DropInvalidSource])
	fmt.Println("missing:", l.Balance())
	fmt.Println("dropped:", bridge.DropInvalidSource)
	// Output:
	// 3 = 1 + 1 + 0 + 1
	// missing: 0
	// dropped: source address is zero or a group address
}

// h1 and h2 are in VLAN 10, h3 is in VLAN 20. Their frames have no tags.
func ExampleAccess() {
	c := bridgetest.Star("h1", "h2", "h3")
	c.Switches = []bridge.Config{{VLANFiltering: true}}
	for i, vid := range []frame.VID{10, 10, 20} {
		c.Hosts[i].Port.VLANs = bridge.Access(vid)
	}
	lab, err := bridgetest.New(c)
	check(err)
	defer lab.Close()
	for _, name := range []string{"h2", "h3"} {
		_, err := lab.Host("h1").Ping(lab.Host(name).IP())
		fmt.Println(name, "answers:", err == nil)
	}
	// Output:
	// h2 answers: true
	// h3 answers: false
}

// On a trunk the frames of several VLANs leave with their tags, those of its
// native VLAN without.
func ExampleTrunk() {
	c := bridgetest.Star("h1", "h2", "trunk")
	c.Switches = []bridge.Config{{VLANFiltering: true}}
	c.Hosts[0].Port.VLANs = bridge.Access(10)
	c.Hosts[1].Port.VLANs = bridge.Access(20)
	c.Hosts[2].Port.VLANs = bridge.Trunk(20, 10)
	lab, err := bridgetest.New(c)
	check(err)
	defer lab.Close()
	for _, name := range []string{"h1", "h2"} {
		h := lab.Host(name)
		check(h.Send(bridgetest.NewFrame(frame.Broadcast, h.MAC(), 0x88b5, []byte("hello"))))
	}
	lab.Run(time.Millisecond)
	for _, f := range lab.Host("trunk").Received() {
		f.Lift()
		fmt.Println(f.Src(), f.Tag)
	}
	// Output:
	// 02:00:00:00:00:01 802.1Q vid 10
	// 02:00:00:00:00:02 untagged
}

// An address can be put in the table by hand. Without a VID it is put in every
// VLAN of the port, and in VLAN 0, which counts while there is no VLAN filtering. A
// static entry does not age.
func ExampleFDB() {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2"))
	check(err)
	defer lab.Close()
	fdb := lab.Bridge().FDB()
	static := bridge.FDBRequest{ // bridge fdb add 02:00:00:00:00:99 dev p2 master static
		Port: lab.Host("h2").Port(), MAC: frame.MustParseMAC("02:00:00:00:00:99"),
		State: bridge.NUDNoARP | bridge.NUDReachable,
	}
	check(fdb.Update(static))
	fmt.Println("again:", errors.Is(fdb.Update(static), bridge.EEXIST))

	_, err = lab.Host("h1").Ping(lab.Host("h2").IP())
	check(err)
	fmt.Println("learned:", fdb.Learned())
	lab.Run(10 * time.Minute)
	fmt.Println("learned, after ten minutes:", fdb.Learned())
	for e := range fdb.All() {
		if e.State != bridge.NUDPermanent { // the addresses of the ports themselves
			fmt.Println(e.MAC, e.Port, "VLAN", e.VID)
		}
	}
	// Output:
	// again: true
	// learned: 2
	// learned, after ten minutes: 0
	// 02:00:00:00:00:99 p2 VLAN 0
	// 02:00:00:00:00:99 p2 VLAN 1
}

// Every step of a frame, as a tracer would print it for the kernel.
func ExampleTextTrace() {
	lab, err := bridgetest.New(bridgetest.Star("h1", "h2"))
	check(err)
	defer lab.Close()
	p1 := lab.Host("h1").Port()
	lab.Bridge().SetTrace(bridge.TextTrace(os.Stdout))
	check(p1.Receive(bridgetest.NewFrame(h1, h1, 0x88b5, nil))) // h1 sends to itself
	// Output:
	// br_handle_frame dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:01
	// br_allowed_ingress dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:01 VLAN filtering is off
	// br_fdb_update dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:01 source learned
	// br_forward to dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:01 known unicast
	// kfree_skb dev: p1 02:00:00:00:00:01 -> 02:00:00:00:00:01 dropped: it came in by this port
}

// A cable in memory. TryRead takes what is there and does not wait.
func ExamplePipe() {
	a, b := bridge.NewPipe(bridge.PipeConfig{QueueLen: 2})
	three := make([]frame.Frame, 3)
	for i := range three {
		three[i] = bridgetest.NewFrame(h2, h1, 0x88b5, []byte{byte('a' + i)})
	}
	n, err := a.WriteFrames(three)
	fmt.Println(n, err)

	got := make([]frame.Frame, 8)
	for _, f := range got[:b.TryRead(got)] {
		fmt.Printf("%s\n", f.Data[frame.HeaderLen:])
	}
	check(a.Close())
	_, err = a.ReadFrames(got)
	fmt.Println(errors.Is(err, net.ErrClosed))
	// Output:
	// 2 bridge: queue full
	// a
	// b
	// true
}

// printer is a cable whose far end is the terminal: a FrameIO needs no more.
type printer struct{ closed chan struct{} }

func (p printer) ReadFrames([]frame.Frame) (int, error) {
	<-p.closed
	return 0, net.ErrClosed
}

func (p printer) WriteFrames(fs []frame.Frame) (int, error) {
	for _, f := range fs {
		fmt.Printf("%s -> %s %q\n", f.Src(), f.Dst(), f.Data[frame.HeaderLen:])
	}
	return len(fs), nil
}

func (p printer) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

// A port on a cable of one's own.
func ExampleFrameIO() {
	lab, err := bridgetest.New(bridgetest.Star("h1"))
	check(err)
	defer lab.Close()
	_, err = lab.Bridge().AddPort("terminal", printer{make(chan struct{})}, bridge.PortConfig{})
	check(err)
	check(lab.Host("h1").Send(bridgetest.NewFrame(frame.Broadcast, h1, 0x88b5, []byte("hello"))))
	lab.Run(time.Millisecond)
	// Output:
	// 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff "hello"
}

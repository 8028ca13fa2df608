package bridgetest

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Trace prints to w what happens from now on: a line, with the time, for each
// frame that a host sends, receives, or ignores because it is not for it; and
// below it, indented, the steps that each switch takes with a frame, see
// bridge.Step. It replaces the Trace of every switch; nil ends it. A write error
// is not reported.
func (l *Lab) Trace(w io.Writer) {
	l.trace = w
	for _, b := range l.switches {
		if w == nil {
			b.SetTrace(nil)
		} else {
			b.SetTrace(l.step)
		}
	}
}

// step prints one step of a switch.
func (l *Lab) step(s bridge.Step) {
	if l.trace != nil {
		fmt.Fprintf(l.trace, "  %s\n", s)
	}
}

// say prints what a host does with a frame.
func (l *Lab) say(host, does string, f frame.Frame) {
	if l.trace != nil {
		fmt.Fprintf(l.trace, "%s %s %s %s\n", l.now, host, does, describe(f))
	}
}

// WriteTables prints the forwarding database and the counters of every switch.
func (l *Lab) WriteTables(w io.Writer) error {
	if err := l.WriteFDB(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return l.WriteCounters(w)
}

// WriteFDB prints the forwarding databases, with the names of the hosts that the
// addresses belong to.
func (l *Lab) WriteFDB(w io.Writer) error {
	return l.writeFDB(w, func(bridge.FDBEntry) bool { return true })
}

func (l *Lab) writeFDB(w io.Writer, shown func(bridge.FDBEntry) bool) error {
	var text strings.Builder
	for _, b := range l.switches {
		fmt.Fprintf(&text, "Forwarding database of %s\n", b.Name())
		t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "address\tof\tvlan\tport\tstate\tidle\n")
		for e := range b.FDB().All() {
			if !shown(e) {
				continue
			}
			vlan, port := "-", e.Port
			if e.VID != 0 {
				vlan = fmt.Sprint(e.VID)
			}
			if port == "" {
				port = "-"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", e.MAC, l.owner(e), vlan, port, e.State, idle(e))
		}
		_ = t.Flush() // to a Builder, which takes everything
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// owner says whose address an entry holds. Frames to a permanent one end at the
// switch itself.
func (l *Lab) owner(e bridge.FDBEntry) string {
	if e.State == bridge.NUDPermanent {
		return "the switch"
	}
	for _, h := range l.hosts {
		if h.MAC() == e.MAC {
			return h.name
		}
	}
	return "-"
}

// idle is for how long a learned address was not seen.
func idle(e bridge.FDBEntry) string {
	if e.State == bridge.NUDPermanent || e.State == bridge.NUDNoARP {
		return "-"
	}
	return e.Updated.Round(time.Millisecond).String()
}

// WriteMDB prints the multicast databases: who is in which group, and where routers
// are. Times are until that ends.
func (l *Lab) WriteMDB(w io.Writer) error {
	var text strings.Builder
	for _, b := range l.switches {
		fmt.Fprintf(&text, "Multicast groups of %s\n", b.Name())
		t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "group\tvlan\tport\tstate\tends in\n")
		for _, e := range b.MDB() {
			state, group := "temp", e.GroupMAC.String()
			if e.Group.IsValid() {
				group = e.Group.String()
			}
			if e.Source.IsValid() {
				group += " from " + e.Source.String()
			}
			if e.Permanent {
				state = "permanent"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", group, orDash(uint64(e.VID), e.VID),
				cmp.Or(e.Port, b.Name()), state, orDash(uint64(e.Timer), e.Timer.Round(time.Millisecond)))
		}
		for _, r := range b.RouterPorts(0) {
			fmt.Fprintf(t, "router\t-\t%s\t-\t%s\n", cmp.Or(r.Port, b.Name()),
				orDash(uint64(max(r.Timer4, r.Timer6)), max(r.Timer4, r.Timer6).Round(time.Millisecond)))
		}
		_ = t.Flush() // to a Builder, which takes everything
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// orDash is what a column shows: "-" if n is 0.
func orDash(n uint64, v any) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(v)
}

// WritePorts prints the ports of every switch with their states.
func (l *Lab) WritePorts(w io.Writer) error {
	var text strings.Builder
	for _, b := range l.switches {
		fmt.Fprintf(&text, "Ports of %s\n", b.Name())
		t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "port\tstate\tcost\tdesignated bridge\tdesignated port\n")
		for _, p := range b.Ports() {
			i := p.Info()
			fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%04x\n", i.Name, i.State, i.Cost, i.DesignatedBridge, i.DesignatedPort)
		}
		_ = t.Flush() // to a Builder, which takes everything
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// WriteCounters prints the two ledgers of every device of every switch, which
// account for each frame, and why frames ended.
func (l *Lab) WriteCounters(w io.Writer) error {
	var text, reasons strings.Builder
	for _, b := range l.switches {
		fmt.Fprintf(&text, "Frames of %s\n", b.Name())
		t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(t, "device\treceived\t= used\t+ passed\t+ consumed\t+ dropped\toffered\t= sent\t+ refused\t\n")
		host := b.Stats()
		writeLedgers(t, &reasons, b.Name(), host.Ingress, host.Egress)
		for _, p := range b.Ports() {
			s := p.Stats()
			writeLedgers(t, &reasons, p.Name(), s.Ingress, s.Egress)
		}
		_ = t.Flush() // to a Builder, which takes everything
		text.WriteString(reasons.String())
		reasons.Reset()
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// writeLedgers prints a device's line, and to reasons a line for each reason.
func writeLedgers(t io.Writer, reasons *strings.Builder, dev string, in bridge.IngressLedger, out bridge.EgressLedger) {
	why := func(what string, n [bridge.NumDropReasons]uint64) (sum uint64) {
		for r, n := range n {
			if sum += n; n != 0 {
				fmt.Fprintf(reasons, "%s %s %d: %s\n", dev, what, n, bridge.DropReason(r))
			}
		}
		return sum
	}
	dropped, refused := why("dropped", in.Dropped), why("refused", out.Refused)
	fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", dev,
		in.Received, in.Used, in.Passed, in.Consumed, dropped, out.Offered, out.Sent, refused)
}

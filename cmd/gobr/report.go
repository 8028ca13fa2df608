package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// ledgers is both ledgers of a device.
type ledgers struct {
	in  bridge.IngressLedger
	out bridge.EgressLedger
}

// add adds what another device counted.
func (l *ledgers) add(in bridge.IngressLedger, out bridge.EgressLedger) {
	l.in.Received += in.Received
	l.in.Used += in.Used
	l.in.Passed += in.Passed
	l.in.Consumed += in.Consumed
	l.in.Lost += in.Lost
	l.out.Offered += out.Offered
	l.out.Sent += out.Sent
	l.out.Consumed += out.Consumed
	for i := range in.Dropped {
		l.in.Dropped[i] += in.Dropped[i]
		l.out.Refused[i] += out.Refused[i]
	}
}

// account is a device and its ledgers.
type account struct {
	dev string
	ledgers
}

// accounts gives every device's account: of a port that was attached again, of all
// that was counted under its name.
func (s *session) accounts() []account {
	host := s.b.Stats()
	if s.host != nil {
		host.Ingress.Lost += s.host.lost
	}
	all := []account{{s.b.Name(), ledgers{host.Ingress, host.Egress}}}
	for _, p := range s.ports {
		l := p.past
		if p.joined != nil {
			now := p.joined.Stats()
			l.add(now.Ingress, now.Egress)
		}
		all = append(all, account{p.name, l})
	}
	return all
}

// report prints what became of every frame, and the tables.
func report(w io.Writer, accounts []account, b *bridge.Bridge) error {
	var text strings.Builder
	printLedgers(&text, accounts)
	printReasons(&text, accounts)
	if _, err := io.WriteString(w, text.String()); err != nil {
		return err
	}
	return tables(w, b)
}

// tables prints which addresses and groups are known.
func tables(w io.Writer, b *bridge.Bridge) error {
	var text strings.Builder
	printFDB(&text, b.FDB())
	printSnooping(&text, b)
	_, err := io.WriteString(w, text.String())
	return err
}

// newTable aligns columns that are parted by tabs.
func newTable(w io.Writer, flags uint) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', flags)
}

// printLedgers prints one line a device. The numbers of frames that came in are
// on the left, with those that the kernel lost before they could be read, and those
// of copies that were to leave on the right.
func printLedgers(w io.Writer, accounts []account) {
	fmt.Fprint(w, "\nFrames\n")
	t := newTable(w, tabwriter.AlignRight)
	fmt.Fprint(t, "device\treceived\tused\tpassed\tconsumed\tdropped\tlost\t|\toffered\tsent\trefused\t\n")
	for _, a := range accounts {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t|\t%d\t%d\t%d\t\n", a.dev,
			a.in.Received, a.in.Used, a.in.Passed, a.in.Consumed, sum(a.in.Dropped), a.in.Lost,
			a.out.Offered, a.out.Sent, sum(a.out.Refused))
	}
	t.Flush()
}

func sum(reasons [bridge.NumDropReasons]uint64) (n uint64) {
	for _, r := range reasons {
		n += r
	}
	return n
}

// printReasons prints one line for each reason that ended a frame, and for each
// ledger that does not come out even, which would be a fault of the bridge.
func printReasons(w io.Writer, accounts []account) {
	var lines strings.Builder
	t := newTable(&lines, 0)
	for _, a := range accounts {
		printReason(t, a.dev, "dropped", a.in.Dropped, a.in.Balance())
		printReason(t, a.dev, "refused", a.out.Refused, a.out.Balance())
	}
	t.Flush()
	if lines.Len() > 0 {
		fmt.Fprint(w, "\nReasons\n", lines.String())
	}
}

func printReason(w io.Writer, dev, what string, reasons [bridge.NumDropReasons]uint64, missing int64) {
	for i, n := range reasons {
		if n == 0 {
			continue
		}
		r := bridge.DropReason(i)
		words := r.String()
		if k := r.Kernel(); k != "NOT_SPECIFIED" {
			words += " (" + k + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", dev, what, n, words)
	}
	if missing != 0 {
		fmt.Fprintf(w, "%s\tmissing\t%d\tneither counted as done nor as %s: a fault of the bridge\n", dev, missing, what)
	}
}

// printFDB prints the forwarding database, by address and VLAN.
func printFDB(w io.Writer, fdb *bridge.FDB) {
	fmt.Fprint(w, "\nForwarding database\n")
	t := newTable(w, 0)
	fmt.Fprint(t, "address\tvlan\tdevice\tstate\tidle\n")
	for e := range fdb.All() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", e.MAC, vlanName(e.VID), deviceName(e.Port), e.State, e.Updated.Round(time.Second))
	}
	t.Flush()
}

func vlanName(vid frame.VID) string {
	if vid == 0 {
		return "-"
	}
	return fmt.Sprint(vid)
}

// deviceName names a port, or what "" stands for.
func deviceName(port string) string {
	if port == "" {
		return "the bridge"
	}
	return port
}

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	burst      = 3000 // datagrams: three times what a TAP's queue holds
	closedPort = 7    // of UDP, where nobody listens: the guest counts what comes
)

// overflow stops the guest, has the PC send it more than the queue of its TAP
// holds, and shows who counts what became of it.
func (w *world) overflow(ctx context.Context, g *vm, out io.Writer) error {
	port := w.bridge.Port(g.tap)
	if err := g.Command("stop"); err != nil {
		return err
	}
	before := port.Stats().Egress
	droppedBefore, _, err := w.dropped(g.tap)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n== %s is stopped (QMP: stop), and pc sends it %d datagrams\n", g.Name, burst)
	if err := w.burst(g.IP); err != nil {
		return err
	}
	if err := wait(ctx, func() (bool, error) {
		now := port.Stats().Egress
		return now.Offered-before.Offered >= burst && now.Balance() == 0, nil
	}); err != nil {
		return fmt.Errorf("not all of the burst has come to %s: %w", g.tap, err)
	}
	now := port.Stats().Egress
	sent := now.Sent - before.Sent
	fmt.Fprintf(out, "bridge  %s: offered %d, sent %d, refused %d\n", g.tap,
		now.Offered-before.Offered, sent, now.Offered-before.Offered-sent)
	total, lines, err := w.dropped(g.tap)
	if err != nil {
		return err
	}
	lost := total - droppedBefore
	fmt.Fprintf(out, "kernel  %s: tx_dropped %d, by ip -s link show dev %s:\n%s", g.tap, lost, g.tap, lines)
	if err := g.Command("cont"); err != nil {
		return err
	}
	got, err := g.awaitDatagrams(ctx, sent-lost)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n== %s goes on (QMP: cont)\n%s has received %d datagrams; %d + %d dropped = %d\n",
		g.Name, g.Name, got, got, lost, got+lost)
	return nil
}

// burst sends datagrams from the PC.
func (w *world) burst(ip string) error {
	return w.pc.Do(func() error {
		c, err := net.ListenPacket("udp4", net.JoinHostPort(w.pc.ip, "0"))
		if err != nil {
			return err
		}
		defer c.Close()
		to := &net.UDPAddr{IP: net.ParseIP(ip), Port: closedPort}
		for i := range burst {
			if _, err := fmt.Fprintf(datagrams{c, to}, "%064d", i); err != nil {
				return err
			}
		}
		return nil
	})
}

// datagrams makes a datagram of each Write.
type datagrams struct {
	net.PacketConn
	to net.Addr
}

// Write sends one.
func (d datagrams) Write(p []byte) (int, error) { return d.WriteTo(p, d.to) }

// dropped reads what the kernel has dropped instead of sending it by an interface of
// the host, and the lines of ip -s link that say so.
func (w *world) dropped(dev string) (n uint64, lines string, err error) {
	out, err := w.host.Run("ip", "-s", "link", "show", "dev", dev)
	if err != nil {
		return 0, "", err
	}
	_, tx, ok := strings.Cut(out, "    TX:")
	_, numbers, _ := strings.Cut(tx, "\n")
	const droppedAt = 3 // bytes, packets, errors, dropped
	if fields := strings.Fields(numbers); ok && len(fields) > droppedAt {
		n, err = strconv.ParseUint(fields[droppedAt], 10, 64)
		for line := range strings.Lines("    TX:" + tx) {
			lines += strings.TrimRight(line, " \n") + "\n"
		}
		return n, lines, err
	}
	return 0, "", fmt.Errorf("ip -s link shows no dropped frames of %s:\n%s", dev, out)
}

// awaitDatagrams waits until so many datagrams have come for the port that nobody
// listens on, and gives how many did.
func (g *vm) awaitDatagrams(ctx context.Context, want uint64) (n uint64, err error) {
	err = wait(ctx, func() (bool, error) {
		out, err := g.Run(ctx, `awk '/^Udp:/ { noPorts = $3 } END { print noPorts }' /proc/net/snmp`)
		if err != nil {
			return false, err
		}
		n, err = strconv.ParseUint(strings.TrimSpace(out), 10, 64)
		return n >= want, err
	})
	if err != nil {
		return n, fmt.Errorf("%s has received %d datagrams, not %d: %w", g.Name, n, want, err)
	}
	return n, nil
}

// wait waits until something is so, for a minute at most.
func wait(ctx context.Context, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if ok, err := so(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

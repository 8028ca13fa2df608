package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/ddfb540f/bridge/internal/guest"
)

const (
	transfer   = 4 << 20          // bytes of a TCP transfer
	sinkPort   = "9"              // where a guest gives the SHA-256 of what comes
	tcpTimeout = 60 * time.Second // for a transfer
)

// ping sends one echo request from the place.
func (p place) ping(ip string) (string, error) {
	out, err := p.Run("ping", "-n", "-c", "1", "-W", "10", ip)
	if err != nil {
		return "", err
	}
	return guest.Pinged(ip, out)
}

// tcp sends bytes from the place to the guest and then as many back, each by a
// connection that the sender opens, and says how they came through the bridge.
func (w *world) tcp(ctx context.Context, p place, g *vm, out io.Writer) error {
	port := w.bridge.Port(g.tap)
	before := port.Stats()
	if err := p.sendTo(ctx, g); err != nil {
		return fmt.Errorf("TCP from %s to %s: %w", p.name, g.Name, err)
	}
	between := port.Stats()
	fmt.Fprintf(out, "%s -> %s: %d bytes, the same SHA-256 at both ends; to %s %s\n", p.name, g.Name, transfer, g.tap,
		carried(between.TxPackets-before.TxPackets, between.TxBytes-before.TxBytes))
	if err := p.receiveFrom(ctx, g); err != nil {
		return fmt.Errorf("TCP from %s to %s: %w", g.Name, p.name, err)
	}
	after := port.Stats()
	fmt.Fprintf(out, "%s -> %s: %d bytes, the same SHA-256 at both ends; from %s %s\n", g.Name, p.name, transfer, g.tap,
		carried(after.RxPackets-between.RxPackets, after.RxBytes-between.RxBytes))
	return nil
}

// carried says how many frames it took.
func carried(frames, bytes uint64) string {
	return fmt.Sprintf("%d frames of %d bytes on average", frames, bytes/max(frames, 1))
}

// bound has a connection end with ctx or after a while, whatever happens on it.
func bound(ctx context.Context, c interface {
	io.Closer
	SetDeadline(time.Time) error
}) (release func(), err error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return func() { stop(); c.Close() }, c.SetDeadline(time.Now().Add(tcpTimeout))
}

// sendTo sends bytes to the guest, which answers with their SHA-256.
func (p place) sendTo(ctx context.Context, g *vm) error {
	var c net.Conn
	err := p.Do(func() (err error) {
		c, err = (&net.Dialer{Timeout: tcpTimeout}).DialContext(ctx, "tcp4", net.JoinHostPort(g.IP, sinkPort))
		return err
	})
	if err != nil {
		return err
	}
	release, err := bound(ctx, c)
	defer release()
	if err != nil {
		return err
	}
	sum := sha256.New()
	data := io.LimitReader(rand.NewChaCha8([32]byte{}), transfer)
	if _, err := io.Copy(io.MultiWriter(c, sum), data); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(c, 1024))
	if err != nil {
		return err
	}
	return same(string(answer), sum.Sum(nil))
}

// receiveFrom has the guest send bytes of its own, of which it tells the SHA-256.
func (p place) receiveFrom(ctx context.Context, g *vm) error {
	var l *net.TCPListener
	err := p.Do(func() (err error) {
		l, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(p.ip)})
		return err
	})
	if err != nil {
		return err
	}
	release, err := bound(ctx, l)
	defer release()
	if err != nil {
		return err
	}
	type result struct {
		sum []byte
		n   int64
		err error
	}
	received := make(chan result, 1)
	go func() { // ends with the connection, or the listener
		var r result
		r.sum, r.n, r.err = accept(ctx, l)
		received <- r
	}()
	text, err := g.Run(ctx, fmt.Sprintf("head -c %d /dev/urandom >/tmp/data && sha256sum </tmp/data && nc %s %d </tmp/data; rm /tmp/data",
		transfer, p.ip, l.Addr().(*net.TCPAddr).Port))
	if err != nil {
		l.Close()
	}
	r := <-received
	switch {
	case err != nil || r.err != nil:
		return errors.Join(err, r.err)
	case r.n != transfer:
		return fmt.Errorf("%d bytes have come, not %d", r.n, transfer)
	}
	return same(text, r.sum)
}

// accept takes one connection and all that comes by it.
func accept(ctx context.Context, l *net.TCPListener) (sum []byte, n int64, err error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, 0, err
	}
	release, err := bound(ctx, c)
	defer release()
	if err != nil {
		return nil, 0, err
	}
	h := sha256.New()
	n, err = io.Copy(h, io.LimitReader(c, transfer+1))
	return h.Sum(nil), n, err
}

// same holds what sha256sum says in the guest against the sum here.
func same(said string, sum []byte) error {
	if word, _, _ := strings.Cut(strings.TrimSpace(said), " "); word != hex.EncodeToString(sum) {
		return fmt.Errorf("the guest's SHA-256 is %q, here it is %x", word, sum)
	}
	return nil
}

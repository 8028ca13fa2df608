package main

import (
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// join makes a TAP for the host, and of that a port.
func (h host) join(b *bridge.Bridge) (*bridge.Port, error) {
	tap, err := bridge.OpenTAP(bridge.TAPConfig{Name: h.dev, Netns: h.Path(), Up: true})
	if err != nil {
		return nil, err
	}
	p, err := b.AddPort(h.dev, tap, bridge.PortConfig{Caps: tap.Caps(), Lost: tap.Lost, Queues: tap.Queues()})
	if err != nil {
		return nil, errors.Join(err, tap.Close())
	}
	return p, nil
}

// stream sends bytes from one host to the other until more says no, and checks that
// they arrive as they were sent. It gives their number.
func stream(t *testing.T, from, to host, more func() bool) (n int64) {
	t.Helper()
	var l net.Listener
	require.NoError(t, to.Do(func() (err error) {
		l, err = net.Listen("tcp", to.ip4+":0")
		return err
	}))
	defer l.Close()
	got := make(chan [sha256.Size]byte, 1)
	go func() { // ends when the sender closes, or the listener
		defer close(got)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, c); err == nil {
			got <- [sha256.Size]byte(sum.Sum(nil))
		}
	}()
	var c net.Conn
	require.NoError(t, from.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", l.Addr().String(), patience)
		return err
	}))
	defer c.Close()
	sum, random, block := sha256.New(), rand.NewChaCha8([32]byte{}), make([]byte, 1<<16)
	for more() {
		random.Read(block)
		sum.Write(block)
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		_, err := c.Write(block)
		require.NoError(t, err)
		n += int64(len(block))
	}
	require.NoError(t, c.Close())
	assert.Equal(t, [sha256.Size]byte(sum.Sum(nil)), <-got, "what arrived is not what was sent")
	return n
}

// While two TAPs carry a TCP stream, a third one comes and goes as a port: the
// stream arrives as it was sent, and each port accounts for every frame. Nothing runs
// beside it: a program that another test starts would hold each TAP for a moment longer.
func TestPortsComeAndGoUnderLoad(t *testing.T) {
	netnstest.Needs(t, "ip")
	hosts := []host{newHost(t, 1, "tap0"), newHost(t, 2, "tap1"), newHost(t, 3, "tap2")}
	b, err := bridge.New(bridge.Config{})
	require.NoError(t, err)
	defer b.Close()
	var ports []*bridge.Port
	for _, h := range hosts[:2] {
		p, err := h.join(b)
		require.NoError(t, err)
		ports = append(ports, p)
		h.address(t)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(t.Context()) }() // ends with Close

	comeAndGo := func() error {
		p, err := hosts[2].join(b)
		if err != nil {
			return err
		}
		ports = append(ports, p)
		return b.RemovePort(p)
	}
	const times = 25
	left := times
	n := stream(t, hosts[0], hosts[1], func() bool { // between two blocks
		assert.NoError(t, comeAndGo())
		left--
		return left > 0
	})
	assert.Equal(t, int64(times-1)<<16, n)

	over := make(chan struct{})
	go func() { // at its own pace; ends after so many times
		defer close(over)
		for range times {
			assert.NoError(t, comeAndGo())
		}
	}()
	n = stream(t, hosts[1], hosts[0], func() bool {
		select {
		case <-over:
			return false
		default:
			return true
		}
	})
	assert.Positive(t, n)

	require.NoError(t, b.Close())
	require.NoError(t, <-served)
	require.Len(t, ports, 2+2*times)
	for _, p := range ports {
		s := p.Stats()
		assert.Zero(t, s.Ingress.Balance(), p.Name())
		assert.Zero(t, s.Egress.Balance(), p.Name())
	}
	assert.Empty(t, hosts[2].interfaces(t))
}

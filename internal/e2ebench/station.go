//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// ifName is a station's one interface.
const ifName = "e0"

// The ports of a station.
const (
	sinkPort = 5201 // TCP: what comes is counted and thrown away
	echoPort = 7    // UDP: what comes goes back
)

// A station is one end of the traffic: a process in a namespace of its own.
type station struct {
	bytes   atomic.Uint64 // came by TCP
	sent    atomic.Uint64 // frames that blast handed to the interface
	pinging pinger
	wire    *wire           // nil: it has an interface
	ctx     context.Context // of the generators; ended by halt
	cancel  context.CancelFunc
	gens    sync.WaitGroup
	failed  atomic.Pointer[error] // what ended a generator before its time
}

// stationMain is a station's life.
func stationMain() {
	s := &station{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	serve(s.answer)
	s.cancel()
}

func (s *station) answer(q request) (r reply, err error) {
	if s.wire != nil {
		return s.answerOnWire(q)
	}
	switch q.Op {
	case "wire":
		s.wire, err = openWire(q.Address, frame.MAC(q.MAC))
		return r, err
	case "begin":
		if err := s.serveTraffic(); err != nil {
			return r, err
		}
		ifc, err := net.InterfaceByName(ifName)
		if err != nil {
			return r, err
		}
		r.MAC = ifc.HardwareAddr
		return r, nil
	case "reach":
		return r, reach(q.Address)
	case "offload":
		return r, setOffload(ifName, q.On)
	case "tcp":
		return r, s.sendTCP(q.Address, q.Streams)
	case "blast":
		mac, err := net.InterfaceByName(ifName)
		if err != nil {
			return r, err
		}
		f := blastFrame(frame.MAC(q.MAC), frame.MAC(mac.HardwareAddr))
		s.generate(func() error { return s.blast(mac.Index, f, q.Rate) })
		return r, nil
	case "ping":
		s.generate(func() error { return s.pinging.run(s.ctx, q.Address) })
		return r, nil
	case "mark":
		s.pinging.mark()
		r.Count, err = s.count()
		return r, err
	case "count":
		r.Trips = s.pinging.trips()
		if r.Count, err = s.count(); err == nil {
			err = s.failure()
		}
		return r, err
	case "halt":
		s.halt()
		return r, s.failure()
	}
	return r, fmt.Errorf("a station knows no %q", q.Op)
}

// generate runs a generator of traffic until halt.
func (s *station) generate(run func() error) {
	s.gens.Go(func() { // ends with s.ctx
		if err := run(); err != nil && s.ctx.Err() == nil {
			s.failed.CompareAndSwap(nil, &err)
		}
	})
}

func (s *station) halt() {
	s.cancel()
	s.gens.Wait()
	s.ctx, s.cancel = context.WithCancel(context.Background())
}

// failure is why a generator ended before it was told to, once.
func (s *station) failure() error {
	if err := s.failed.Swap(nil); err != nil {
		return *err
	}
	return nil
}

func (s *station) count() (c counts, err error) {
	dev, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return c, err
	}
	c.At, c.Bytes, c.Sent = monotonic(), s.bytes.Load(), s.sent.Load()
	c.Frames, err = parseReceived(string(dev), ifName)
	return c, err
}

// parseReceived reads the frames that an interface received from /proc/net/dev.
func parseReceived(dev, name string) (frames uint64, err error) {
	for line := range strings.Lines(dev) {
		before, numbers, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(before) != name {
			continue
		}
		var bytes uint64
		if _, err := fmt.Sscan(numbers, &bytes, &frames); err != nil {
			return 0, fmt.Errorf("/proc/net/dev: %q: %w", line, err)
		}
		return frames, nil
	}
	return 0, fmt.Errorf("/proc/net/dev: no %s", name)
}

// serveTraffic has the station take what others send, as long as it lives.
func (s *station) serveTraffic() error {
	l, err := net.Listen("tcp4", fmt.Sprint(":", sinkPort))
	if err != nil {
		return err
	}
	go func() { // ends with the process
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.sink(conn) // ends with the connection
		}
	}()
	return startEcho(echoPort)
}

func (s *station) sink(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := conn.Read(buf)
		s.bytes.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// sendTCP writes to streams connections, as fast as they take it.
func (s *station) sendTCP(address string, streams int) error {
	for range streams {
		conn, err := (&net.Dialer{Timeout: reachPatience}).DialContext(s.ctx, "tcp4", net.JoinHostPort(address, fmt.Sprint(sinkPort)))
		if err != nil {
			return err
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // what is under way then is not to meet the next run
		context.AfterFunc(s.ctx, func() { _ = conn.Close() })
		s.generate(func() error {
			buf := make([]byte, 256<<10)
			for {
				if _, err := conn.Write(buf); err != nil {
					return err
				}
			}
		})
	}
	return nil
}

// reachPatience is how long two stations may take to find each other.
const reachPatience = 8 * time.Second

// reach waits until the other station answers.
func reach(address string) error {
	conn, err := net.Dial("udp4", net.JoinHostPort(address, fmt.Sprint(echoPort)))
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, pingLen)
	for end := time.Now().Add(reachPatience); time.Now().Before(end); {
		if _, err = conn.Write(buf); err == nil {
			_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err = conn.Read(buf); err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("no answer from %s: %w", address, err)
}

// blastFrame is the shortest frame that Ethernet knows, without its checksum: an
// EtherType for experiments (IEEE 802), which no station takes.
func blastFrame(to, from frame.MAC) []byte {
	f := slices.Concat(to[:], from[:], make([]byte, blastLen-12))
	binary.BigEndian.PutUint16(f[12:], uint16(typeCounted))
	return f
}

const (
	blastLen = 64
	pingLen  = 64 // of UDP
)

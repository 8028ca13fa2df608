package qemu_test

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/leaktest"
	"github.com/ddfb540f/bridge/qemu"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const patience = time.Minute

// until waits for what is to come about by itself.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// unixPath is a place for a socket. Its name is short: 104 bytes have to do on some
// systems.
func unixPath(t testing.TB) string {
	t.Helper()
	at := os.TempDir()
	if len(at) > 80 {
		at = "/tmp"
	}
	dir, err := os.MkdirTemp(at, "q")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func listen(t testing.TB, cfg qemu.StreamConfig) *qemu.Stream {
	t.Helper()
	s, err := qemu.Listen(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func connect(t testing.TB, cfg qemu.StreamConfig) *qemu.Stream {
	t.Helper()
	s, err := qemu.Connect(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// addressOf is where a Stream listens, for others to connect.
func addressOf(s *qemu.Stream) string {
	if s.Addr().Network() == "unix" {
		return "unix:" + s.Addr().String()
	}
	return "tcp:" + s.Addr().String()
}

// served waits for the n-th connection.
func served(t testing.TB, s *qemu.Stream, n uint64) {
	t.Helper()
	until(t, "a connection", func() bool { st := s.Stats(); return st.Connected && st.Connections == n })
}

// guest connects as QEMU does.
func guest(t testing.TB, s *qemu.Stream) net.Conn {
	t.Helper()
	before := s.Stats().Connections
	conn, err := net.Dial(s.Addr().Network(), s.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	served(t, s, before+1)
	return conn
}

// data is a frame of n bytes.
func data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	copy(b, []byte{0x02, 0, 0, 0, 0, 0x0b, 0x02, 0, 0, 0, 0, 0x0a, 0x88, 0xb5}[:min(n, 14)])
	return b
}

// wire is how a frame goes over a stream.
func wire(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// reading is what a goroutine of its own reads from a cable until it ends; a cable
// that is down is asked again after a moment, as a bridge does.
type reading struct {
	frames chan []byte
	errs   chan error // each, the last one closes it
}

func read(t testing.TB, cable bridge.FrameIO) *reading {
	t.Helper()
	r := &reading{frames: make(chan []byte, 1024), errs: make(chan error, 1024)}
	t.Cleanup(func() {
		cable.Close()
		for range r.errs { // until the goroutine has ended
		}
	})
	go func() { // ends with Close
		defer close(r.errs)
		fs := make([]frame.Frame, 16)
		for {
			n, err := cable.ReadFrames(fs)
			for _, f := range fs[:n] {
				r.frames <- append([]byte{}, f.Data...)
			}
			if err != nil {
				r.errs <- err
				if !errors.Is(err, bridge.ENETDOWN) {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}()
	return r
}

func (r *reading) next(t testing.TB) []byte {
	t.Helper()
	select {
	case b := <-r.frames:
		return b
	case <-time.After(patience):
		t.Fatal("no frame arrives")
		return nil
	}
}

// fails gives the next error that is no news of a cable that is down, or with down
// one that is.
func (r *reading) fails(t testing.TB, down bool) error {
	t.Helper()
	for end := time.After(patience); ; {
		select {
		case err := <-r.errs:
			if errors.Is(err, bridge.ENETDOWN) == down {
				return err
			}
		case <-end:
			t.Fatal("no error comes")
		}
	}
}

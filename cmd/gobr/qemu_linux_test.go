package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
	"github.com/ddfb540f/bridge/qemu"
)

// station is what speaks for a guest: the other end of a cable, and what has come
// there.
type station struct {
	bridge.FrameIO
	addr  byte
	heard chan []byte
	over  chan struct{} // closed when nothing more is read
}

// newStation is at the other end of a cable until the test is over, or leave.
func newStation(t *testing.T, addr byte, cable bridge.FrameIO, err error) *station {
	t.Helper()
	require.NoError(t, err)
	s := &station{cable, addr, make(chan []byte, 1024), make(chan struct{})}
	go func() { // ends with the cable
		defer close(s.over)
		fs := make([]frame.Frame, 16)
		for {
			n, err := cable.ReadFrames(fs)
			for _, f := range fs[:n] {
				select {
				case s.heard <- bytes.Clone(f.Data):
				default:
				}
			}
			if err != nil && !strings.Contains(err.Error(), "network is down") {
				return
			}
		}
	}()
	t.Cleanup(s.leave)
	return s
}

func (s *station) leave() {
	s.Close()
	<-s.over
}

// guestAt connects as QEMU does.
func guestAt(t *testing.T, addr byte, address string) *station {
	t.Helper()
	cable, err := qemu.Connect(qemu.StreamConfig{Address: address})
	return newStation(t, addr, cable, err)
}

// reaches says that a frame to another station arrives there, sooner or later: the
// port of one that has just connected is not up yet.
func (s *station) reaches(t *testing.T, to *station) {
	t.Helper()
	f := wire("02:00:00:00:00:00", "02:00:00:00:00:00")
	f.Data[5], f.Data[11] = to.addr, s.addr
	f.Data[20]++
	eventually(t, func() bool {
		_, _ = s.WriteFrames([]frame.Frame{f})
		for patience := time.After(50 * time.Millisecond); ; {
			select {
			case got := <-to.heard:
				if bytes.Equal(got, f.Data) {
					return true
				}
			case <-patience:
				return false
			}
		}
	}, func() string { return "no frame from station " + string('0'+s.addr) + " to " + string('0'+to.addr) })
}

// where gives what gobr has said of where a port is.
func where(t *testing.T, p *program, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	eventually(t, func() bool { return re.MatchString(p.stderr()) }, p.stderr)
	return re.FindStringSubmatch(p.stderr())[1]
}

// Guests on all kinds of sockets reach each other.
func TestQEMUCables(t *testing.T) {
	dir := netnstest.SharedDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	peer, err := qemu.Listen(qemu.StreamConfig{Address: "unix:" + at("d")})
	d := newStation(t, 4, peer, err)
	gobr, first := start(t, "run", "--qemu", "a=unix:"+at("a,,b"), "--qemu", "b=tcp:127.0.0.1:0",
		"--qemu", "c=unixgram:"+at("c"), "--qemu", "d=unix:"+at("d")+",connect,reconnect-ms=20",
		"--qemu", "e=unixgram:"+at("e")+",remote="+at("e2")+",mode=0660")
	require.Equal(t, "br0 bridges a, b, c, d, e; interrupt ends it\n", first, gobr.stderr())
	a := guestAt(t, 1, "unix:"+at("a,b"))
	b := guestAt(t, 2, "tcp:"+where(t, gobr, `b: listens at tcp:(127\.0\.0\.1:\d+)\n`))
	learned, err := qemu.OpenDgram(qemu.DgramConfig{Local: "unix:" + at("c2"), Remote: "unix:" + at("c")})
	c := newStation(t, 3, learned, err)
	told, err := qemu.OpenDgram(qemu.DgramConfig{Local: "unix:" + at("e2"), Remote: "unix:" + at("e")})
	e := newStation(t, 5, told, err)
	c.reaches(t, a) // a datagram has to come from there first
	all := []*station{a, b, c, d, e}
	for _, from := range all {
		for _, to := range all {
			if from != to {
				from.reaches(t, to)
			}
		}
	}
	for name, mode := range map[string]os.FileMode{"a,b": 0o600, "c": 0o600, "e": 0o660} {
		i, err := os.Stat(at(name))
		require.NoError(t, err)
		assert.Equal(t, mode, i.Mode().Perm(), name)
	}
	for _, line := range []string{
		"a: listens at unix:" + at("a,b"), "c: takes datagrams at unixgram:" + at("c"), "d: connects to unix:" + at("d"),
		"e: takes datagrams at unixgram:" + at("e") + ", and sends to " + at("e2"), "a: a peer has come", "d: a peer has come",
	} {
		where(t, gobr, "(?m)^gobr: ("+regexp.QuoteMeta(line)+")$")
	}
	status, out := gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	balanced(t, out)
	for _, name := range []string{"a,b", "c", "e"} {
		assert.NoFileExists(t, at(name))
	}
}

// UDP, and a multicast group, which has to be reachable by the loopback interface.
func TestQEMUCablesOverUDP(t *testing.T) {
	free, err := qemu.OpenDgram(qemu.DgramConfig{Local: "udp:127.0.0.1:0", Remote: "udp:127.0.0.1:9"})
	require.NoError(t, err)
	near := free.LocalAddr().String()
	require.NoError(t, free.Close())
	free, err = qemu.OpenDgram(qemu.DgramConfig{Local: "udp:127.0.0.1:0", Remote: "udp:" + near})
	a := newStation(t, 1, free, err)
	group := "230.0.0.57:" + near[strings.LastIndexByte(near, ':')+1:]
	gobr, first := start(t, "run", "--qemu", "a=udp:"+near+",remote="+free.LocalAddr().String(), "--qemu", "m=mcast:"+group+",localaddr=127.0.0.1")
	require.Equal(t, "br0 bridges a, m; interrupt ends it\n", first, gobr.stderr())
	var members []*station
	for i := range 2 {
		member, err := qemu.OpenDgram(qemu.DgramConfig{Local: "udp:127.0.0.1:0", Remote: "udp:" + group})
		members = append(members, newStation(t, byte(2+i), member, err))
	}
	all := append(members, a)
	for _, from := range all {
		for _, to := range all {
			if from != to {
				from.reaches(t, to)
			}
		}
	}
	_, out := gobr.end(t, os.Interrupt)
	balanced(t, out)
	assert.Equal(t, "gobr: a: takes datagrams at udp:"+near+", and sends to "+free.LocalAddr().String()+"\n"+
		"gobr: m: takes datagrams at mcast:"+group+"\n", gobr.stderr())
}

// A guest that starts anew finds its port with its settings, whose account goes on;
// each coming and going is told in a line.
func TestQEMUPeersComeAndGo(t *testing.T) {
	t.Parallel()
	dir := netnstest.SharedDir(t)
	path := func(name string) string { return "unix:" + filepath.Join(dir, name) }
	gobr, _ := start(t, "run", "--qemu", "a="+path("a"), "--qemu", "b="+path("b"), "--qemu", "c="+path("c")+",connect,reconnect-ms=20",
		"--vlan", "a=access:10", "--vlan", "b=access:10", "--port", "c=up=off")
	gobr.says(t, `gobr: c: not connected yet: dial unix .*/c: connect: no such file or directory\n`)
	b := guestAt(t, 2, path("b"))
	gobr.says(t, "gobr: b: a peer has come\n")
	for range 3 {
		a := guestAt(t, 1, path("a"))
		gobr.says(t, "gobr: a: a peer has come\n")
		a.reaches(t, b)
		b.reaches(t, a)
		a.leave()
		gobr.says(t, "gobr: a: the peer has gone\n")
	}
	_, err := b.WriteFrames([]frame.Frame{wire("ff:ff:ff:ff:ff:ff", "02:00:00:00:00:02")})
	require.NoError(t, err)
	late, err := qemu.Listen(qemu.StreamConfig{Address: path("c")})
	c := newStation(t, 3, late, err)
	gobr.says(t, "gobr: c: a peer has come\n")
	c.leave()
	gobr.says(t, "gobr: c: the peer has gone\n")

	status, out := gobr.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status)
	balanced(t, out)
	assert.Regexp(t, `(?m)^02:00:00:00:00:02  10 +b +dynamic `, out)
	m := regexp.MustCompile(`(?m)^ +a +(\d+) +(\d+) .*\| +\d+ +(\d+) `).FindStringSubmatch(out)
	require.NotNil(t, m, out)
	for _, n := range m[1:] {
		assert.True(t, len(n) > 1 || n >= "3", "received, used and sent, of all three: %s", out)
	}
	assert.Equal(t, 1, strings.Count(gobr.stderr(), "not connected yet"), gobr.stderr())
}

// A socket that somebody holds is not taken from him; one that was left is.
func TestQEMUSocketInUse(t *testing.T) {
	path := filepath.Join(netnstest.SharedDir(t), "vm1.sock")
	args := []string{"run", "--qemu", "vm1=unix:" + path}
	gobr, first := start(t, args...)
	require.Contains(t, first, "br0 bridges vm1")
	second, _ := start(t, args...)
	status, _ := second.end(t, nil)
	assert.Equal(t, exitFailure, status)
	assert.Regexp(t, `^gobr: qemu: listen on unix:.*: address already in use: a program that runs has this socket; end that, or choose another path\n$`, second.stderr())
	assert.NotContains(t, gobr.stderr(), "a peer", "the first is not disturbed")
	require.NoError(t, gobr.cmd.Process.Kill())
	gobr.end(t, nil)
	require.FileExists(t, path)
	third, first := start(t, args...)
	require.Contains(t, first, "br0 bridges vm1", third.stderr())
	status, _ = third.end(t, os.Interrupt)
	assert.Equal(t, exitOK, status, third.stderr())
	assert.NoFileExists(t, path)
}

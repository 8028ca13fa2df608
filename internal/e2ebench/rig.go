//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ddfb540f/bridge/internal/netns"
)

// The addresses of the stations.
var addresses = [2]string{"10.99.0.1", "10.99.0.2"}

// A rig is two stations and what joins them, set up for one contestant.
type rig struct {
	peer     peer
	hosts    [2]*netns.NS // of the stations
	mid      *netns.NS    // of the switch
	stations [2]*child
	macs     [2][]byte
	pids     []int     // whose processor time is the switch's
	all      []int     // those of all processes
	dir      string    // for sockets and data bases
	wires    [2]string // the sockets that stations without an interface connect to
	plain    bool      // the stations have no offloads to begin with
	profile  string    // where our forwarder leaves its CPU profile
	undo     []func()
	down     bool // close was called
}

// newRig sets p up between two stations that can reach each other.
func newRig(ctx context.Context, p peer, c cable, profile string) (*rig, error) {
	r := &rig{peer: p, profile: profile}
	if err := r.setUp(ctx, c); err != nil {
		r.close()
		return nil, fmt.Errorf("%s over %s: %w", p.name, c.name, err)
	}
	return r, nil
}

// setUp leaves to close what it began, also when it fails.
func (r *rig) setUp(ctx context.Context, c cable) (err error) {
	if r.dir, err = os.MkdirTemp("", "e2ebench"); err != nil {
		return err
	}
	r.later(func() { _ = os.RemoveAll(r.dir) })
	for _, ns := range []**netns.NS{&r.hosts[0], &r.hosts[1], &r.mid} {
		if *ns, err = netns.New(false); err != nil {
			return err
		}
		r.later(func() { _ = (*ns).Close() })
	}
	if err := r.peer.build(ctx, r, c); err != nil {
		return err
	}
	for i := range r.hosts {
		if err := r.addStation(ctx, i); err != nil {
			return err
		}
	}
	return r.reach(ctx)
}

func (r *rig) addStation(ctx context.Context, i int) error {
	begin := request{Op: "wire", Address: r.wires[i], MAC: []byte{2, 0, 0, 0, 0, byte(i + 1)}}
	if r.wires[i] == "" {
		begin = request{Op: "begin"}
		for _, args := range [][]string{
			{"link", "set", "lo", "up"},
			{"link", "set", ifName, "mtu", "1500", "up"},
			{"address", "add", addresses[i] + "/24", "dev", ifName},
		} {
			if _, err := r.hosts[i].Run("ip", args...); err != nil {
				return err
			}
		}
	}
	s, err := startChild(r.hosts[i], stationRole)
	if err != nil {
		return err
	}
	r.later(s.stop)
	r.stations[i], r.all = s, append(r.all, s.cmd.Process.Pid)
	begun, err := s.ask(ctx, begin)
	if r.macs[i] = begun.MAC; r.wires[i] != "" {
		r.macs[i] = begin.MAC
	}
	return err
}

// reach waits until the stations can reach each other, and has the switch know both.
func (r *rig) reach(ctx context.Context) error {
	_, err := r.stations[0].ask(ctx, request{Op: "reach", Address: addresses[1]})
	return err
}

// later has close undo something, the last first.
func (r *rig) later(undo func()) { r.undo = append(r.undo, undo) }

func (r *rig) close() {
	for i := len(r.undo) - 1; i >= 0; i-- {
		r.undo[i]()
	}
	r.undo, r.down = nil, true
}

// veths gives each station one end of a veth pair. The others are in the switch's
// namespace.
func (r *rig) veths() error {
	return errors.Join(r.veth(0), r.veth(1))
}

func (r *rig) veth(i int) error {
	for _, args := range [][]string{
		{"link", "add", portName(i), "type", "veth", "peer", "name", ifName, "netns", r.hosts[i].Path()},
		{"link", "set", portName(i), "up"},
	} {
		if _, err := r.mid.Run("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// portName is the switch's end of a station's veth pair.
func portName(i int) string { return fmt.Sprint("p", i) }

// noOffload turns the offloads of an interface off for good.
func (r *rig) noOffload(ns *netns.NS, name string) error {
	r.plain = true
	return ns.Do(func() error { return setOffload(name, false) })
}

// handOver gives each station an interface that a switch has made in its own namespace.
func (r *rig) handOver(ctx context.Context, names [2]string) error {
	for i, name := range names {
		err := await(ctx, func() error {
			_, err := r.mid.Run("ip", "link", "set", name, "netns", r.hosts[i].Path())
			return err
		})
		if err != nil {
			return err
		}
		if _, err := r.hosts[i].Run("ip", "link", "set", name, "name", ifName); err != nil {
			return err
		}
	}
	return nil
}

// await tries until something succeeds, for five seconds.
func await(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// forward starts a process that joins ends, as a bridge or as a patch cable.
func (r *rig) forward(ctx context.Context, how string, ends ...end) (pid int, err error) {
	c, err := startChild(r.mid, forwarderRole)
	if err != nil {
		return 0, err
	}
	r.later(c.stop)
	r.all = append(r.all, c.cmd.Process.Pid)
	q := request{Op: how, Ends: ends}
	if how == asBridge {
		q.Profile = r.profile
	}
	_, err = c.ask(ctx, q)
	return c.cmd.Process.Pid, err
}

// start starts another program in the switch's namespace. What it says is in a file of
// r.dir; it ends with the rig, and with this process.
func (r *rig) start(name string, args ...string) (pid int, err error) {
	log, err := os.Create(filepath.Join(r.dir, filepath.Base(name)+".log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, log, log
	cmd.Env = append(os.Environ(), r.env()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	in, err := cmd.StdinPipe() // some end with their standard input: with this process
	if err != nil {
		return 0, err
	}
	if err := r.mid.Start(cmd); err != nil {
		return 0, err
	}
	r.all = append(r.all, cmd.Process.Pid)
	ended := make(chan struct{})
	go func() { // ends with the program, which close ends
		_ = cmd.Wait()
		close(ended)
	}()
	r.later(func() {
		_ = in.Close()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	return cmd.Process.Pid, nil
}

// env keeps what Open vSwitch writes out of the system's directories.
func (r *rig) env() []string {
	return []string{"OVS_RUNDIR=" + r.dir, "OVS_LOGDIR=" + r.dir, "OVS_DBDIR=" + r.dir, "OVS_SYSCONFDIR=" + r.dir}
}

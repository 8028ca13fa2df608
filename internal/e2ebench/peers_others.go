//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var (
	ovsPrograms  = map[string]string{"ovs-vswitchd": "openvswitch-switch", "ovsdb-server": "openvswitch-switch", "ovs-vsctl": "openvswitch-switch"}
	vdePrograms  = map[string]string{"vde_switch": "vde2"}
	goPrograms   = map[string]string{"go": "golang"}
	qemuPrograms = map[string]string{qemuProgram: "qemu-system-x86"}
)

const qemuProgram = "qemu-system-x86_64"

// handed are the names of interfaces that a switch makes for the stations.
var handed = [2]string{"t0", "t1"}

// buildOVS is Open vSwitch with its data path in user space: its own TAPs (internal
// ports) or, over raw and xdp, packet sockets on veth pairs. Without userspace-tso it loses what
// owes a segmentation, so the stations are not to send such frames; for its TAPs it says
// so itself.
func buildOVS(tso bool) func(ctx context.Context, r *rig, c cable) error {
	return func(ctx context.Context, r *rig, c cable) error {
		if err := startOVS(ctx, r, tso); err != nil {
			return err
		}
		if c.name == "tap" {
			for _, name := range handed {
				if err := r.vsctl(ctx, "--may-exist", "add-port", "br0", name, "--", "set", "Interface", name, "type=internal"); err != nil {
					return err
				}
			}
			return r.handOver(ctx, handed)
		}
		if err := r.veths(); err != nil {
			return err
		}
		for i, host := range r.hosts {
			name := portName(i)
			if !tso {
				if err := r.noOffload(host, ifName); err != nil {
					return err
				}
				if err := r.noOffload(r.mid, name); err != nil {
					return err
				}
			}
			if err := r.vsctl(ctx, "--may-exist", "add-port", "br0", name); err != nil {
				return err
			}
		}
		return nil
	}
}

// startOVS starts a data base and a switch that are this rig's alone.
func startOVS(ctx context.Context, r *rig, tso bool) error {
	db := filepath.Join(r.dir, "conf.db")
	if _, err := r.mid.Run("ovsdb-tool", "create", db, "/usr/share/openvswitch/vswitch.ovsschema"); err != nil {
		return err
	}
	if _, err := r.start("ovsdb-server", db, "--remote=p"+r.ovsdb(), "--unixctl="+filepath.Join(r.dir, "ovsdb.ctl")); err != nil {
		return err
	}
	if err := r.vsctl(ctx, "--no-wait", "init"); err != nil {
		return err
	}
	if tso {
		if err := r.vsctl(ctx, "--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"); err != nil {
			return err
		}
	}
	pid, err := r.start("ovs-vswitchd", r.ovsdb(), "--unixctl="+filepath.Join(r.dir, "vswitchd.ctl"))
	if err != nil {
		return err
	}
	r.pids = append(r.pids, pid)
	return r.vsctl(ctx, "--may-exist", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
}

func (r *rig) ovsdb() string { return "unix:" + filepath.Join(r.dir, "db.sock") }

// vsctl waits for the data base, and for the switch to have done what it is told.
func (r *rig) vsctl(ctx context.Context, args ...string) error {
	return await(ctx, func() error {
		cmd := exec.CommandContext(ctx, "ovs-vsctl", append([]string{"--db=" + r.ovsdb(), "--timeout=5"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("ovs-vsctl %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	})
}

// buildVDE is vde_switch with TAPs of its own, in one process.
func buildVDE(ctx context.Context, r *rig, _ cable) error {
	pid, err := r.start("vde_switch", "-s", filepath.Join(r.dir, "vde"), "-tap", handed[0], "-tap", handed[1])
	if err != nil {
		return err
	}
	r.pids = append(r.pids, pid)
	return r.handOver(ctx, handed)
}

// buildQEMU is the hub of QEMU, which floods and has no guest here, with TAPs or unix
// sockets.
func buildQEMU(ctx context.Context, r *rig, c cable) error {
	args := []string{"-machine", "none", "-nodefaults", "-display", "none", "-serial", "none", "-monitor", "none"}
	port := func(i int, back string) {
		args = append(args, "-netdev", fmt.Sprintf("%s,id=n%d", back, i), "-netdev", fmt.Sprintf("hubport,id=h%d,hubid=0,netdev=n%d", i, i))
	}
	kind, names, err := r.foreignPorts(ctx, c)
	if err != nil {
		return err
	}
	for i, name := range names {
		if kind == "tap" {
			port(i, "tap,script=no,downscript=no,vnet_hdr=off,ifname="+name)
		} else {
			port(i, "stream,server=on,addr.type=unix,addr.path="+name)
		}
	}
	pid, err := r.start(qemuProgram, args...)
	if err != nil {
		return err
	}
	r.pids = append(r.pids, pid)
	if err := sleep(ctx, time.Second); err != nil { // QEMU cannot set up a TAP that has left already
		return err
	}
	return r.handOverTAPs(ctx, kind, names)
}

// foreignPorts is what a switch of others is to make for its ports: TAPs of these names,
// or unix sockets at these paths.
func (r *rig) foreignPorts(ctx context.Context, c cable) (kind string, names [2]string, err error) {
	if c.name == "tap" {
		return "tap", handed, nil
	}
	ends, err := c.attach(ctx, r)
	for i, e := range ends {
		names[i] = strings.TrimPrefix(e.Name, "unix:")
	}
	return "socket", names, err
}

func (r *rig) handOverTAPs(ctx context.Context, kind string, names [2]string) error {
	if kind != "tap" {
		return nil
	}
	return r.handOver(ctx, names)
}

// buildGVisor is the switch of gvisor-tap-vsock. Its program is a module of its own that
// is built here, which at the first time takes a while and what it needs from the network.
func buildGVisor(ctx context.Context, r *rig, c cable) error {
	program := filepath.Join(r.dir, "gvswitch")
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/ddfb540f/bridge").Output()
	if err != nil {
		return fmt.Errorf("where is the source of this program? %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "internal", "e2ebench", "peers", "gvswitch")
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-C", source, "-o", program, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	kind, names, err := r.foreignPorts(ctx, c)
	if err != nil {
		return err
	}
	pid, err := r.start(program, kind, names[0], names[1])
	if err != nil {
		return err
	}
	r.pids = append(r.pids, pid)
	// Each TAP or socket has to be there, and its handler too: it says so.
	err = await(ctx, func() error {
		log, err := os.ReadFile(filepath.Join(r.dir, "gvswitch.log"))
		if err == nil && !strings.Contains(string(log), "ready") {
			err = fmt.Errorf("not ready: %s", log)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.handOverTAPs(ctx, kind, names)
}

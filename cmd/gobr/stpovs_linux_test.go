package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// ovsSchema is the layout of Open vSwitch's database, where its package puts it.
const ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"

// openVSwitch is an Open vSwitch of a test's own: its daemons run in the namespace of a
// tree, with files of their own, and forward in user space.
type openVSwitch struct {
	tr  *tree
	dir string
	mu  sync.Mutex // guards log
	log bytes.Buffer
}

func (o *openVSwitch) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log.Write(b)
}

func needsOVS(t *testing.T) {
	t.Helper()
	netnstest.Needs(t, "ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl")
}

// newOVS starts the daemons, which the end of the test ends.
func (tr *tree) newOVS() *openVSwitch {
	tr.t.Helper()
	needsOVS(tr.t)
	dir := netnstest.SharedDir(tr.t) // a short path: it is that of sockets
	o := &openVSwitch{tr: tr, dir: dir}
	_, err := tr.mid.Run("ovsdb-tool", "create", o.path("conf.db"), ovsSchema)
	require.NoError(tr.t, err)
	o.daemon("ovsdb-server", o.path("conf.db"), "--remote=p"+o.db())
	o.awaitFile("db.sock")
	o.vsctl("--no-wait", "init")
	o.daemon("ovs-vswitchd", o.db())
	o.awaitFile("ovs-vswitchd.ctl")
	return o
}

func (o *openVSwitch) path(name string) string { return filepath.Join(o.dir, name) }
func (o *openVSwitch) db() string              { return "unix:" + o.path("db.sock") }

// daemon starts a daemon that the end of the test kills.
func (o *openVSwitch) daemon(name string, args ...string) {
	o.tr.t.Helper()
	cmd := exec.Command(name, append(args, "--unixctl="+o.path(name+".ctl"), "-vconsole:warn", "-vsyslog:off")...)
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+o.dir, "OVS_LOGDIR="+o.dir, "OVS_DBDIR="+o.dir, "OVS_SYSCONFDIR="+o.dir)
	cmd.Stdout, cmd.Stderr = o, o
	require.NoError(o.tr.t, o.tr.mid.Start(cmd))
	o.tr.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (o *openVSwitch) awaitFile(name string) {
	o.tr.t.Helper()
	eventually(o.tr.t, func() bool {
		_, err := os.Stat(o.path(name))
		return err == nil
	}, func() string {
		o.mu.Lock()
		defer o.mu.Unlock()
		return "no " + name + ": " + o.log.String()
	})
}

// vsctl changes the configuration, and waits until the daemon has taken it up.
func (o *openVSwitch) vsctl(args ...string) {
	o.tr.t.Helper()
	_, err := o.tr.mid.Run("ovs-vsctl", append([]string{"--db=" + o.db(), "-t", "30"}, args...)...)
	require.NoError(o.tr.t, err)
}

// show is what the daemon says of the spanning tree of a bridge.
func (o *openVSwitch) show(name string) string {
	o.tr.t.Helper()
	out, err := o.tr.mid.Run("ovs-appctl", "-T", "30", "-t", o.path("ovs-vswitchd.ctl"), "rstp/show", name)
	require.NoError(o.tr.t, err)
	return out
}

// ovsBridge is a bridge of Open vSwitch with RSTP.
type ovsBridge struct {
	*openVSwitch
	name string
}

// rstpForwardDelay is the shortest that Open vSwitch has, in seconds.
const rstpForwardDelay = 4

func (tr *tree) addOVS(o *openVSwitch) {
	n := len(tr.bridges) + 1
	b := ovsBridge{o, fmt.Sprintf("br%d", n)}
	args := []string{"add-br", b.name, "--", "set", "bridge", b.name, "datapath_type=netdev", "rstp_enable=true",
		"other_config:hwaddr=" + "\"" + treeBridgeMAC(n) + "\"", "other_config:rstp-address=" + "\"" + treeBridgeMAC(n) + "\"",
		fmt.Sprintf("other_config:rstp-priority=%d", treePriority(n)),
		fmt.Sprintf("other_config:rstp-max-age=%d", treeMaxAge), fmt.Sprintf("other_config:rstp-forward-delay=%d", rstpForwardDelay)}
	for i, p := range tr.ports(n) {
		args = append(args, "--", "add-port", b.name, p, "--", "set", "port", p, fmt.Sprintf("other_config:rstp-port-num=%d", i+1))
	}
	o.vsctl(args...)
	tr.add(b)
}

var ovsPort = regexp.MustCompile(`(?m)^ +(\S+) +(Root|Designated|Alternate|Backup|Disabled) +(\w+) +\d+ +\d+\.\d+ *$`)

func (b ovsBridge) states(t *testing.T) map[string]string {
	t.Helper()
	states := map[string]string{}
	for _, m := range ovsPort.FindAllStringSubmatch(b.show(b.name), -1) {
		word := map[string]string{"Discarding": "blocking", "Learning": "learning", "Forwarding": "forwarding"}[m[3]]
		if m[2] == "Disabled" {
			word = "disabled"
		}
		states[m[1]] = word
	}
	return states
}

// ovsTimers are those of Open vSwitch, as flags. Its hello time is always 2 s.
var ovsTimers = []string{"--hello-time", "2", "--max-age", strconv.Itoa(treeMaxAge), "--forward-delay", strconv.Itoa(rstpForwardDelay)}

// ovsCost is the path cost that Open vSwitch gives a veth.
const ovsCost = 2000

// addGobrAmongOVS adds a gobr with the costs of Open vSwitch, which are not those of Linux,
// but those of RSTP.
func (tr *tree) addGobrAmongOVS(kind string) *gobrBridge {
	args := slices.Clone(ovsTimers)
	for _, p := range tr.ports(len(tr.bridges) + 1) {
		if kind == "rstp" {
			break
		}
		args = append(args, "--port", fmt.Sprintf("%s=cost=%d", p, ovsCost))
	}
	return tr.addGobr(kind, args...)
}

// A gobr in the place of any bridge of Open vSwitch makes the same tree with the others,
// also one that speaks 802.1D: they notice, and speak it too where they meet it.
func TestSpanningTreeWithOpenVSwitch(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the others' timers do")
	}
	needsOVS(t)
	type made struct {
		tree    *tree
		bridges int
		gobr    *gobrBridge // nil: Open vSwitch alone
	}
	var all []made
	var trees []*tree
	add := func(bridges, ours int, kind string) {
		name := fmt.Sprintf("%d bridges, gobr with %s is bridge %d", bridges, kind, ours)
		if ours == 0 {
			name = fmt.Sprintf("%d bridges, all of Open vSwitch", bridges)
		}
		m := made{tree: newTree(t, name, treeCables[bridges]...), bridges: bridges}
		o := m.tree.newOVS()
		for n := 1; n <= bridges; n++ {
			if n == ours {
				m.gobr = m.tree.addGobrAmongOVS(kind)
			} else {
				m.tree.addOVS(o)
			}
		}
		all, trees = append(all, m), append(trees, m.tree)
	}
	for _, bridges := range []int{2, 3} {
		add(bridges, 0, "")
	}
	add(3, 1, "stp")
	add(3, 3, "stp")
	for ours := 1; ours <= 3; ours++ {
		add(3, ours, "rstp")
	}
	add(2, 1, "rstp")
	add(2, 2, "rstp")
	lives := live(t, trees)
	for i, m := range all {
		if m.gobr != nil {
			assert.Equal(t, lives[m.bridges-2], lives[i], m.tree.name)
			assert.Contains(t, m.gobr.report(t), "root "+treeBridgeID(1), m.tree.name)
		}
	}
	require.Equal(t, "blocking", lives[0][0]["p2b"])
	require.Equal(t, "blocking", lives[1][0]["p3c"])
}

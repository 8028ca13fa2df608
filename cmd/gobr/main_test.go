package main

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

// asGobr makes the test binary be gobr, so that a test can start it as a program.
const asGobr = "GOBR_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asGobr) != "" {
		os.Exit(asProgram())
	}
	leaktest.Main(m)
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"run", "-h"}, {"run", "--tap", "a", "--help"}} {
		var out, errs strings.Builder
		assert.Equal(t, exitOK, run(t.Context(), args, &out, &errs), args)
		assert.Equal(t, usage, out.String(), args)
		assert.Empty(t, errs.String(), args)
	}
	var out, errs strings.Builder
	assert.Equal(t, exitUsage, run(t.Context(), nil, &out, &errs))
	assert.Equal(t, usage, errs.String())
	assert.Empty(t, out.String())
}

// The help names every flag that there is, and no other.
func TestHelpIsComplete(t *testing.T) {
	for line := range strings.Lines(usage) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
		_, err := parseRun([]string{"--" + name})
		if err != nil {
			assert.NotContains(t, err.Error(), "not defined", name)
		}
	}
	var p parser
	p.fs = flag.NewFlagSet("run", flag.ContinueOnError)
	p.define()
	p.fs.VisitAll(func(f *flag.Flag) { assert.Contains(t, usage, "\n  --"+f.Name+" ", f.Name) })
	for _, x := range slices.Concat(mcastTable, vlanMcastTable) {
		assert.Contains(t, strings.ReplaceAll(usage, "\n", " "), " "+x.name+"=", x.name)
	}
	for _, x := range portTable {
		assert.Contains(t, strings.ReplaceAll(usage, "\n", " "), " "+x.name+"=", x.name)
	}
}

// A wrong command line is answered with status 2, a thing that cannot be done with
// status 1, both with one line on the standard error.
func TestComplaints(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"walk", exitUsage, `no command "walk"`},
		{"run", exitUsage, "--tap NAME"},
		{"run --tap", exitUsage, "needs an argument: -tap"},
		{"run --tap @a", exitUsage, "the name is missing"},
		{"run --tap a@", exitUsage, "network namespace behind @ is missing"},
		{"run --tap a --tap a@b", exitUsage, "a port of this name already"},
		{"run --tap br0", exitUsage, "that is the bridge's name"},
		{"run --tap a --host a", exitUsage, "that is the host's TAP"},
		{"run --tap a --host h --host i", exitUsage, "one host only"},
		{"run --tap a --name=", exitUsage, "--name"},
		{"run --tap a --mtu 67", exitUsage, "not between 68 and 65521"},
		{"run --tap a --mtu 65522", exitUsage, "not between 68 and 65521"},
		{"run --tap a --ageing -1", exitUsage, "--ageing -1"},
		{"run --tap a --ageing soon", exitUsage, "-ageing"},
		{"run --tap a b", exitUsage, `"b" is no flag`},
		{"run --tap a --speed 9", exitUsage, "-speed"},
		{"run --raw a --raw a@b", exitUsage, "--raw a@/run/netns/b: there is a port of this name already"},
		{"run --raw a --tap a", exitUsage, "--tap a: there is a port of this name already"},
		{"run --raw vm%d", exitUsage, "without %"},
		{"run --raw br0", exitUsage, "that is the bridge's name"},
		{"run --host h", exitUsage, "--raw NAME"},
		{"run --tap a --address 01:00:00:00:00:01", exitUsage, "not the address of a station"},
		{"run --tap a --address here", exitUsage, "-address"},
		{"run --tap a --fdb-limit 0", exitUsage, "not between 1 and 16777216"},
		{"run --tap a --group-fwd-mask 65536", exitUsage, "a mask of 16 bits"},
		{"run --tap a --group-fwd-mask 4", exitUsage, "bits 0 to 2"},
		{"run --tap a --vlan-protocol 802.3", exitUsage, "neither 802.1Q nor 802.1ad"},
		{"run --tap a --vlan-default-pvid 4095", exitUsage, "not between 0 and 4094"},
		{"run --tap a --vlan-filtering=false --vlan a=10", exitUsage, "--vlan: it has no effect with --vlan-filtering=false"},
		{"run --tap a --mcast-snooping=false --mcast-querier", exitUsage, "--mcast-querier: it has no effect with --mcast-snooping=false"},
		{"run --tap a --mcast-snooping=false --mcast router=2", exitUsage, "--mcast: it has no effect with --mcast-snooping=false"},
		{"run --tap a --mcast speed=9", exitUsage, "speed=9: there is no such option"},
		{"run --tap a --mcast igmp_version=1", exitUsage, "igmp_version=1: not a number from 2 to 3"},
		{"run --tap a --mcast query_interval=0.5", exitUsage, "query_interval=0.5: not a number of seconds from 1 to 86400"},
		{"run --tap a --mcast membership_interval=NaN", exitUsage, "membership_interval=NaN: not a number of seconds from 0 to 86400"},
		{"run --tap a --mcast query_use_ifaddr=yes", exitUsage, "neither on nor off"},
		{"run --tap a --vlan a", exitUsage, "it is not PORT="},
		{"run --tap a --vlan a=0", exitUsage, `--vlan a=0: "0" is no VLAN id from 1 to 4094`},
		{"run --tap a --vlan a=1 --vlan a=2", exitUsage, "--vlan a=2: a has its VLANs already"},
		{"run --tap a --vlan b=1", exitUsage, `--vlan b=1: there is no port "b"`},
		{"run --tap a --vlan br0=1", exitUsage, "it has no host"},
		{"run --tap a --port a=", exitUsage, "it is not PORT="},
		{"run --tap a --port b=hairpin", exitUsage, `--port b=hairpin: there is no port "b"`},
		{"run --tap a --port a=speed=9", exitUsage, "--port a=speed=9: there is no such option"},
		{"run --tap a --port a=hairpin=maybe", exitUsage, "--port a=hairpin=maybe: neither on nor off"},
		{"run --tap a --port a=hairpin,cost=0", exitUsage, "--port a=cost=0: not a number from 1 to 65535"},
		{"run --tap a --port a=state=up", exitUsage, "--port a=state=up: not disabled, listening"},
		{"run --tap a --port a=group_fwd_mask=2", exitUsage, "bit 1 (pause)"},
		{"run --tap a --port a=group_fwd_mask=x", exitUsage, "a mask of 16 bits"},
		{"run --tap a --port a=backup_port", exitUsage, "the name of a port is missing"},
		{"run --tap a --port a=backup_port=b", exitUsage, `--port a=backup_port=b: there is no other port "b"`},
		{"run --tap a --port a=backup_port=a", exitUsage, `there is no other port "a"`},
		{"run --tap a --port a=rcvbuf=9999", exitUsage, "--port a=rcvbuf=9999: that is no option of a TAP"},
		{"run --raw a --port a=mtu=1400", exitUsage, "that is no option of an interface named with --raw"},
		{"run --raw a --port a=offload=off", exitUsage, "that is no option of an interface named with --raw"},
		{"run --tap a --host h --port br0=hairpin", exitUsage, "--port br0=hairpin: that is no option of the host"},
		{"run --tap a --stp on", exitUsage, "--stp on: neither off, stp nor rstp"},
		{"run --tap a --stp stp --tx-hold-count 3", exitUsage, "--tx-hold-count: it has no effect without --stp rstp"},
		{"run --tap a --stp rstp --tx-hold-count 11", exitUsage, "--tx-hold-count 11: not between 1 and 10"},
		{"run --tap a --stp rstp --port a=point_to_point=maybe", exitUsage, "neither auto, yes nor no"},
		{"run --tap a --stp rstp --port a=path_cost=200000001", exitUsage, "not a number from 1 to 200000000"},
		{"run --tap a --priority 5", exitUsage, "--priority: it has no effect without --stp"},
		{"run --tap a --stp off --max-age 10", exitUsage, "--max-age: it has no effect without --stp"},
		{"run --tap a --stp stp --priority 65536", exitUsage, "--priority 65536: not between 0 and 65535"},
		{"run --tap a --stp stp --hello-time 0", exitUsage, "--hello-time 0: not between 1 and 10"},
		{"run --tap a --stp stp --max-age 5", exitUsage, "--max-age 5: not between 6 and 40"},
		{"run --tap a --stp stp --forward-delay 31", exitUsage, "--forward-delay 31: not between 2 and 30"},
		{"run --tap a --stp stp --port a=state=blocking", exitUsage, "--port a=state=blocking: the spanning tree decides that"},
		{"run --tap a --loop-probe on", exitUsage, "neither off, report nor hold"},
		{"run --tap a --loop-probe off,every=1", exitUsage, "off has no options"},
		{"run --tap a --loop-probe hold,every=0", exitUsage, "every=0: not a number from 1 to 86400"},
		{"run --tap a --loop-probe hold,for=2", exitUsage, "neither every=SECONDS nor hold=SECONDS"},
		{"run --tap a --loop-probe report,hold=2", exitUsage, "report holds no port"},
		{"run --tap a --port a=loop_keep=never", exitUsage, "--port a=loop_keep=never: neither on nor off"},
		{"run --tap a/b", exitFailure, "slash"},
		{"run --host a/b --tap c", exitFailure, "slash"},
	} {
		var out, errs strings.Builder
		assert.Equal(t, c.status, run(t.Context(), strings.Fields(c.args), &out, &errs), c.args)
		assert.Empty(t, out.String(), c.args)
		line, ok := strings.CutPrefix(errs.String(), "gobr: ")
		assert.True(t, ok, errs.String())
		assert.Contains(t, line, c.says)
		assert.Equal(t, 1, strings.Count(line, "\n"), line)
		assert.True(t, strings.HasSuffix(line, "\n"), line)
	}
}

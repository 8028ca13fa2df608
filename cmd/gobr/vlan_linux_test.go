package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// member is a host in a VLAN.
type member struct {
	host
	vid int
}

// hasVLANs says whether this kernel can put a VLAN device on an interface.
func (ns netns) hasVLANs(t *testing.T) bool {
	t.Helper()
	err := ns.command("ip", "link", "add", "link", "lo", "name", "probe", "type", "vlan", "id", "1")
	if err == nil {
		ns.ip(t, "link del probe")
	}
	return err == nil
}

// vlansOn gives a new host, from the nth on, for each VLAN that trunk's interface
// carries with tags of the protocol: by VLAN devices, or where the kernel has none,
// by another gobr that takes the tags off.
func vlansOn(t *testing.T, n int, trunk host, protocol string, vids ...int) (members []member) {
	t.Helper()
	args := []string{"run", "--vlan-protocol", protocol, "--raw", trunk.dev + "@" + trunk.Path()}
	tagged := "trunk:"
	for i, vid := range vids {
		h := newHost(t, n+i, fmt.Sprintf("%s.%d", trunk.dev, vid))
		members = append(members, member{h, vid})
		args = append(args, "--tap", h.dev+"@"+h.Path(), "--vlan", fmt.Sprintf("%s=access:%d", h.dev, vid))
		tagged += fmt.Sprintf("%d,", vid)
	}
	if trunk.hasVLANs(t) {
		for _, m := range members {
			trunk.ip(t, fmt.Sprintf("link add link %s name %s type vlan protocol %s id %d", trunk.dev, m.dev, protocol, m.vid))
			trunk.ip(t, "link set "+m.dev+" netns "+m.Path())
			m.ip(t, "link set "+m.dev+" up")
		}
		return members
	}
	gobr, first := start(t, append(args, "--vlan", trunk.dev+"="+strings.TrimSuffix(tagged, ","))...)
	require.Contains(t, first, "bridges "+trunk.dev, gobr.stderr())
	return members
}

// meet checks that each member reaches those of its VLAN, and no other.
func meet(t *testing.T, members []member) {
	t.Helper()
	var all sync.WaitGroup
	for _, from := range members {
		for _, to := range members {
			if from == to {
				continue
			}
			for _, ip := range []string{to.ip4, to.ip6} {
				all.Go(func() {
					assert.Equal(t, from.vid == to.vid, from.reaches(ip), "%s in VLAN %d to %s in VLAN %d at %s", from.dev, from.vid, to.dev, to.vid, ip)
				})
			}
		}
	}
	all.Wait()
}

// Access ports and trunks, TAPs and raw sockets, and the host as a member: who is
// in a VLAN reaches the others in it, and nobody else.
func TestVLANsThroughGobr(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping", "iperf3")
	mid := newNetns(t)
	tap10, eth10, eth20 := newHost(t, 1, "tap10"), newHost(t, 2, "eth10"), newHost(t, 3, "eth20")
	br0 := newHost(t, 4, "br0")
	tapTrunk, ethTrunk := newHost(t, 5, "trunk0"), newHost(t, 6, "trunk1")
	eth10.plug(t, mid, "veth10")
	eth20.plug(t, mid, "veth20")
	ethTrunk.plug(t, mid, "vtrunk")
	gobr, first := start(t, "run", "--host", "br0@"+br0.Path(), "--tap", "tap10@"+tap10.Path(), "--tap", "trunk0@"+tapTrunk.Path(),
		"--raw", "veth10@"+mid.Path(), "--raw", "veth20@"+mid.Path(), "--raw", "vtrunk@"+mid.Path(),
		"--vlan", "tap10=access:10", "--vlan", "veth10=10:pvid:untagged", "--vlan", "veth20=access:20", "--vlan", "br0=access:20",
		"--vlan", "trunk0=trunk:10-20", "--vlan", "vtrunk=trunk:10,20,native:30", "--vlan-default-pvid", "0")
	require.Contains(t, first, "br0 bridges tap10, trunk0, veth10, veth20, vtrunk; the host is at br0", gobr.stderr())
	onTAP := vlansOn(t, 7, tapTrunk, "802.1Q", 10, 20, 21)
	onEth := vlansOn(t, 10, ethTrunk, "802.1Q", 10, 20)
	members := append([]member{{tap10, 10}, {eth10, 10}, {eth20, 20}, {br0, 20}, {ethTrunk, 30}}, onTAP...)
	members = append(members, onEth...)
	for _, m := range members {
		m.address(t)
	}
	meet(t, members)
	tapVLAN10, ethVLAN10, ethVLAN20 := onTAP[0], onEth[0], onEth[1]
	var xs []transfer
	for i, pair := range [][2]host{
		{tap10, ethVLAN10.host}, {ethVLAN10.host, tap10}, {tapVLAN10.host, ethVLAN10.host}, {eth10, tapVLAN10.host},
		{ethVLAN20.host, br0}, {eth20, ethVLAN20.host},
	} {
		xs = append(xs, transfer{from: pair[0], to: pair[1], ip: pair[1].ip4, port: 5201 + i},
			transfer{from: pair[0], to: pair[1], ip: pair[1].ip6, port: 5301 + i, udp: true})
	}
	runAll(t, xs)
	_, out := gobr.end(t, os.Interrupt)
	balanced(t, out)
	neverFull(t, out, "br0|tap10|trunk0")
	assert.Empty(t, gobr.stderr())
	assert.Regexp(t, `(?m)^[0-9a-f:]{17}  10 +vtrunk +dynamic `, out)
	assert.Regexp(t, `(?m)^[0-9a-f:]{17}  20 +trunk0 +dynamic `, out)
}

// The same with the tags of provider bridges, in which those of customers travel.
func TestProviderVLANs(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "ip", "ping")
	mid := newNetns(t)
	trunks := []host{newHost(t, 1, "tap0"), newHost(t, 2, "eth0")}
	trunks[1].plug(t, mid, "veth0")
	gobr, first := start(t, "run", "--tap", "tap0@"+trunks[0].Path(), "--raw", "veth0@"+mid.Path(), "--vlan-protocol", "802.1ad",
		"--vlan", "tap0=trunk:10,20", "--vlan", "veth0=trunk:10,30")
	require.Contains(t, first, "br0 bridges tap0, veth0", gobr.stderr())
	var members []member
	for i, trunk := range trunks {
		outer := vlansOn(t, 10*(i+1), trunk, "802.1ad", 10, 20, 30)
		inner := vlansOn(t, 100+10*i, outer[0].host, "802.1Q", 7)
		outer[1].vid += 1000 * i // only one side is in it
		outer[2].vid += 1000 * i
		members = append(members, inner[0], outer[1], outer[2])
	}
	for _, m := range members {
		m.address(t)
	}
	meet(t, members)
	_, out := gobr.end(t, os.Interrupt)
	balanced(t, out)
	assert.Empty(t, gobr.stderr())
}

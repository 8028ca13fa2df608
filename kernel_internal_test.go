package bridge

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

// releaseRules is every rule that changed between releases: since when it holds,
// and what it does, so that it can be seen on both sides.
var releaseRules = map[string]struct {
	since Kernel
	holds func(t *testing.T, b *Bridge, p *Port) bool
}{
	"mab": {Linux6_2, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, p.Set(PortAttrs{MAB: new(true), Locked: new(true)}))
		require.NoError(t, p.Receive(learnFrame(testMAC(1))))
		e, noted := b.FDB().Lookup(testMAC(1), 0)
		assert.Equal(t, noted, e.Locked)
		assert.Equal(t, noted, p.Info().MAB)
		return noted
	}},
	"lockedEAPOL": {Linux6_2, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, p.Set(PortAttrs{Locked: new(true)}))
		eapol := learnFrame(testMAC(1))
		eapol.Data = append(eapol.Data[:12:12], 0x88, 0x8e)
		require.NoError(t, p.Receive(eapol))
		_, learned := b.FDB().Lookup(testMAC(1), 0)
		return learned
	}},
	"mcastSources": {Linux6_3, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, b.Set(BridgeAttrs{McastSnooping: new(true)}))
		r := MDBRequest{Port: p, Group: netip.MustParseAddr("239.1.1.1"), Mode: MDBInclude, Sources: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
		err := b.AddMDB(r)
		if err != nil {
			assert.ErrorIs(t, err, EINVAL)
		}
		assert.Equal(t, err == nil, len(b.MDB()) > 0)
		return err == nil
	}},
	"mcastHostReplace": {Linux6_18, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, b.Set(BridgeAttrs{McastSnooping: new(true)}))
		r := MDBRequest{Group: netip.MustParseAddr("239.1.1.1")}
		require.NoError(t, b.AddMDB(r))
		assert.ErrorIs(t, b.AddMDB(r), EEXIST)
		r.Replace = true
		return b.AddMDB(r) == nil
	}},
	"mcastDumpOff": {Linux6_18, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, b.Set(BridgeAttrs{McastSnooping: new(true)}))
		require.NoError(t, b.AddMDB(MDBRequest{Port: p, Group: netip.MustParseAddr("239.1.1.1"), Permanent: true}))
		require.NoError(t, b.Set(BridgeAttrs{McastSnooping: new(false)}))
		return len(b.MDB()) == 1
	}},
	"maxGroups": {Linux6_3, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, p.Set(PortAttrs{McastMaxGroups: new(uint32(7))}))
		return p.Info().McastMaxGroups == 7
	}},
	"neighVLAN": {Linux6_4, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, p.Set(PortAttrs{NeighVLANSuppress: new(true)}))
		return p.Info().NeighVLANSuppress
	}},
	"backupNexthop": {Linux6_6, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, p.Set(PortAttrs{BackupNexthopID: new(uint32(7))}))
		return p.Info().BackupNexthopID == 7
	}},
	"maxLearned": {Linux6_7, func(t *testing.T, b *Bridge, p *Port) bool {
		require.NoError(t, b.Set(BridgeAttrs{FDBMaxLearned: new(uint32(1))}))
		require.NoError(t, p.Receive(learnFrame(testMAC(1)), learnFrame(testMAC(2))))
		refused := b.FDB().Learned() == 1
		assert.Equal(t, refused, b.Info().FDBMaxLearned == 1)
		return refused
	}},
	"localVLAN0": {Linux6_18, func(t *testing.T, b *Bridge, p *Port) bool {
		err := b.Set(BridgeAttrs{FDBLocalVLAN0: new(true)})
		_, inVLAN1 := b.FDB().Lookup(p.Info().Address, 1)
		assert.Equal(t, err == nil, !inVLAN1)
		if err != nil {
			assert.ErrorIs(t, err, EINVAL)
		}
		return err == nil
	}},
	"neighProbes": {Linux6_2, func(t *testing.T, b *Bridge, p *Port) bool {
		return !answersARP(t, b, p, frame.Broadcast, [4]byte{})
	}},
	"neighUnicast": {Linux6_15, func(t *testing.T, b *Bridge, p *Port) bool {
		return !answersARP(t, b, p, testMAC(9), [4]byte{192, 0, 2, 1})
	}},
}

// answersARP reports whether the bridge answers a request that comes in by p, to an
// Ethernet address and from an IP address, for a neighbour behind a suppressing port.
func answersARP(t *testing.T, b *Bridge, p *Port, to frame.MAC, from [4]byte) bool {
	q := testPort(t, b, "q", PortConfig{Attrs: PortAttrs{NeighSuppress: new(true)}})
	require.NoError(t, q.Receive(learnFrame(testMAC(9))))
	src := testMAC(1)
	d := append(append(to[:], src[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	d = append(append(append(d, src[:]...), from[:]...), 0, 0, 0, 0, 0, 0, 192, 0, 2, 9)
	require.NoError(t, p.Receive(frame.Frame{Data: d}))
	return p.Stats().TxPackets > 0
}

// Every field of rules is a rule in the table, and no rule is without a field.
func TestEveryReleaseRule(t *testing.T) {
	fields := reflect.TypeFor[rules]()
	assert.Equal(t, fields.NumField(), len(releaseRules))
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		rule, ok := releaseRules[name]
		if !assert.True(t, ok, "releaseRules does not show what rules.%s does", name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for k := KernelNewest; k <= Linux6_18; k++ {
				host := new(HostTable)
				host.SetNeighbour(0, netip.MustParseAddr("192.0.2.9"), Neighbour{MAC: testMAC(9)})
				b := testBridge(t, Config{Kernel: k, Host: host})
				p := testPort(t, b, "p", PortConfig{})
				assert.Equal(t, k == KernelNewest || k >= rule.since, rule.holds(t, b, p), "Linux %s", k)
			}
		})
	}
}

// A backup port takes over from a port that is administratively down in every
// release: Linux 6.18 brought it, and 6.1.192 was recorded doing it.
func TestBackupOfPortThatIsDown(t *testing.T) {
	for _, k := range []Kernel{Linux6_1, Linux6_17, Linux6_18, KernelNewest} {
		b := testBridge(t, Config{Kernel: k})
		p, q, r := testPort(t, b, "p", PortConfig{}), testPort(t, b, "q", PortConfig{}), testPort(t, b, "r", PortConfig{})
		require.NoError(t, b.FDB().Update(FDBRequest{Port: q, MAC: testMAC(1), State: NUDNoARP}))
		require.NoError(t, q.Set(PortAttrs{BackupPort: new("r")}))
		require.NoError(t, q.SetLink(false, true))
		f := learnFrame(testMAC(2))
		to := testMAC(1)
		copy(f.Data, to[:])
		require.NoError(t, p.Receive(f))
		assert.EqualValues(t, 1, r.Stats().TxPackets, "Linux %s", k)
	}
}

func TestParseKernel(t *testing.T) {
	for release, want := range map[string]Kernel{
		"6.1": Linux6_1, "6.1.192-exacttimers": Linux6_1, "6.12.107+deb12-amd64": Linux6_12, "6.18.44": Linux6_18,
		"6.18-rc1": Linux6_18, "6.19.0": KernelNewest, "7.0.1": KernelNewest, "10.2": KernelNewest,
	} {
		k, err := ParseKernel(release)
		assert.NoError(t, err, release)
		assert.Equal(t, want, k, release)
	}
	for _, release := range []string{"", "6", "6.", "6.0.1", "5.15.0", "a.b", "6.x", "-6.1", "6.-1"} {
		_, err := ParseKernel(release)
		assert.Error(t, err, "%q", release)
	}
	for k := Linux6_1; k <= Linux6_18; k++ {
		again, err := ParseKernel(k.String())
		assert.NoError(t, err)
		assert.Equal(t, k, again)
	}
	assert.Equal(t, "newest", KernelNewest.String())
	assert.Equal(t, "newest", Kernel(200).String())
}

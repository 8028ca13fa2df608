package replay

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// recordings are all recorded scenarios, read once; tests change clones.
var recordings = sync.OnceValue(func() []*Scenario { return Read("../testdata") })

func readAll(t *testing.T) []*Scenario {
	t.Helper()
	all := recordings()
	require.NotEmpty(t, all)
	for _, s := range all {
		require.Nil(t, s.Damage)
	}
	return all
}

func clone(t *testing.T, s *Scenario) *Scenario {
	t.Helper()
	line, err := json.Marshal(s)
	require.NoError(t, err)
	c, err := decode(line)
	require.NoError(t, err)
	return c
}

// TestClone: the way in which these tests copy a record loses nothing.
func TestClone(t *testing.T) {
	for _, s := range readAll(t) {
		require.True(t, reflect.DeepEqual(s, clone(t, s)), s.Name)
	}
}

// spare are clones that no damage was done to yet; making them takes most of the time.
var spare = map[*Scenario]*Scenario{}

// damaged applies damage to the first step it takes, of the first scenario that
// has one and passes, and expects the difference there. damage changes nothing
// where it answers false.
func damaged(t *testing.T, damage func(*Step) bool) *Difference {
	t.Helper()
	for _, s := range readAll(t) {
		c := spare[s]
		if c == nil {
			c = clone(t, s)
			spare[s] = c
		}
		i := slices.IndexFunc(indices(c.Steps), func(i int) bool { return damage(&c.Steps[i]) })
		if i < 0 {
			continue
		}
		delete(spare, s)
		if Run(s, Options{}) != nil {
			continue
		}
		d := Run(c, Options{})
		require.NotNil(t, d, "%s: steps[%d]: the damage does not show", s.Name, i)
		assert.Equal(t, i, d.Step, "the damage shows elsewhere: %v", d)
		return d
	}
	t.Fatal("no passing scenario has such a step")
	return nil
}

func indices(steps []Step) []int {
	is := make([]int, len(steps))
	for i := range is {
		is[i] = i
	}
	return is
}

// firstOut is a device of the step with at least n frames.
func firstOut(s *Step, n int) (string, bool) {
	for _, name := range slices.Sorted(maps.Keys(s.Out)) {
		if len(s.Out[name]) >= n {
			return name, true
		}
	}
	return "", false
}

func flip(text string, at int) string {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	data[at] ^= 1
	return hex.EncodeToString(data)
}

func TestDamagedFrames(t *testing.T) {
	for name, damage := range map[string]func(*Step, string){
		"first byte flipped": func(s *Step, p string) { s.Out[p][0] = flip(s.Out[p][0], 0) },
		"last byte flipped":  func(s *Step, p string) { f := s.Out[p][0]; s.Out[p][0] = flip(f, len(f)/2-1) },
		"byte missing":       func(s *Step, p string) { f := s.Out[p][0]; s.Out[p][0] = f[:len(f)-2] },
		"byte more":          func(s *Step, p string) { s.Out[p][0] += "00" },
		"frame missing":      func(s *Step, p string) { s.Out[p] = s.Out[p][1:] },
		"device missing":     func(s *Step, p string) { delete(s.Out, p) },
		"frame more":         func(s *Step, p string) { s.Out[p] = append(s.Out[p], s.Out[p][0]) },
		"device more":        func(s *Step, p string) { s.Out["p0"] = s.Out[p] },
	} {
		t.Run(name, func(t *testing.T) {
			d := damaged(t, func(s *Step) bool {
				p, ok := firstOut(s, 1)
				if ok {
					damage(s, p)
				}
				return ok
			})
			assert.Contains(t, d.Text, "frame")
		})
	}
}

// TestEveryFrameCounts flips a byte of each recorded frame of the hand-written
// basic scenarios in turn, and leaves each out in turn.
func TestEveryFrameCounts(t *testing.T) {
	tried := 0
	for _, s := range readAll(t) {
		if s.Family != "basic" || s.Origin != "hand" {
			continue
		}
		require.Nil(t, Run(s, Options{}))
		for i := range s.Steps {
			for name, frames := range s.Steps[i].Out {
				for k := range frames {
					tried++
					c := clone(t, s)
					out := c.Steps[i].Out
					if tried%2 == 0 {
						out[name][k] = flip(out[name][k], tried%14)
					} else {
						out[name] = slices.Delete(out[name], k, k+1)
					}
					d := Run(c, Options{TagAside: tried%3 == 0})
					require.NotNil(t, d, "%s: steps[%d] %s", s.Name, i, name)
					assert.Equal(t, i, d.Step, "%v", d)
				}
			}
		}
	}
	assert.Greater(t, tried, 200)
}

// refusal makes a damage that exchanges a recorded success or refusal.
func refusal(op string, recorded bool, to string) func(*Step) bool {
	return func(s *Step) bool {
		if s.Op != op || (s.Err != "") != recorded {
			return false
		}
		s.Err = to
		return true
	}
}

func TestDamagedRefusals(t *testing.T) {
	for _, op := range []string{"inject", "set-bridge", "set-port", "fdb-add", "fdb-del", "vlan-add"} {
		t.Run(op, func(t *testing.T) {
			d := damaged(t, refusal(op, true, ""))
			assert.Contains(t, d.Text, "expected success, came the refusal E")
			d = damaged(t, refusal(op, true, "EXDEV"))
			assert.Contains(t, d.Text, "expected the refusal EXDEV, came E")
			d = damaged(t, refusal(op, false, "EINVAL"))
			assert.Contains(t, d.Text, "expected the refusal EINVAL, came success")
		})
	}
}

func TestDamagedDumps(t *testing.T) {
	for name, damage := range map[string]func(*Step) bool{
		"fdb: port":          fdbDamage(func(e *FDBEntry) { e.Port = "p9" }),
		"fdb: state":         fdbDamage(func(e *FDBEntry) { e.State = "static" }),
		"fdb: VLAN":          fdbDamage(func(e *FDBEntry) { e.VLAN++ }),
		"fdb: address":       fdbDamage(func(e *FDBEntry) { e.MAC = "02:00:00:00:0c:01" }),
		"fdb: flag":          fdbDamage(func(e *FDBEntry) { e.Flags = []string{"sticky"} }),
		"fdb: line missing":  dumpDamage("dump-fdb", func(s *Step) { s.FDB = s.FDB[1:] }),
		"fdb: line more":     dumpDamage("dump-fdb", func(s *Step) { s.FDB = append(s.FDB, FDBEntry{}) }),
		"vlan: PVID":         vlanDamage(func(v *VLANEntry) { v.PVID = !v.PVID }),
		"vlan: untagged":     vlanDamage(func(v *VLANEntry) { v.Untagged = !v.Untagged }),
		"vlan: VID":          vlanDamage(func(v *VLANEntry) { v.VID++ }),
		"vlan: state":        vlanDamage(func(v *VLANEntry) { v.State = "blocking" }),
		"vlan: mcast_router": vlanDamage(func(v *VLANEntry) { v.McastRouter = new(2) }),
		"vlan: counter":      vlanDamage(func(v *VLANEntry) { v.Stats = map[string]uint64{"rx_packets": 99} }),
		"vlan: no device":    dumpDamage("dump-vlan", func(s *Step) { delete(s.VLANTable, hostName) }),
		"port: number":       tableDamage(portTableOf, "cost", Value{Num: 7}),
		"port: word":         tableDamage(portTableOf, "state", word("blocking")),
		"port: flag":         tableDamage(portTableOf, "learning", Value{Num: 9}),
		"port: unset":        tableDamage(portTableOf, "config_pending", Value{Num: 1}),
		"port: unknown":      tableDamage(portTableOf, "colour", Value{}),
		"port: missing":      dumpDamage("dump-port", func(s *Step) { clear(s.PortTable) }),
		"bridge: number":     tableDamage(bridgeTableOf, "ageing_time", Value{Num: 7}),
		"bridge: word":       tableDamage(bridgeTableOf, "bridge_id", word("0000.02:00:00:00:0b:00")),
		"bridge: unset":      tableDamage(bridgeTableOf, "root_port", Value{Num: 1}),
		"mst: instance more": dumpDamage("dump-mst", func(s *Step) {
			s.MSTTable["p1"] = append(s.MSTTable["p1"], MSTEntry{MSTI: 1, State: "forwarding"})
		}),
		"mdb: entry more": dumpDamage("dump-mdb", func(s *Step) {
			s.MDB = append(s.MDB, MDBEntry{Port: "p1", Group: "239.1.1.1"})
		}),
		"mdb: router port more": dumpDamage("dump-mdb", func(s *Step) {
			s.RouterPorts = append(s.RouterPorts, RouterPort{Port: "p1"})
		}),
		"stats: counter":        dumpDamage("dump-stats", func(s *Step) { s.Stats["p1"]["tx_bytes"]++ }),
		"stats: device missing": dumpDamage("dump-stats", func(s *Step) { delete(s.Stats, hostName) }),
	} {
		t.Run(name, func(t *testing.T) { damaged(t, damage) })
	}
}

func dumpDamage(op string, change func(*Step)) func(*Step) bool {
	return func(s *Step) bool {
		if s.Op != op {
			return false
		}
		change(s)
		return true
	}
}

func fdbDamage(change func(*FDBEntry)) func(*Step) bool {
	return func(s *Step) bool {
		if len(s.FDB) == 0 {
			return false
		}
		change(&s.FDB[len(s.FDB)-1])
		return true
	}
}

func vlanDamage(change func(*VLANEntry)) func(*Step) bool {
	return func(s *Step) bool {
		for _, name := range slices.Sorted(maps.Keys(s.VLANTable)) {
			if vs := s.VLANTable[name]; len(vs) > 0 {
				change(&vs[0])
				return true
			}
		}
		return false
	}
}

func portTableOf(s *Step) Attrs {
	for _, name := range slices.Sorted(maps.Keys(s.PortTable)) {
		return s.PortTable[name]
	}
	return nil
}

func bridgeTableOf(s *Step) Attrs { return s.BridgeTable }

func tableDamage(of func(*Step) Attrs, name string, v Value) func(*Step) bool {
	return func(s *Step) bool {
		a := of(s)
		if a == nil {
			return false
		}
		a[name] = v
		return true
	}
}

// TestDamagedOrder swaps two frames of one port. Between two observation points
// of a random stp scenario all frames are compared together, so a swap across
// steps has to show there too.
func TestDamagedOrder(t *testing.T) {
	all := readAll(t)
	i := slices.IndexFunc(all, func(s *Scenario) bool { return s.Name == "basic-learn-forward" })
	require.GreaterOrEqual(t, i, 0)
	s := clone(t, all[i])
	s.Family, s.Origin = "stp", "random"
	require.Nil(t, Run(s, Options{}), "one window around the scenario")

	type place struct{ step, at int }
	var seen []place
	for i := range s.Steps {
		for k := range s.Steps[i].Out["p2"] {
			seen = append(seen, place{i, k})
		}
	}
	require.GreaterOrEqual(t, len(seen), 2)
	a, b := &s.Steps[seen[0].step].Out["p2"][seen[0].at], &s.Steps[seen[1].step].Out["p2"][seen[1].at]
	require.NotEqual(t, *a, *b)
	*a, *b = *b, *a
	d := Run(s, Options{})
	require.NotNil(t, d)
	assert.Contains(t, d.Text, "between two observation points: p2: frame 1 of ")
}

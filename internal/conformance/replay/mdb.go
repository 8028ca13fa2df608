package replay

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

func (r *run) mdbAdd(t *Step) error {
	q, err := r.mdbRequest(t)
	if err != nil {
		return err
	}
	return r.b.AddMDB(q)
}

func (r *run) mdbDel(t *Step) error {
	q, err := r.mdbRequest(t)
	if err != nil {
		return err
	}
	return r.b.DeleteMDB(q)
}

func (r *run) mdbRequest(t *Step) (q bridge.MDBRequest, err error) {
	mode, ok := mdbModes[t.FilterMode]
	if !ok {
		return q, mismatchf("unknown filter mode %q in the record", t.FilterMode)
	}
	q.Mode, q.Replace = mode, t.Mode == "replace"
	for _, s := range t.SourceList {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return q, err
		}
		q.Sources = append(q.Sources, ip)
	}
	q.Port = r.target(t.Port)
	q.Permanent = t.State != nil && *t.State == "permanent"
	if t.VLAN != nil {
		q.VID = frame.VID(*t.VLAN)
	}
	if strings.Count(t.Group, ":") == 5 && len(t.Group) == 17 {
		q.GroupMAC, err = frame.ParseMAC(t.Group)
	} else {
		q.Group, err = netip.ParseAddr(t.Group)
	}
	if err == nil && t.Source != "" {
		q.Source, err = netip.ParseAddr(t.Source)
	}
	return q, err
}

var mdbModes = map[string]bridge.MDBMode{"": bridge.MDBModeNone, "include": bridge.MDBInclude, "exclude": bridge.MDBExclude}

// dumpMDB compares groups and bridge-wide router ports.
func (r *run) dumpMDB(t *Step) error {
	var want, got []mdbRow
	for _, e := range t.MDB {
		want = append(want, recordedMDB(e))
	}
	for _, e := range r.b.MDB() {
		got = append(got, mdbRowOf(e))
	}
	if err := diffRows(want, got); err != nil {
		return err
	}
	return r.diffRouters("", 0, t.RouterPorts)
}

// mdbRow is a row of the database: words that have to be equal, and times.
type mdbRow struct {
	text  string
	times []int // in seconds
}

// timerTolerance: a timer is dumped in whole seconds, some time after the step began.
const timerTolerance = 1

func diffRows(want, got []mdbRow) error {
	byText := func(a, b mdbRow) int { return strings.Compare(a.text, b.text) }
	slices.SortStableFunc(want, byText)
	slices.SortStableFunc(got, byText)
	lines := func(rows []mdbRow) (all []string) {
		for _, x := range rows {
			all = append(all, x.text)
		}
		return all
	}
	if err := diffLines(lines(want), lines(got)); err != nil {
		return err
	}
	for i, w := range want {
		for k, n := range w.times {
			if d := n - got[i].times[k]; d > timerTolerance || d < -timerTolerance {
				return mismatchf("%s: expected the timers %v s, came %v", w.text, w.times, got[i].times)
			}
		}
	}
	return nil
}

func mdbText(port, group, source string, vid uint16, permanent bool, flags []string, mode, proto string, sources []string) string {
	flags = slices.Sorted(slices.Values(flags))
	return fmt.Sprintf("%s src %q vlan %d dev %s permanent %v %v %s %v proto %q", group, source, vid, port, permanent, flags, mode, sources, proto)
}

func recordedMDB(e MDBEntry) mdbRow {
	x := mdbRow{times: []int{e.Timer}}
	list := slices.SortedFunc(slices.Values(e.SourceList), func(a, b MDBSource) int { return strings.Compare(a.Addr, b.Addr) })
	var sources []string
	for _, s := range list {
		sources = append(sources, s.Addr)
		x.times = append(x.times, s.Timer)
	}
	x.text = mdbText(e.Port, e.Group, e.Source, e.VID, e.State == "permanent", e.Flags, e.FilterMode, e.Proto, sources)
	return x
}

func mdbRowOf(e bridge.MDBEntry) mdbRow {
	x := mdbRow{times: []int{wholeSeconds(e.Timer)}}
	list := slices.SortedFunc(slices.Values(e.Sources), func(a, b bridge.MDBSource) int {
		return strings.Compare(a.Addr.String(), b.Addr.String())
	})
	var sources []string
	for _, s := range list {
		sources = append(sources, s.Addr.String())
		x.times = append(x.times, wholeSeconds(s.Timer))
	}
	var flags []string
	for _, f := range []struct {
		on   bool
		name string
	}{{e.FastLeave, "fast_leave"}, {e.AddedByStarExc, "added_by_star_ex"}, {e.Blocked, "blocked"}} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	group, source := e.GroupMAC.String(), ""
	if e.Group.IsValid() {
		group = e.Group.String()
	}
	if e.Source.IsValid() {
		source = e.Source.String()
	}
	proto := map[uint8]string{0: "", bridge.MDBProtoKernel: "kernel", bridge.MDBProtoStatic: "static"}[e.Protocol]
	x.text = mdbText(deviceName(e.Port), group, source, uint16(e.VID), e.Permanent, flags, e.Mode.String(), proto, sources)
	return x
}

func deviceName(port string) string {
	if port == "" {
		return hostName
	}
	return port
}

// wholeSeconds is how a timer is recorded: to the nearest second of a moment shortly
// after the step began.
func wholeSeconds(d time.Duration) int { return int((d + 250*time.Millisecond) / time.Second) }

// routerTypes are the recorded words for mcast_router.
var routerTypes = [...]string{"disabled", "temp_query", "permanent", "temp"}

// diffRouters compares the router ports of a VLAN, or with 0 those of the bridge, whose
// timers are not recorded.
func (r *run) diffRouters(where string, vid uint16, recorded []RouterPort) error {
	var want, got []mdbRow
	for _, p := range recorded {
		x := mdbRow{text: fmt.Sprintf("%srouter port %s %s vlan %d", where, p.Port, p.Type, p.VID)}
		x.addTimers(p.Timer4, p.Timer6)
		want = append(want, x)
	}
	for _, p := range r.b.RouterPorts(frame.VID(vid)) {
		x := mdbRow{text: fmt.Sprintf("%srouter port %s %s vlan %d", where, deviceName(p.Port), routerTypes[p.Type], p.VID)}
		var t4, t6 *int
		if vid != 0 && p.Timer4 >= 0 {
			t4 = new(wholeSeconds(p.Timer4))
		}
		if vid != 0 && p.Timer6 >= 0 {
			t6 = new(wholeSeconds(p.Timer6))
		}
		x.addTimers(t4, t6)
		got = append(got, x)
	}
	return diffRows(want, got)
}

// addTimers notes which timers there are in the words, and their times.
func (x *mdbRow) addTimers(t4, t6 *int) {
	for _, t := range []struct {
		name string
		left *int
	}{{" IPv4", t4}, {" IPv6", t6}} {
		if t.left != nil {
			x.text += t.name
			x.times = append(x.times, *t.left)
		}
	}
}

// diffQuerier compares the queriers of a VLAN.
func (r *run) diffQuerier(where string, vid uint16, recorded Attrs) error {
	got := Attrs{}
	ip4, ip6 := r.b.Queriers(frame.VID(vid))
	for name, q := range map[string]bridge.Querier{"ip": ip4, "ipv6": ip6} {
		if !q.Known {
			continue
		}
		got[name+"_address"] = word(q.Addr.String())
		if q.Other {
			got[name+"_other_timer"] = num(wholeSeconds(q.Timer))
			if q.Port != "" {
				got[name+"_port"] = word(q.Port)
			}
		}
	}
	for name, v := range got {
		if w, ok := recorded[name]; ok && !v.Text && !w.Text && max(v.Num-w.Num, w.Num-v.Num) <= timerTolerance {
			got[name] = w
		}
	}
	if !maps.Equal(recorded, got) {
		return mismatchf("%squerier: expected %v, came %v", where, recorded, got)
	}
	return nil
}

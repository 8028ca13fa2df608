package replay

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
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
	if q.Protocol, err = protoNumber(t.Proto); err != nil {
		return q, err
	}
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

// mdbGet compares the rows of one group.
func (r *run) mdbGet(t *Step) error {
	came, err := r.mdbGroup(t)
	if err != nil || t.Err != "" {
		return err
	}
	return diffEntries(t.MDB, came, t.slack())
}

func (r *run) mdbGroup(t *Step) ([]MDBEntry, error) {
	q, err := r.mdbRequest(t)
	if err != nil {
		return nil, err
	}
	rows, err := r.b.LookupMDB(q)
	if err != nil {
		return nil, err
	}
	return mdbEntriesOf(rows), nil
}

var mdbModes = map[string]bridge.MDBMode{"": bridge.MDBModeNone, "include": bridge.MDBInclude, "exclude": bridge.MDBExclude}

// flushWords are the words that bridge mdb flush takes beside port and VLAN.
var flushWords = map[string]bool{"permanent": true, "nopermanent": false}

func (r *run) mdbFlush(t *Step) (err error) {
	f := bridge.MDBFlush{Port: r.target(t.Port), Host: t.Port == hostName, VID: vid(t.VLAN)}
	for _, word := range t.Flags {
		permanent, ok := flushWords[word]
		if !ok {
			return mismatchf("unknown flush filter %q in the record", word)
		}
		f.Permanent = &permanent
	}
	if f.Protocol, err = protoNumber(t.Proto); err != nil {
		return err
	}
	return r.b.FlushMDB(f)
}

// protoWords are the words of bridge(8) for who has made an entry (RTPROT_*).
var protoWords = map[uint8]string{0: "", bridge.MDBProtoKernel: "kernel", bridge.MDBProtoStatic: "static"}

func protoNumber(word string) (uint8, error) {
	for n, w := range protoWords {
		if w == word {
			return n, nil
		}
	}
	n, err := strconv.ParseUint(word, 10, 8)
	if err != nil {
		return 0, mismatchf("unknown protocol %q in the record", word)
	}
	return uint8(n), nil
}

func protoWord(n uint8) string {
	if word, ok := protoWords[n]; ok {
		return word
	}
	return strconv.Itoa(int(n))
}

// dumpMDB compares groups, bridge-wide router ports and, if recorded, queriers.
func (r *run) dumpMDB(t *Step) error {
	if err := diffEntries(t.MDB, r.mdbTable(), t.slack()); err != nil {
		return err
	}
	if err := diffRouters("", t.RouterPorts, r.routerTable(0), t.slack()); err != nil || t.Querier == nil {
		return err
	}
	return diffQuerier("", t.Querier, r.querierTable(0), t.slack())
}

// mdbRow is a row of the database: words that have to be equal, and times.
type mdbRow struct {
	text  string
	times []int // in seconds
}

// timerTolerance: a timer is dumped in whole seconds, some time after the step began.
const timerTolerance = 1

// slack is by how many seconds a timer may differ. On the recordings' virtual clock
// steps took no time; a record that was made on a real one says how long they may have
// taken (Late), and there a timer may have been started any time since, or before uptime.
func (t *Step) slack() int {
	if t.Late == 0 {
		return timerTolerance
	}
	return timerTolerance + max(t.Late, int(uptime/time.Second))
}

func diffEntries(recorded, came []MDBEntry, slack int) error {
	rows := func(list []MDBEntry) (rows []mdbRow) {
		for _, e := range list {
			rows = append(rows, mdbRowOf(e))
		}
		return rows
	}
	return diffRows(rows(recorded), rows(came), slack)
}

func diffRows(want, got []mdbRow, slack int) error {
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
			if d := n - got[i].times[k]; d > slack || d < -slack {
				return mismatchf("%s: expected the timers %v s, came %v", w.text, w.times, got[i].times)
			}
		}
	}
	return nil
}

// mdbRowOf gives the row of an entry.
func mdbRowOf(e MDBEntry) mdbRow {
	x := mdbRow{times: []int{e.Timer}}
	var sources []string
	for _, s := range slices.SortedFunc(slices.Values(e.SourceList), func(a, b MDBSource) int { return strings.Compare(a.Addr, b.Addr) }) {
		sources = append(sources, s.Addr)
		x.times = append(x.times, s.Timer)
	}
	flags := slices.Sorted(slices.Values(e.Flags))
	x.text = fmt.Sprintf("%s src %q vlan %d dev %s permanent %v %v %s %v proto %q",
		e.Group, e.Source, e.VID, e.Port, e.State == "permanent", flags, e.FilterMode, sources, e.Proto)
	return x
}

func (r *run) mdbTable() []MDBEntry { return mdbEntriesOf(r.b.MDB()) }

func mdbEntriesOf(rows []bridge.MDBEntry) []MDBEntry {
	table := []MDBEntry{}
	for _, e := range rows {
		table = append(table, mdbEntryOf(e))
	}
	return table
}

func mdbEntryOf(e bridge.MDBEntry) MDBEntry {
	x := MDBEntry{
		Port: deviceName(e.Port), Group: e.GroupMAC.String(), VID: uint16(e.VID), State: "temp",
		FilterMode: e.Mode.String(), Proto: protoWord(e.Protocol), Timer: wholeSeconds(e.Timer),
	}
	if e.Permanent {
		x.State = "permanent"
	}
	if e.Group.IsValid() {
		x.Group = e.Group.String()
	}
	if e.Source.IsValid() {
		x.Source = e.Source.String()
	}
	for _, s := range e.Sources {
		x.SourceList = append(x.SourceList, MDBSource{s.Addr.String(), wholeSeconds(s.Timer)})
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{e.FastLeave, "fast_leave"}, {e.AddedByStarExc, "added_by_star_ex"}, {e.Blocked, "blocked"}} {
		if f.on {
			x.Flags = append(x.Flags, f.name)
		}
	}
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

// routerTable is the router ports of a VLAN, or with 0 those of the bridge, whose
// timers are not recorded.
func (r *run) routerTable(vid frame.VID) []RouterPort {
	table := []RouterPort{}
	for _, p := range r.b.RouterPorts(vid) {
		x := RouterPort{Port: deviceName(p.Port), Type: routerTypes[p.Type], VID: uint16(p.VID)}
		if vid != 0 && p.Timer4 >= 0 {
			x.Timer4 = new(wholeSeconds(p.Timer4))
		}
		if vid != 0 && p.Timer6 >= 0 {
			x.Timer6 = new(wholeSeconds(p.Timer6))
		}
		table = append(table, x)
	}
	return table
}

func diffRouters(where string, recorded, came []RouterPort, slack int) error {
	rows := func(list []RouterPort) (rows []mdbRow) {
		for _, p := range list {
			x := mdbRow{text: fmt.Sprintf("%srouter port %s %s vlan %d", where, p.Port, p.Type, p.VID)}
			x.addTimers(p.Timer4, p.Timer6)
			rows = append(rows, x)
		}
		return rows
	}
	return diffRows(rows(recorded), rows(came), slack)
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

// querierTable is the queriers of a VLAN.
func (r *run) querierTable(vid frame.VID) Attrs {
	table := Attrs{}
	ip4, ip6 := r.b.Queriers(vid)
	for name, q := range map[string]bridge.Querier{"ip": ip4, "ipv6": ip6} {
		if !q.Known {
			continue
		}
		table[name+"_address"] = word(q.Addr.String())
		if q.Other {
			table[name+"_other_timer"] = num(wholeSeconds(q.Timer))
			if q.Port != "" {
				table[name+"_port"] = word(q.Port)
			}
		}
	}
	return table
}

func diffQuerier(where string, recorded, came Attrs, slack int) error {
	got := maps.Clone(came)
	for name, v := range got {
		if w, ok := recorded[name]; ok && !v.Text && !w.Text && max(v.Num-w.Num, w.Num-v.Num) <= int64(slack) {
			got[name] = w
		}
	}
	if !maps.Equal(recorded, got) {
		return mismatchf("%squerier: expected %v, came %v", where, recorded, came)
	}
	return nil
}

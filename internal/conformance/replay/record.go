package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Value is a setting as recorded: a number, a word, or true and false (kept as
// 1 and 0).
type Value struct {
	Num  int64
	Word string
	Text bool // it is Word
}

// UnmarshalJSON reads a whole number, a string or a boolean.
func (v *Value) UnmarshalJSON(b []byte) error {
	switch {
	case len(b) > 0 && b[0] == '"':
		v.Text = true
		return json.Unmarshal(b, &v.Word)
	case string(b) == "true":
		v.Num = 1
		return nil
	case string(b) == "false":
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	v.Num = n
	return err
}

// MarshalJSON gives back the number or the string.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.Text {
		return json.Marshal(v.Word)
	}
	return strconv.AppendInt(nil, v.Num, 10), nil
}

// String gives the number or the word.
func (v Value) String() string {
	if v.Text {
		return v.Word
	}
	return strconv.FormatInt(v.Num, 10)
}

// Attrs are settings by their names in bridge(8) and ip-link(8).
type Attrs map[string]Value

// Scenario is one recorded run: the bridge at its start, the steps, and what
// the kernel's bridge did at each.
type Scenario struct {
	Name      string `json:"name"`
	Family    string `json:"family"`
	Origin    string `json:"origin"` // "hand" or "random"
	Seed      int64  `json:"seed"`
	Comment   string `json:"comment,omitzero"`
	Kernel    string `json:"kernel"`
	Bridge    Attrs  `json:"bridge"`
	SelfVLANs []VLAN `json:"self_vlans"`
	Ports     []Port `json:"ports"`
	Steps     []Step `json:"steps"`

	// Damage is why the record could not be read; nil if it was read whole.
	Damage *Damage `json:"-"`
}

// Port is a port at the start.
type Port struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	MTU     int    `json:"mtu"`
	Up      bool   `json:"up"`
	Flags   Attrs  `json:"flags"`
	VLANs   []VLAN `json:"vlans"`
}

// VLAN is a VLAN of a device at the start.
type VLAN struct {
	VID      uint16 `json:"vid"`
	PVID     bool   `json:"pvid,omitzero"`
	Untagged bool   `json:"untagged,omitzero"`
}

// Step is one step: its operation, the parameters, and the results.
type Step struct {
	Op   string `json:"op"`
	Note string `json:"note,omitzero"`

	Port       string   `json:"port,omitzero"`
	Frame      string   `json:"frame,omitzero"` // hex
	Attrs      Attrs    `json:"attrs,omitzero"`
	VID        uint16   `json:"vid,omitzero"`
	VIDEnd     uint16   `json:"vid_end,omitzero"`
	PVID       bool     `json:"pvid,omitzero"`
	Untagged   bool     `json:"untagged,omitzero"`
	State      *string  `json:"state,omitzero"`
	MSTI       *int     `json:"msti,omitzero"`
	MAC        string   `json:"mac,omitzero"`
	IP         string   `json:"ip,omitzero"`
	VLAN       *uint16  `json:"vlan,omitzero"`
	Flags      []string `json:"flags,omitzero"`
	Mode       string   `json:"mode,omitzero"`
	Group      string   `json:"grp,omitzero"`
	Source     string   `json:"src,omitzero"`
	FilterMode string   `json:"filter_mode,omitzero"`
	SourceList []string `json:"source_list,omitzero"`
	Proto      string   `json:"proto,omitzero"`
	On         bool     `json:"on,omitzero"`
	MS         int64    `json:"ms,omitzero"`

	Out         map[string][]string         `json:"out,omitzero"` // frames in hex by device
	Err         string                      `json:"err,omitzero"`
	Extack      string                      `json:"extack,omitzero"`
	Late        int                         `json:"late,omitzero"` // see run.slack
	FDB         []FDBEntry                  `json:"fdb,omitzero"`
	VLANTable   map[string][]VLANEntry      `json:"vlan_table,omitzero"`
	VLANGlobal  []GlobalVLAN                `json:"vlan_global,omitzero"`
	MSTTable    map[string][]MSTEntry       `json:"mst_table,omitzero"`
	MDB         []MDBEntry                  `json:"mdb,omitzero"`
	RouterPorts []RouterPort                `json:"router_ports,omitzero"`
	Querier     Attrs                       `json:"querier,omitzero"` // bridge-wide; nil: not recorded
	PortTable   map[string]Attrs            `json:"port_table,omitzero"`
	BridgeTable Attrs                       `json:"bridge_table,omitzero"`
	Stats       map[string]map[string]int64 `json:"stats,omitzero"`

	McastStats map[string]map[string]uint64 `json:"mcast_stats,omitzero"` // nil: not recorded
}

// Strip takes the results off.
func (t *Step) Strip() {
	t.Out, t.Err, t.Extack, t.Late = nil, "", "", 0
	t.FDB, t.VLANTable, t.VLANGlobal, t.MSTTable = nil, nil, nil, nil
	t.MDB, t.RouterPorts, t.Querier, t.PortTable, t.BridgeTable, t.Stats, t.McastStats = nil, nil, nil, nil, nil, nil, nil
}

// FDBEntry is a line of dump-fdb.
type FDBEntry struct {
	MAC   string   `json:"mac"`
	VLAN  uint16   `json:"vlan,omitzero"`
	Port  string   `json:"port"`
	State string   `json:"state"`
	Flags []string `json:"flags,omitzero"`
}

// VLANEntry is a VLAN of a device in dump-vlan.
type VLANEntry struct {
	VID         uint16            `json:"vid"`
	PVID        bool              `json:"pvid,omitzero"`
	Untagged    bool              `json:"untagged,omitzero"`
	State       string            `json:"state"`
	McastRouter *int              `json:"mcast_router,omitzero"` // absent: 1
	Stats       map[string]uint64 `json:"stats,omitzero"`
}

// GlobalVLAN is an entry of dump-vlan-global.
type GlobalVLAN struct {
	VID         uint16       `json:"vid"`
	Options     Attrs        `json:"options"`
	Querier     Attrs        `json:"querier,omitzero"`
	RouterPorts []RouterPort `json:"router_ports,omitzero"`
}

// MSTEntry is a spanning tree instance of a port in dump-mst.
type MSTEntry struct {
	MSTI  int    `json:"msti"`
	State string `json:"state"`
}

// MDBEntry is a line of dump-mdb and mdb-get.
type MDBEntry struct {
	Port       string      `json:"port"`
	Group      string      `json:"grp"`
	Source     string      `json:"src,omitzero"`
	VID        uint16      `json:"vid,omitzero"`
	State      string      `json:"state"`
	Flags      []string    `json:"flags,omitzero"`
	FilterMode string      `json:"filter_mode,omitzero"`
	SourceList []MDBSource `json:"source_list,omitzero"`
	Proto      string      `json:"proto,omitzero"`
	Timer      int         `json:"timer"`
}

// MDBSource is a source of an MDBEntry.
type MDBSource struct {
	Addr  string `json:"addr"`
	Timer int    `json:"timer"`
}

// RouterPort is a port where a multicast router is.
type RouterPort struct {
	Port   string `json:"port"`
	Type   string `json:"type"`
	VID    uint16 `json:"vid,omitzero"`
	Timer4 *int   `json:"timer4,omitzero"`
	Timer6 *int   `json:"timer6,omitzero"`
}

// results says which key a dump step has to carry; a record without it is
// damaged, and to compare nothing would pass.
var results = map[string]func(*Step) bool{
	"inject":           func(t *Step) bool { return t.Out != nil },
	"dump-fdb":         func(t *Step) bool { return t.FDB != nil },
	"dump-vlan":        func(t *Step) bool { return t.VLANTable != nil },
	"dump-vlan-global": func(t *Step) bool { return t.VLANGlobal != nil },
	"dump-mst":         func(t *Step) bool { return t.MSTTable != nil },
	"mdb-get":          func(t *Step) bool { return t.MDB != nil || t.Err != "" },
	"dump-mdb":         func(t *Step) bool { return t.MDB != nil && t.RouterPorts != nil },
	"dump-port":        func(t *Step) bool { return t.PortTable != nil },
	"dump-bridge":      func(t *Step) bool { return t.BridgeTable != nil },
	"dump-stats":       func(t *Step) bool { return t.Stats != nil },
}

// check reports what is missing or unknown in s.
func (s *Scenario) check() error {
	if s.Name == "" || s.Family == "" || s.Bridge == nil || len(s.Steps) == 0 {
		return errors.New("name, family, bridge and steps are needed")
	}
	for i := range s.Steps {
		t := &s.Steps[i]
		if _, known := operations[t.Op]; !known {
			return fmt.Errorf("steps[%d]: unknown op %q", i, t.Op)
		}
		if has := results[t.Op]; has != nil && !has(t) {
			return fmt.Errorf("steps[%d]: %s without its result", i, t.Op)
		}
		if t.Port != "" && t.Port != hostName && !s.hasPort(t.Port) {
			return fmt.Errorf("steps[%d]: unknown port %q", i, t.Port)
		}
	}
	return nil
}

func (s *Scenario) hasPort(name string) bool {
	return slices.ContainsFunc(s.Ports, func(p Port) bool { return p.Name == name })
}

// gated are the settings whose behaviour is a room of its own (multicast
// snooping, spanning tree, tunnels, backup ports).
var gated = []string{"backup_port", "mcast_snooping", "stp_state", "vlan_tunnel"}

// Needs lists, sorted, which of backup_port, mcast_snooping, stp_state and
// vlan_tunnel the scenario has on at its start, or sets to any value in a step.
func (s *Scenario) Needs() []string {
	var needs []string
	for _, name := range gated {
		if s.uses(name) {
			needs = append(needs, name)
		}
	}
	return needs
}

func (s *Scenario) uses(name string) bool {
	on := func(a Attrs) bool { v := a[name]; return v.Num != 0 || v.Word != "" }
	if on(s.Bridge) || slices.ContainsFunc(s.Ports, func(p Port) bool { return on(p.Flags) }) {
		return true
	}
	return slices.ContainsFunc(s.Steps, func(t Step) bool { _, set := t.Attrs[name]; return set })
}

package replay

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// operations are the known steps. Each returns the library's refusal, or a
// mismatch.
var operations map[string]func(*run, *Step) error

func init() {
	operations = map[string]func(*run, *Step) error{
		"inject":          (*run).inject,
		"set-bridge":      (*run).setBridge,
		"set-port":        (*run).setPort,
		"vlan-add":        (*run).vlanAdd,
		"vlan-del":        (*run).vlanDel,
		"vlan-set":        (*run).vlanSet,
		"vlan-global-set": (*run).vlanGlobalSet,
		"mst-set":         (*run).mstSet,
		"fdb-add":         (*run).fdbAdd,
		"fdb-del":         (*run).fdbDel,
		"fdb-flush":       (*run).fdbFlush,
		"fdb-flush-bulk":  (*run).fdbFlushBulk,
		"mdb-add":         (*run).mdbAdd,
		"mdb-del":         (*run).mdbDel,
		"mdb-flush":       (*run).mdbFlush,
		"mdb-get":         (*run).mdbGet,
		"link-up":         func(r *run, t *Step) error { return r.link(t, true) },
		"link-down":       func(r *run, t *Step) error { return r.link(t, false) },
		"carrier":         (*run).setCarrier,
		"port-del":        (*run).portDel,
		"port-add":        (*run).portAdd,
		"wait":            (*run).wait,

		"neigh-add": (*run).neighAdd,
		"neigh-del": (*run).neighDel,

		"dump-fdb":         (*run).dumpFDB,
		"dump-vlan":        (*run).dumpVLAN,
		"dump-vlan-global": (*run).dumpVLANGlobal,
		"dump-mst":         (*run).dumpMST,
		"dump-mdb":         (*run).dumpMDB,
		"dump-port":        (*run).dumpPort,
		"dump-bridge":      (*run).dumpBridge,
		"dump-stats":       (*run).dumpStats,
	}
}

func (r *run) wait(t *Step) error {
	d := time.Duration(t.MS) * time.Millisecond
	r.waited += d
	d -= r.ahead
	r.ahead = max(-d, 0)
	return r.advance(max(d, 0))
}

// link sets a device, the bridge's own too, up or down.
func (r *run) link(t *Step, up bool) error {
	if t.Port == hostName {
		if !up {
			r.stack.forget()
		}
		return r.b.SetUp(up)
	}
	d := r.dev(t.Port)
	err := d.port.SetLink(up, d.carrier)
	if err == nil {
		d.up = up
	}
	return err
}

func (r *run) setCarrier(t *Step) error {
	d := r.dev(t.Port)
	err := d.port.SetLink(d.up, t.On)
	if err == nil {
		d.carrier = t.On
	}
	return err
}

// portDel takes a port out. On a device that is in no bridge Linux answers
// success before any bridge is asked.
func (r *run) portDel(t *Step) error {
	d := r.dev(t.Port)
	if !d.inside {
		return nil
	}
	err := r.b.RemovePort(d.port)
	if err == nil {
		d.inside = false
	}
	return err
}

// portAdd adds a device again: its own settings are as they were, those of the
// port are the defaults.
func (r *run) portAdd(t *Step) error {
	d := r.dev(t.Port)
	if !d.inside {
		d.earlier = sum(d.earlier, d.port.Stats())
	}
	return r.join(d, bridge.PortConfig{})
}

// filter is the VLANs of a device.
func (r *run) filter(name string) *bridge.VLANFilter {
	if name == hostName {
		return r.b.VLANs()
	}
	return r.dev(name).port.VLANs()
}

func (r *run) vlanAdd(t *Step) error {
	return r.filter(t.Port).Add(bridge.VLAN{
		VID: frame.VID(t.VID), End: frame.VID(t.VIDEnd), PVID: t.PVID, Untagged: t.Untagged,
	})
}

func (r *run) vlanDel(t *Step) error {
	return r.filter(t.Port).Delete(frame.VID(t.VID), frame.VID(t.VIDEnd))
}

func (r *run) vlanSet(t *Step) error {
	if v, ok := t.Attrs["neigh_suppress"]; ok && len(t.Attrs) == 1 && t.State == nil {
		return r.filter(t.Port).SetNeighSuppress(frame.VID(t.VID), frame.VID(t.VIDEnd), v.Num != 0)
	}
	if v, ok := t.Attrs["mcast_router"]; ok && len(t.Attrs) == 1 && t.State == nil {
		return r.filter(t.Port).SetMcastRouter(frame.VID(t.VID), frame.VID(t.VIDEnd), int(v.Num))
	}
	if v, ok := t.Attrs["mcast_max_groups"]; ok && len(t.Attrs) == 1 && t.State == nil {
		return r.filter(t.Port).SetMcastMaxGroups(frame.VID(t.VID), frame.VID(t.VIDEnd), uint32(v.Num))
	}
	if len(t.Attrs) > 0 {
		return unsupported(t.Op, t.Attrs)
	}
	if t.State == nil {
		return mismatchf("neither state nor attrs in the record")
	}
	s, err := portState(*t.State)
	if err != nil {
		return err
	}
	return r.filter(t.Port).SetState(frame.VID(t.VID), frame.VID(t.VIDEnd), s)
}

// target is the port of an FDB request, nil for the bridge itself.
func (r *run) target(name string) *bridge.Port {
	if name == "" || name == hostName {
		return nil
	}
	return r.dev(name).port
}

func vid(v *uint16) *frame.VID {
	if v == nil {
		return nil
	}
	return new(frame.VID(*v))
}

var fdbFlags = map[string]bridge.NTFFlags{
	"use": bridge.NTFUse, "extern_learn": bridge.NTFExtLearned, "sticky": bridge.NTFSticky, "router": bridge.NTFRouter,
}

var fdbModes = map[string]bridge.FDBMode{
	"add": bridge.FDBAdd, "replace": bridge.FDBReplace, "append": bridge.FDBAppend, "change": bridge.FDBChange,
}

func (r *run) fdbAdd(t *Step) error {
	if t.State == nil {
		return mismatchf("no state in the record")
	}
	mac, err := frame.ParseMAC(t.MAC)
	if err != nil {
		return err
	}
	state, err := nudState(*t.State)
	if err != nil {
		return err
	}
	var flags bridge.NTFFlags
	for _, name := range t.Flags {
		bit, ok := fdbFlags[name]
		if !ok {
			return mismatchf("unknown FDB flag %q in the record", name)
		}
		flags |= bit
	}
	mode, ok := fdbModes[t.Mode]
	if !ok {
		return mismatchf("unknown FDB mode %q in the record", t.Mode)
	}
	return r.b.FDB().Update(bridge.FDBRequest{
		Port: r.target(t.Port), MAC: mac, VID: vid(t.VLAN), State: state, Flags: flags, Mode: mode,
	})
}

func (r *run) fdbDel(t *Step) error {
	mac, err := frame.ParseMAC(t.MAC)
	if err != nil {
		return err
	}
	return r.b.FDB().Delete(r.target(t.Port), mac, vid(t.VLAN))
}

func (r *run) fdbFlush(t *Step) error {
	if t.Port == "" {
		return r.b.Set(bridge.BridgeAttrs{FDBFlush: true})
	}
	return r.dev(t.Port).port.Set(bridge.PortAttrs{FDBFlush: true})
}

// bulkFilters is what bridge(8) sends for a word of `bridge fdb flush`.
var bulkFilters = map[string]bridge.FDBFlush{
	"permanent":      {State: bridge.NUDPermanent, StateMask: bridge.NUDPermanent},
	"nopermanent":    {StateMask: bridge.NUDPermanent},
	"static":         {State: bridge.NUDNoARP, StateMask: bridge.NUDNoARP | bridge.NUDPermanent},
	"nostatic":       {StateMask: bridge.NUDNoARP},
	"dynamic":        {StateMask: bridge.NUDNoARP | bridge.NUDPermanent},
	"nodynamic":      {State: bridge.NUDNoARP, StateMask: bridge.NUDNoARP},
	"sticky":         {Flags: bridge.NTFSticky, FlagsMask: bridge.NTFSticky},
	"nosticky":       {FlagsMask: bridge.NTFSticky},
	"extern_learn":   {Flags: bridge.NTFExtLearned, FlagsMask: bridge.NTFExtLearned},
	"noextern_learn": {FlagsMask: bridge.NTFExtLearned},
}

func (r *run) fdbFlushBulk(t *Step) error {
	fl := bridge.FDBFlush{Port: r.target(t.Port), BridgeSelf: t.Port == hostName, VID: vid(t.VLAN)}
	for _, word := range t.Flags {
		f, ok := bulkFilters[word]
		if !ok {
			return mismatchf("unknown flush filter %q in the record", word)
		}
		fl.State |= f.State
		fl.StateMask |= f.StateMask
		fl.Flags |= f.Flags
		fl.FlagsMask |= f.FlagsMask
	}
	_, err := r.b.FDB().Flush(fl)
	return err
}

// inject gives the bridge a frame, at a port or from the host, once Explain has
// said what will become of it.
func (r *run) inject(t *Step) error {
	data, err := hex.DecodeString(t.Frame)
	if err != nil {
		return mismatchf("bad frame in the record: %v", err)
	}
	f := frame.Frame{Data: slices.Clone(data)}
	explain, send := r.b.ExplainXmit, r.b.Xmit
	ledger := func() bridge.IngressLedger { return r.b.Stats().Ingress }
	if t.Port != hostName {
		p := r.dev(t.Port).port
		explain, send = p.Explain, func(f frame.Frame) error { return p.Receive(f) }
		ledger = func() bridge.IngressLedger { return p.Stats().Ingress }
		if r.opt.TagAside {
			f = aside(f)
		}
	}
	foretold, err := r.foretell(explain, f)
	if err != nil {
		return err
	}
	bytes, before := slices.Clone(f.Data), ledger()
	refusal := send(f)
	if !slices.Equal(bytes, f.Data) {
		return mismatchf("the bytes of the frame were changed from %x to %x", bytes, f.Data)
	}
	if err := r.fulfilled(foretold, refusal, before, ledger()); err != nil {
		return err
	}
	clear(f.Data) // lent until send returned: who still holds it will show
	if t.Port != hostName {
		r.dev(t.Port).strayed(data)
	}
	return refusal
}

// strayed counts a frame that the device took while it was in no bridge: its
// counters are its own, and a Port tells of its time in the bridge only.
func (d *device) strayed(data []byte) {
	if !d.inside && d.up && len(data) >= frame.HeaderLen {
		d.earlier.RxPackets++
		d.earlier.RxBytes += uint64(len(data))
	}
}

// aside gives f as a driver that strips tags would: the outer tag beside the
// data. A frame that Linux would lose when lifting its tag stays as it is.
func aside(f frame.Frame) frame.Frame {
	if len(f.Data) < frame.HeaderLen || !f.Lift() || !f.Lifted {
		return frame.Frame{Data: f.Data}
	}
	return frame.Frame{Data: slices.Concat(f.Data[:12], f.Data[16:]), Tag: f.Tag}
}

package live

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/conformance/rtnl"
	"github.com/ddfb540f/bridge/internal/netns"
)

// Kernel is the running kernel. Its methods may be called by several goroutines.
type Kernel struct{ Features Features }

// Open looks what the running kernel's bridge has. It needs root and /dev/net/tun.
func Open() (*Kernel, error) {
	if why := netns.Missing(); why != "" {
		return nil, errors.New("a live bridge " + why)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	k := &Kernel{Features{
		Release: unix.ByteSliceToString(name.Release[:]),
		Bridge:  map[string]bool{}, Port: map[string]bool{},
	}}
	l, err := newLab(false, []string{"p1"})
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.enslave(l.taps[0]); err != nil {
		return nil, err
	}
	table, err := l.bridgeTable()
	if err != nil {
		return nil, err
	}
	for name := range table {
		k.Features.Bridge[name] = find(bridgeTells, name) == nil
	}
	if table, err = l.portTable(l.taps[0]); err != nil {
		return nil, err
	}
	for name := range table {
		k.Features.Port[name] = find(portTells, name) == nil
	}
	if !k.Features.VLANs() { // told, and refused
		for _, name := range []string{"vlan_filtering", "mst_enabled", "mcast_vlan_snooping", "fdb_local_vlan_0"} {
			delete(k.Features.Bridge, name)
		}
	}
	k.Features.Port["backup_port"] = true // told only while there is one
	_, err = os.Stat(addrGenMode)
	k.Features.IPv6 = err == nil
	k.Features.MDBFlush = l.mdbFlush(new(replay.Step)) == nil
	return k, nil
}

// lab is a bridge in a namespace of its own, with everything that reaches it.
type lab struct {
	ns   *netns.NS
	nl   *rtnl.Conn
	br   int32 // the index of br0
	taps []*tap
	host *host
	buf  []byte
	off  map[string]bool // devices without carrier

	snoops bool // the scenario has snooping: timers that are due are waited for
	pause  *pause
	begun  time.Time
}

// newLab makes a namespace with br0, without ports, and devices for ports.
func newLab(ipv6 bool, ports []string) (l *lab, err error) {
	l = &lab{buf: make([]byte, maxFrame), off: map[string]bool{}, begun: time.Now()}
	if l.ns, err = netns.New(ipv6); err != nil {
		return nil, err
	}
	if err = l.ns.Do(func() error { return errors.Join(silence(ipv6), l.open(ports)) }); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// addrGenMode says what IPv6 addresses devices give themselves (IN6_ADDR_GEN_MODE_*).
const addrGenMode = "/proc/sys/net/ipv6/conf/default/addr_gen_mode"

// silence has devices that are made from now on take no IPv6 address: a host without
// one speaks no IPv6, and reports no groups that it is in.
func silence(ipv6 bool) error {
	if !ipv6 {
		return nil
	}
	const none = "1"
	return os.WriteFile(addrGenMode, []byte(none), 0)
}

// quiet are switches of the namespace that are turned off. Packet filters are no part
// of a bridge; br_netfilter hooks them in where it is loaded. And a bridge that snoops
// has its own device join the group of all snoopers, which the host would report.
var quiet = []string{
	"/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
	"/proc/sys/net/bridge/bridge-nf-call-arptables", "/proc/sys/net/ipv4/igmp_link_local_mcast_reports",
}

func (l *lab) open(ports []string) (err error) {
	if l.nl, err = rtnl.Open(); err != nil {
		return err
	}
	if l.pause, err = openPause(); err != nil {
		return err
	}
	for _, name := range ports {
		t, err := openTAP(name)
		if err != nil {
			return err
		}
		l.taps = append(l.taps, t)
	}
	m := rtnl.New(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, rtnl.Link(0, 0, 0, 0))
	m.Text(unix.IFLA_IFNAME, hostName)
	m.Nest(unix.IFLA_LINKINFO|rtnl.Nested, func() { m.Text(unix.IFLA_INFO_KIND, "bridge") })
	if err := l.nl.Do(m); err != nil {
		return fmt.Errorf("make a bridge: %w", err)
	}
	dev, err := l.deviceNamed(hostName)
	if err != nil {
		return err
	}
	l.br = dev.index
	for _, name := range quiet {
		if err := os.WriteFile(name, []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	l.host, err = openHost(l.br)
	return err
}

func (l *lab) close() {
	for _, t := range l.taps {
		unix.Close(t.fd)
	}
	if l.host != nil {
		l.host.close()
	}
	if l.nl != nil {
		l.nl.Close()
	}
	if l.pause != nil {
		l.pause.close()
	}
	l.ns.Close()
}

// tap is the device of that name, nil for br0 and for none.
func (l *lab) tap(name string) *tap {
	for _, t := range l.taps {
		if t.name == name {
			return t
		}
	}
	return nil
}

// index is the index of a device, 0 for none.
func (l *lab) index(name string) int32 {
	if name == hostName {
		return l.br
	}
	if t := l.tap(name); t != nil {
		return t.index
	}
	return 0
}

// name is the name of a device, "" for none.
func (l *lab) name(index int32) string {
	if index == l.br {
		return hostName
	}
	for _, t := range l.taps {
		if t.index == index {
			return t.name
		}
	}
	return ""
}

// dev is what RTM_GETLINK tells of a device.
type dev struct {
	index       int32
	flags       uint32
	address     string
	mtu         int
	master      int32
	operstate   uint8
	data, slave []byte // attributes of a bridge, and of a port
	stats       map[string]int64
}

func (l *lab) deviceNamed(name string) (dev, error) {
	m := rtnl.New(unix.RTM_GETLINK, 0, rtnl.Link(0, 0, 0, 0))
	return l.device(m.Text(unix.IFLA_IFNAME, name))
}

func (l *lab) deviceAt(index int32) (dev, error) {
	return l.device(rtnl.New(unix.RTM_GETLINK, 0, rtnl.Link(0, index, 0, 0)))
}

// device asks for one device.
func (l *lab) device(m *rtnl.Msg) (d dev, err error) {
	b, err := l.nl.Get(m)
	if err != nil {
		return d, err
	}
	if len(b) < unix.SizeofIfInfomsg {
		return d, errors.New("rtnetlink: a link is cut short")
	}
	d.index, d.flags = int32(rtnl.Num(b[4:8])), uint32(rtnl.Num(b[8:12]))
	for kind, v := range rtnl.Attrs(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_ADDRESS:
			d.address = addressText(v)
		case unix.IFLA_MTU:
			d.mtu = int(rtnl.Num(v))
		case unix.IFLA_MASTER:
			d.master = int32(rtnl.Num(v))
		case unix.IFLA_OPERSTATE:
			d.operstate = uint8(rtnl.Num(v))
		case unix.IFLA_STATS64:
			d.stats = map[string]int64{}
			for i, name := range []string{"rx_packets", "tx_packets", "rx_bytes", "tx_bytes"} {
				if len(v) >= 8*i+8 {
					d.stats[name] = int64(rtnl.Num(v[8*i : 8*i+8]))
				}
			}
		case unix.IFLA_LINKINFO:
			for kind, v := range rtnl.Attrs(v) {
				switch kind {
				case unix.IFLA_INFO_DATA:
					d.data = v
				case unix.IFLA_INFO_SLAVE_DATA:
					d.slave = v
				}
			}
		}
	}
	return d, nil
}

// set changes a device: br0, a port or a device outside.
func (l *lab) set(index int32, flags, change uint32, fill func(*rtnl.Msg)) error {
	m := rtnl.New(unix.RTM_NEWLINK, 0, rtnl.Link(0, index, flags, change))
	if fill != nil {
		fill(m)
	}
	return l.nl.Do(m)
}

func (l *lab) setAddress(index int32, text string) error {
	addr, err := frame.ParseMAC(text)
	if err != nil {
		return err
	}
	return l.set(index, 0, 0, func(m *rtnl.Msg) { m.Bytes(unix.IFLA_ADDRESS, addr[:]) })
}

func (l *lab) setMTU(index int32, mtu int) error {
	return l.set(index, 0, 0, func(m *rtnl.Msg) { m.U32(unix.IFLA_MTU, uint32(mtu)) })
}

func (l *lab) setFlag(index int32, flag uint32, on bool) error {
	flags := uint32(0)
	if on {
		flags = flag
	}
	return l.set(index, flags, flag, nil)
}

func (l *lab) enslave(t *tap) error {
	return l.set(t.index, 0, 0, func(m *rtnl.Msg) { m.U32(unix.IFLA_MASTER, uint32(l.br)) })
}

func (l *lab) release(t *tap) error {
	return l.set(t.index, 0, 0, func(m *rtnl.Msg) { m.U32(unix.IFLA_MASTER, 0) })
}

// setBridge changes settings of br0 in one request.
func (l *lab) setBridge(attrs replay.Attrs) error {
	var failed error
	err := l.set(l.br, 0, 0, func(m *rtnl.Msg) {
		m.Nest(unix.IFLA_LINKINFO|rtnl.Nested, func() {
			m.Text(unix.IFLA_INFO_KIND, "bridge")
			m.Nest(unix.IFLA_INFO_DATA|rtnl.Nested, func() { failed = l.addBridge(m, attrs) })
		})
	})
	return errors.Join(failed, err)
}

// addBridge adds settings in the order of their numbers, the options of one bit last
// and together.
func (l *lab) addBridge(m *rtnl.Msg, attrs replay.Attrs) error {
	for i := range bridgeAttrs {
		if v, ok := attrs[bridgeAttrs[i].name]; ok {
			if err := bridgeAttrs[i].add(m, v, l.index); err != nil {
				return err
			}
		}
	}
	var values, mask uint32
	for name, bit := range boolOptions {
		if v, ok := attrs[name]; ok {
			mask |= 1 << bit
			if v.Num != 0 {
				values |= 1 << bit
			}
		}
	}
	if mask != 0 { // struct br_boolopt_multi
		m.Nest(unix.IFLA_BR_MULTI_BOOLOPT, func() { m.Raw32(values, mask) })
	}
	return nil
}

// setPort changes settings of a port in one request, as bridge(8) does.
func (l *lab) setPort(index int32, attrs replay.Attrs) error {
	m := rtnl.New(unix.RTM_SETLINK, 0, rtnl.Link(unix.AF_BRIDGE, index, 0, 0))
	var failed error
	m.Nest(unix.IFLA_PROTINFO|rtnl.Nested, func() {
		for i := range portAttrs {
			if v, ok := attrs[portAttrs[i].name]; ok && failed == nil {
				failed = portAttrs[i].add(m, v, l.index)
			}
		}
	})
	if failed != nil {
		return failed
	}
	return l.nl.Do(m)
}

package bridge_test

import (
	"fmt"
	"net/netip"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// The bridge answers for a station behind a tunnel, and so keeps the request for its
// address out of the tunnel.
func ExampleHostTable() {
	var host bridge.HostTable
	b, err := bridge.New(bridge.Config{Host: &host})
	check(err)
	defer b.Close()
	for _, name := range []string{"guest", "tunnel"} {
		near, _ := bridge.NewPipe(bridge.PipeConfig{})
		_, err := b.AddPort(name, near, bridge.PortConfig{})
		check(err)
	}
	tunnel := b.Port("tunnel")
	check(tunnel.Set(bridge.PortAttrs{NeighSuppress: new(true)}))

	// What a control plane tells: who is behind the tunnel, and the address that it has.
	check(b.FDB().Update(bridge.FDBRequest{Port: tunnel, MAC: h2, State: bridge.NUDNoARP, Flags: bridge.NTFExtLearned}))
	host.SetNeighbour(0, netip.MustParseAddr("192.0.2.2"), bridge.Neighbour{MAC: h2})

	request := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, h1[:]...)
	request = append(request, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2)
	fmt.Println(b.Port("guest").Explain(bridgetest.NewFrame(frame.Broadcast, h1, frame.TypeARP, request)))
	// Output:
	// br_handle_frame dev: guest 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff
	// br_allowed_ingress dev: guest 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff VLAN filtering is off
	// br_fdb_update dev: guest 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff source learned
	// br_do_proxy_suppress_arp dev: guest 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff neighbour known, answered
	// br_arp_send dev: guest 02:00:00:00:00:02 -> 02:00:00:00:00:01
	// br_flood dev: guest 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff broadcast
	// maybe_deliver to dev: tunnel 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff passed over: neigh_suppress or proxy_arp_wifi
	// maybe_deliver to dev: guest 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff passed over: it came in by this port
	// br_pass_frame_up dev: br0 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff
	// used: guest, br0
}

package bridge

import (
	"net/netip"

	"github.com/ddfb540f/bridge/frame"
)

// MDBRequest is one `bridge mdb add` or `del` (RTM_NEWMDB, RTM_DELMDB).
type MDBRequest struct {
	Port      *Port      // nil: the host
	Group     netip.Addr // IPv4 or IPv6 group; the zero Addr: GroupMAC
	GroupMAC  frame.MAC
	Source    netip.Addr // zero: any source
	VID       frame.VID  // 0: none
	Permanent bool
}

// AddMDB adds a member to a multicast group. The multicast database comes with
// snooping, which is not built yet: while it is off the answer is Linux's, EINVAL,
// and while it is on EOPNOTSUPP.
func (b *Bridge) AddMDB(r MDBRequest) error { return b.mdb("mdb add", r) }

// DeleteMDB removes a member from a multicast group; see AddMDB.
func (b *Bridge) DeleteMDB(r MDBRequest) error { return b.mdb("mdb del", r) }

func (b *Bridge) mdb(op string, r MDBRequest) error {
	dev := b.devName(r.Port)
	switch cfg := b.cfg.Load(); {
	case cfg.closed:
		return errClosed
	case !cfg.info.McastSnooping:
		return refuse(op, dev, EINVAL, "bridge's multicast processing is disabled")
	}
	return refuse(op, dev, EOPNOTSUPP, "the multicast database is not built yet")
}

package replay

import (
	"fmt"
	"net/netip"
	"strings"

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
	if t.FilterMode != "" || len(t.SourceList) > 0 || t.Mode == "replace" {
		return q, unsupported(t.Op, strings.TrimSpace(fmt.Sprint(t.Mode, " ", t.FilterMode, " ", t.SourceList)))
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

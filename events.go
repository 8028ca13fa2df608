package bridge

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// An EventKind says what happened.
type EventKind uint8

// The kinds of events. The FDB's are Linux's RTM_NEWNEIGH and RTM_DELNEIGH; a
// plain refresh sends nothing.
const (
	EventNone           EventKind = iota
	EventFDBAdd                   // an entry was made: MAC, VID, Port
	EventFDBMove                  // an entry went to another port: Port is the new one
	EventFDBChange                // a request changed an entry
	EventFDBDelete                // an entry is gone; Evicted: another took its place
	EventFDBIdle                  // an entry whose activity is watched fell idle (FDBRequest.Activity)
	EventFDBActive                // and was seen again
	EventPortAdd                  // a port joined
	EventPortRemove               // a port left
	EventPortState                // a port's state changed: State
	EventPortFailed               // a cable ended, a port's or the host's: Err says why
	EventCableDown                // a port's interface reports that it is down
	EventCableUp                  // and up again
	EventAddress                  // the bridge's own address changed: MAC
	EventWarning                  // Err says what is likely to be a mistake, about Port
	EventMDBAdd                   // a member of a group is there, or has changed: MDB, Port, VID; "" is the host
	EventMDBDelete                // and is gone
	EventRouterAdd                // a multicast router is behind a port; with a VID: in that VLAN
	EventRouterRemove             // and no more
	EventSnoopingEnded            // McastHashMax was reached: McastSnooping is off now
	EventBPDUGuard                // a BPDU came in by a port with Guard, which is DISABLED now
	EventRootBlocked              // a port with RootBlock tried to become the root port, and is LISTENING now; with RSTP it discards
	EventTopologyChange           // the spanning tree has detected a topology change
	EventPortRole                 // a port has another role in RSTP: Role
	EventRootUnblocked            // nobody behind a port with RootBlock claims to be a better root any more
	EventLoopGuard                // a port with LoopGuard hears no more BPDUs, and discards
	EventLoopGuardEnd             // it is held no more
	EventFilter                   // a filter reports the frame of a station: Filter, MAC, VID, Port, Err, Count
	EventLost                     // Lost events were not delivered: the queue was full
)

var eventNames = [...]string{
	EventNone: "none", EventFDBAdd: "fdb add", EventFDBMove: "fdb move", EventFDBChange: "fdb change",
	EventFDBDelete: "fdb delete", EventFDBIdle: "fdb idle", EventFDBActive: "fdb active",
	EventPortAdd: "port add", EventPortRemove: "port remove",
	EventPortState: "port state", EventPortFailed: "port failed", EventCableDown: "cable down",
	EventCableUp: "cable up", EventAddress: "address", EventWarning: "warning",
	EventMDBAdd: "mdb add", EventMDBDelete: "mdb delete", EventRouterAdd: "router add",
	EventRouterRemove: "router remove", EventSnoopingEnded: "snooping ended", EventBPDUGuard: "bpdu guard", EventRootBlocked: "root blocked",
	EventTopologyChange: "topology change", EventPortRole: "port role", EventRootUnblocked: "root unblocked",
	EventLoopGuard: "loop guard", EventLoopGuardEnd: "loop guard end", EventFilter: "filter", EventLost: "lost",
}

// String names the kind, "fdb add".
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return "none"
}

// An Event is something that happened, a value.
type Event struct {
	Kind  EventKind
	Port  string // "" is the bridge itself
	MAC   frame.MAC
	VID   frame.VID
	State PortState
	Role  stp.Role // of EventPortRole
	Err   error
	Lost  int

	MDB     *MDBEntry // of EventMDBAdd and EventMDBDelete; not to be written to
	Filter  string    // of EventFilter: the filter's name
	Count   int       // of EventFilter: how many reports this one stands for (Passage.Report)
	Evicted bool      // an EventFDBDelete: an FDBLimit was reached
}

// String gives the event as one line.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Port != "" {
		s += " " + e.Port
	}
	switch e.Kind {
	case EventFDBAdd, EventFDBMove, EventFDBChange, EventFDBDelete, EventFDBIdle, EventFDBActive, EventAddress, EventFilter:
		s += " " + e.MAC.String()
	case EventMDBAdd, EventMDBDelete:
		s += " " + e.MDB.group()
	case EventPortState:
		s += " " + e.State.String()
	case EventPortRole:
		s += " " + e.Role.String()
	case EventLost:
		s += fmt.Sprintf(" %d events", e.Lost)
	}
	if e.VID != 0 {
		s += fmt.Sprintf(" vlan %d", e.VID)
	}
	if e.Evicted {
		s += " evicted"
	}
	if e.Filter != "" {
		s += ": " + e.Filter
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Count > 1 {
		s += fmt.Sprintf(" (%d times)", e.Count)
	}
	return s
}

// maxEvents bounds the queue; what comes while it is full is counted as lost.
const maxEvents = 4096

// events is the bridge's queue of what happened and who wants to know.
type events struct {
	on         atomic.Bool // somebody watches
	pending    atomic.Bool // the queue is not empty
	mu         sync.Mutex  // guards the rest
	queue      []Event
	first      uint64 // the number of queue[0], counted from the first event
	lost       int
	handlers   []*handler // replaced, never edited
	delivering bool       // one deliverer at a time
	held       bool       // the queue tells of a configuration not yet published
	more       func()     // tells Serve that the queue is not empty
}

type handler struct {
	fn      func(Event)
	from    uint64 // the number of the first event that is its
	stopped atomic.Bool
}

func (q *events) watched() bool { return q.on.Load() }

// Watch has fn called with every event from now on, in order, one at a time, on
// the goroutine whose frame, Tick or call caused it, once no lock is held: fn may
// call anything of the Bridge. While fn takes its time, other goroutines go on
// and their events wait for it in a bounded queue; what does not fit is lost, and
// an EventLost says how many. stop ends the watching: fn is not called again, a
// call that is under way goes on. A panic of fn is not recovered.
func (b *Bridge) Watch(fn func(Event)) (stop func()) {
	q := &b.events
	q.mu.Lock()
	defer q.mu.Unlock()
	h := &handler{fn: fn, from: q.first + uint64(len(q.queue))}
	q.handlers = append(slices.Clip(q.handlers), h)
	q.on.Store(true)
	return func() {
		h.stopped.Store(true)
		q.mu.Lock()
		defer q.mu.Unlock()
		q.handlers = slices.DeleteFunc(slices.Clone(q.handlers), func(x *handler) bool { return x == h })
		q.on.Store(len(q.handlers) > 0)
	}
}

func (q *events) post(e Event) {
	if !q.watched() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) >= maxEvents {
		q.lost++
		return
	}
	q.queue = append(q.queue, e)
	q.pending.Store(true)
}

// holdWhile runs fn, which makes public what the events it posts tell of: nobody
// hears of it before it can be seen.
func (q *events) holdWhile(fn func()) {
	hold := func(on bool) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.held = on
	}
	hold(true)
	fn()
	hold(false)
	if q.pending.Load() {
		q.more() // who came to deliver in the meantime has gone
	}
}

// deliver hands out what is queued, unless another call is doing so already, who
// then sees these events too. A goroutine whose own work waits does so a few times
// only, however fast others add to the queue; then the next one, or Serve, goes on.
func (q *events) deliver() {
	for range 8 {
		if !q.pending.Load() {
			return
		}
		batch, first, handlers := q.take()
		if batch == nil {
			return
		}
		q.handOut(batch, first, handlers)
	}
	q.more()
}

func (q *events) take() (batch []Event, first uint64, handlers []*handler) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.delivering || q.held || len(q.queue) == 0 {
		return nil, 0, nil
	}
	if q.lost > 0 {
		q.queue = append(q.queue, Event{Kind: EventLost, Lost: q.lost})
	}
	batch, first = q.queue, q.first
	q.first += uint64(len(batch))
	q.queue, q.lost, q.delivering = nil, 0, true
	q.pending.Store(false)
	return batch, first, q.handlers
}

func (q *events) handOut(batch []Event, first uint64, handlers []*handler) {
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.delivering = false
	}()
	for i, e := range batch {
		for _, h := range handlers {
			if first+uint64(i) >= h.from && !h.stopped.Load() {
				h.fn(e)
			}
		}
	}
}

package bridge

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ddfb540f/bridge/frame"
)

// An EventKind says what happened.
type EventKind uint8

// The kinds of events. The FDB's are Linux's RTM_NEWNEIGH and RTM_DELNEIGH; a
// plain refresh sends nothing.
const (
	EventNone       EventKind = iota
	EventFDBAdd               // an entry was made: MAC, VID, Port
	EventFDBMove              // an entry went to another port: Port is the new one
	EventFDBChange            // a request changed an entry
	EventFDBDelete            // an entry is gone
	EventPortAdd              // a port joined
	EventPortRemove           // a port left
	EventPortState            // a port's state changed: State
	EventPortFailed           // a port's cable ended: Err says why
	EventCableDown            // a port's interface reports that it is down
	EventCableUp              // and up again
	EventAddress              // the bridge's own address changed: MAC
	EventLost                 // Lost events were not delivered: the queue was full
)

var eventNames = [...]string{
	EventNone: "none", EventFDBAdd: "fdb add", EventFDBMove: "fdb move", EventFDBChange: "fdb change",
	EventFDBDelete: "fdb delete", EventPortAdd: "port add", EventPortRemove: "port remove",
	EventPortState: "port state", EventPortFailed: "port failed", EventCableDown: "cable down",
	EventCableUp: "cable up", EventAddress: "address", EventLost: "lost",
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
	Err   error
	Lost  int
}

// String gives the event as one line.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Port != "" {
		s += " " + e.Port
	}
	switch e.Kind {
	case EventFDBAdd, EventFDBMove, EventFDBChange, EventFDBDelete, EventAddress:
		s += " " + e.MAC.String()
	case EventPortState:
		s += " " + e.State.String()
	case EventLost:
		s += fmt.Sprintf(" %d events", e.Lost)
	}
	if e.VID != 0 {
		s += fmt.Sprintf(" vlan %d", e.VID)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
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
	lost       int
	handlers   []*func(Event)
	delivering bool // one deliverer at a time
}

func (q *events) watched() bool { return q.on.Load() }

// Watch has fn called with every event from now on, in order, one at a time, on
// the goroutine whose frame, Tick or call caused it, once no lock is held: fn may
// call anything of the Bridge. While fn takes its time, other goroutines go on
// and their events wait for it in a bounded queue; what does not fit is lost, and
// an EventLost says how many. stop ends the watching; a call of fn that is under
// way goes on.
func (b *Bridge) Watch(fn func(Event)) (stop func()) {
	q := &b.events
	h := &fn
	q.mu.Lock()
	q.handlers = append(slices.Clip(q.handlers), h)
	q.on.Store(true)
	q.mu.Unlock()
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.handlers = slices.DeleteFunc(slices.Clone(q.handlers), func(x *func(Event)) bool { return x == h })
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

// deliver hands out what is queued, unless another call is doing so already, who
// then sees these events too.
func (q *events) deliver() {
	for q.pending.Load() {
		batch, handlers := q.take()
		if batch == nil {
			return
		}
		q.handOut(batch, handlers)
	}
}

func (q *events) take() ([]Event, []*func(Event)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.delivering || len(q.queue) == 0 {
		return nil, nil
	}
	batch := q.queue
	if q.lost > 0 {
		batch = append(batch, Event{Kind: EventLost, Lost: q.lost})
	}
	q.queue, q.lost, q.delivering = nil, 0, true
	q.pending.Store(false)
	return batch, q.handlers
}

func (q *events) handOut(batch []Event, handlers []*func(Event)) {
	defer func() {
		q.mu.Lock()
		q.delivering = false
		q.mu.Unlock()
	}()
	for _, e := range batch {
		for _, h := range handlers {
			(*h)(e)
		}
	}
}

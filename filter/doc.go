// Package filter has ready-made filters for a bridge, and the parser behind them.
//
//	filter        asked at                        what it lets through
//	Addresses     PreRouting, LocalIn*            the addresses that a port may use, in Ethernet, IP, ARP and ND
//	Storm         PreRouting                      so much broadcast, multicast and unknown unicast a second
//	Flap          PreRouting                      an address that jumps between ports stays where it was
//	Loop          PreRouting, Forward, LocalOut   nothing at a port from which there is a way back to the bridge
//	Isolation     Forward                         between ports that may speak to each other
//	Mirror        all five                        everything, with a copy for another port
//
//	* for frames to the port's own stack
//
// Each is made by a function of its own, which checks what it is told, and gives a
// [bridge.Filter] for [bridge.Config.Filters] or [bridge.Bridge.SetFilters]. To
// change what one is told, make another, and set the list again. Each counts what it
// did, reports violations as events (bridge.EventFilter), which the bridge keeps from
// flooding the queue, takes its time from Config.Clock, and does nothing but answer
// in a dry run. All may be called by any goroutine.
//
// A list is asked in its order. A Mirror at its head sees what the others drop; a
// Flap behind Addresses does not believe a forged source:
//
//	b.SetFilters(mirror.Filter(), loop.Filter(), addresses.Filter(), storm.Filter(), flap.Filter(), isolation.Filter())
//
// Ports are meant by their names, so that a port that leaves and joins again has its
// rules; all but Mirrored.To. A Storm, a Flap and a Loop remember ports by name too, and
// are for one bridge. A Loop has to be ticked ([Loop.Tick]).
//
// Frames that Linux does not show to a filter are not seen here either: those to
// 01:80:c2:00:00:00 and 0e that are for the port's own stack. They still teach the
// bridge their source, unless the port does not learn or NoLinkLocalLearn is set.
package filter

import "errors"

var (
	errPortName = errors.New("filter: a port needs a name")
	errNoLimit  = errors.New("filter: a limit must not be negative")
)

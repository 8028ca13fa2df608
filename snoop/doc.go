// Package snoop is the multicast snooping of the Linux bridge as a machine of its own:
// packets, requests and time go in; groups, router ports and queries come out. It has
// no goroutine, no clock and no socket, and imports nothing of the bridge around it.
//
// # The idea
//
// A switch that knows nothing of groups sends every multicast frame everywhere.
// Hosts tell routers which groups they want, with IGMP over IPv4 and MLD over IPv6; a
// bridge that listens to these reports ("snooping", RFC 4541) can send a group to those
// ports alone behind which somebody wants it. A report is a membership for a while:
// somebody, the querier, asks from time to time, and who is not heard of for the
// membership interval is forgotten. Who leaves says so; then the querier asks once more
// who is left, and one that does not answer within seconds is gone.
//
// From this it follows what is surprising at first:
//
//   - Without a querier reports come when they like, and memberships run out that are
//     wanted. So nothing is restricted until there is one, be it another or the bridge
//     itself ([Options.Querier]), and until all hosts have had the time to answer it.
//   - Routers send no reports for what they route, but must get everything. A port
//     where queries, PIM hellos or router advertisements come in is a router port for a
//     while, and gets every group.
//   - 224.0.0.0/24 and ff02::1 are never restricted, since nobody reports the groups
//     that protocols on one link live by. In IPv6 all other groups of link-local
//     scope are reported, and are restricted, those of solicited nodes too. So neighbour
//     discovery lives by the reports of stations, which come before they use an address,
//     and by memberships that outlive a querier. It fails, as in Linux, where a report is
//     lost or refused by a limit; until stations have answered where snooping is turned
//     off and on again while there is a querier; and where stations of MLDv1 share a group
//     that nobody is in when the first query comes: one answers for all then.
//   - Reports of IGMPv1, IGMPv2 and MLDv1 go to router ports alone: a host that hears
//     another's report keeps its own to itself, and its port would be forgotten. Those
//     of IGMPv3 and MLDv2 go everywhere, as nobody is silent because of them.
//
// # A packet's way
//
//	frame -> View.Parse -> Machine.Handle        -> View.Decide     -> Targets
//	         packet.go     report.go querier.go     view.go            ports, in order
//	                       router.go
//
// One step after the other:
//
//  1. [View.Parse] reads a multicast frame: every length and checksum once. A frame
//     that is not what it says is dropped, as in Linux, also one that carries data.
//  2. What [Packet.Control] holds for is given to [Machine.Handle], before the frame
//     goes on: so a join in one frame counts for the next. Its error drops the frame.
//  3. [View.Decide] says whether the frame is restricted. If not, it is flooded. If so,
//     it goes to [Targets]: members and router ports, those added last first.
//
// Steps 1 and 3 may be done by any number of goroutines, without a lock and without
// memory from the heap; step 2 is one goroutine's at a time. Explaining a frame is
// steps 1 and 3 with [Machine.Check] in place of Handle: it answers the same and
// changes nothing.
//
// # What is kept
//
// A [Key] names a group: (*,G), any source, or (S,G). While the bridge speaks IGMPv2
// and MLDv1, its default, there is only (*,G), and a membership is a port with a timer
// (group.go). With IGMPv3 and MLDv2 a member of (*,G) has a filter mode and a list of
// sources with timers (source.go), kept for each port as RFC 3376, section 6.4, has it
// for a router's interface (report.go has a method for each row of its tables):
//
//	INCLUDE   the sources in the list, while their timers run
//	EXCLUDE   all sources, but those in the list whose timers do not run
//
// Each source in a list makes (S,G) with the port as member, blocked if it is not
// wanted, since that is what is looked up for a frame. As (S,G) hides (*,G), ports in
// EXCLUDE mode are added to each (S,G) of the others (Entry.AddedByStarExc), and go
// when the last member of its own goes.
//
// A port with fast leave lets go at once of what is left. For that the hosts behind it
// are tracked one by one (tracking.go), for the sources' sake. A port that converts to
// unicast has a membership for each host's MAC address.
//
// Entries come from requests too (request.go), permanent or for the membership interval.
// Reports do not change a permanent one, and no timer ends it.
//
// All this is per VLAN if the bridge filters VLANs, and with [Machine.SetPerVLAN]
// queriers, router ports and settings are per VLAN as well: a context each
// (context.go).
//
// # Bounds
//
// Hosts may say anything, so all that they can have kept is bounded:
//
//   - groups, (*,G) and (S,G) together, by [Machine.SetHashMax]: one more ends snooping
//     altogether, as in Linux;
//   - memberships of a port by the number of groups, by [PortOptions.MaxGroups], and by
//     [Machine.SetPortMaxGroups]. Where a port converts to unicast each host has its
//     own: there are 16,384 of a port in a group at most, and 65,536 of a port before a
//     group has one only. These two are ours;
//   - sources of a member: 32;
//   - hosts that a port tracks by [PortOptions.EHTHostsLimit], each with 128 sources of a
//     group;
//   - timers by what they are for; queries by the records of the report, three for each.
//
// All of it ends when its time is over, but for three things, as in Linux. Where sources
// count, who allows no source at all is a member that gets nothing until the port goes
// down. A group whose first member a limit refused stays without any, and counts in the
// table, until somebody has joined and left it. The third takes a request ([Machine.Delete]).
//
// A record costs the logarithm of the number of timers, the members of the groups that
// it names, and for each of its sources, where they count, the ports that want all
// sources of the group. Nothing depends on the number of groups, and a VLAN or a port that
// goes costs what it was in.
//
// # Time
//
// Every call that changes something is told the time, as a duration since a moment of
// the caller's choice. Timers run in [Machine.Tick], at the moment that
// [Machine.NextTimer] names or later. What is due at a moment and has not been ticked
// has not happened: as in Linux, where a timer's handler runs a little later too.
//
// # The contract with the bridge around it
//
// The caller holds a lock of its own around every call of a Machine; View and Counters
// need none. Frames take that lock only for control. Queries and events are handed out
// within the call (Config.Send, Config.Notify), in order; neither may call back. A call
// that returns has published all it changed; a frame never waits for readers.
//
// The bridge tells of ports (AddPort, SetPortState, EnablePort, DisablePort), of VLANs
// (AddVLAN, SetSelf, AddPortVLAN, SetVLANState), of its own device (SetUp, SetSource),
// and of settings. It decides itself whether a frame may leave by a port: a Target is
// no promise. It counts what it forwards ([Counters.Count]).
//
// Not here are what belongs to the host's own stack (joining the group of all snoopers,
// answering queries) and hardware offload.
package snoop

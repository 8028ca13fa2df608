package main

const usage = `gobr is a Linux bridge in user space, between TAPs, other interfaces and the
sockets of virtual machines.

  gobr run [flags]   bridge until interrupted, then print statistics, the FDB and the
                     multicast groups. A SIGUSR1 prints the tables meanwhile
  gobr help          print this

Ports, each named once:
  --tap NAME[@NETNS]   a port: a TAP of that name. A persistent TAP is attached, and
                       left as it was found in the end; else one is made, and
                       vanishes. With one %d in NAME the kernel chooses. NETNS is a
                       path, or a name of ip netns
  --raw NAME[@NETNS]   a port: an interface that is there, such as eth0, one end of
                       a veth pair, or a TAP that another program holds. It should
                       have no IP address: whatever it has belongs on the host.
                       Beside a host in the same namespace, sysctl
                       net.ipv4.conf.NAME.arp_ignore=1 keeps the machine from
                       answering ARP for it by the wrong interface
  --xdp NAME[@NETNS][,generic][,ring=N]
                       the same past the kernel's stack, by AF_XDP, for network cards:
                       nobody else sees what comes in there. generic: behind the driver,
                       though it could do it itself. N frames may wait each way in a
                       queue, a power of two from 64 to 32768 (2048)
  --qemu NAME=ADDRESS[,OPTION...]
                       a port of that name: a socket that QEMU, passt, vfkit and
                       their kin take for a network cable, with no TAP and no
                       privilege; see below
  --host NAME[@NETNS]  attach a host by a TAP of that name, which gets the bridge's
                       address and MTU: give it IP addresses to take part
  --port PORT=OPTION[=VALUE],...
                       settings of a port that is named as above; see below
  --vlan PORT=VLANS    VLANs of a port, or of the host under the bridge's name; see
                       below. It turns --vlan-filtering on
  --reattach           an interface that is gone is attached again once there is one
                       of its name again. That goes for TAPs too, which gobr makes
                       at the start only: make it anew (ip tuntap add)

The bridge:
  --name NAME          its name (br0)
  --address MAC        its address, which the host's TAP gets (without it the
                       bridge gets the TAP's, or without a host the lowest of the
                       ports)
  --mtu BYTES          MTU of the ports with --tap and --qemu, 68 to 65521 (left as
                       it is: 1500). The bridge's own is the smallest of the ports
  --ageing SECONDS     life of an idle entry of the FDB; 0: nothing is learned (300)
  --fdb-limit N        addresses learned at most, 1 to 16777216 (65536); then
                       the port that holds most makes room
  --group-fwd-mask M   bit X: forward frames to 01:80:c2:00:00:0X, X from 3 on (0)
  --vlan-filtering     filter VLANs; every port is in VLAN 1, untagged, unless --vlan
                       says otherwise
  --vlan-protocol P    802.1Q or 802.1ad (802.1Q)
  --vlan-default-pvid VID
                       the VLAN of ports without --vlan, 0 is none (1)
  --mcast-snooping     multicast goes where IGMP and MLD say that it is wanted, once there
                       is a querier
  --mcast-querier      send IGMP and MLD queries while nobody else does. It turns
                       --mcast-snooping on. MLD queries come from the link-local
                       address of the host's TAP; while there is none, from the
                       one that belongs to the bridge's address (EUI-64)
  --mcast OPTION=VALUE,...
                       settings of snooping; see below. It turns --mcast-snooping on
  --vlan-mcast VID[-VID]:OPTION=VALUE,...
                       settings of snooping of these VLANs, which must have a member; see
                       below. It turns --mcast vlan_snooping on
  --stp off|stp|rstp   spanning tree: a loop of bridges is broken by blocking a port,
                       which takes over when another cable ends (off). stp is 802.1D,
                       as the bridge of Linux has it, rstp is that of 802.1D-2004, which
                       is fast, and slow with who has stp. What becomes of ports is said
  --priority N         of the bridge in the choice of the root, 0 to 65535, the lowest
                       is chosen (32768). This and the next have effect with --stp
  --hello-time SECONDS 1 to 10: how often the root speaks (2)
  --max-age SECONDS    6 to 40: how long what was heard of the root holds (20)
  --forward-delay SECONDS
                       2 to 30: how long a port listens, and then learns, before it
                       forwards (15). These three hold for all bridges of the root's
  --tx-hold-count N    with rstp: BPDUs that a port may send at once, 1 to 10 (6)
  --loop-probe off|report|hold[,every=SECONDS][,hold=SECONDS]
                       look for loops without a spanning tree: a port sends a small
                       frame every 5 seconds, and one that comes back is reported; hold
                       takes a port out until 60 seconds have gone by without (off)
  --trace              print every step of every frame

ADDRESS[,OPTION...] of --qemu is one of these. A comma in PATH is written twice
  unix:PATH            listens there for a stream:
                       QEMU: -netdev stream,addr.type=unix,addr.path=PATH
  tcp:HOST:PORT        the same by TCP: -netdev socket,connect=HOST:PORT
  unix:PATH,connect tcp:HOST:PORT,connect
                       connects to a PATH or PORT where QEMU listens (server=on,
                       listen=), or passt --socket, gvproxy -listen-qemu; again and
                       again, until somebody is there: reconnect-ms=MS (1000)
  unixgram:PATH,remote=PATH2
                       datagrams: QEMU: -netdev dgram,local.type=unix,
                       local.path=PATH2,remote.type=unix,remote.path=PATH
  unixgram:PATH        the same with who sends first: vfkit and its kin
  udp:HOST:PORT,remote=HOST:PORT
                       QEMU: -netdev socket,udp=HOST:PORT,localaddr=HOST:PORT
  mcast:GROUP:PORT[,localaddr=IP]
                       a group of IPv4 whose members share a cable: mcast=GROUP:PORT
A PATH that begins with @ is a name in the abstract namespace. Sockets made here are
for the user who runs gobr alone; mode=MODE is another mode of a unix: or unixgram:
one, such as mode=0660 (who may write may connect). TCP, UDP and names with @ are open
to all users of this machine. A stream's end is not the port's: while nobody is there
it has no carrier, and it keeps its settings and statistics for who comes next.

OPTIONs of a port, by the names of bridge(8) and ip-link(8); B is on or off, or is
left out: on
  learning=B flood=B mcast_flood=B bcast_flood=B hairpin=B isolated=B locked=B mab=B
  proxy_arp=B state=WORD|0..4 group_fwd_mask=MASK backup_port=PORT
with effect while --stp is on:
  priority=0..63
               the lower of two ports that lead to the same bridge is chosen (32)
  cost=1..65535
               of the way by this port (by its speed: 2 for 10 Gb/s, 5 for 1 Gb/s, 19
               for 100 Mb/s, 100 for 10 Mb/s or one that is not known)
  guard=B      a BPDU that comes in shuts the port, until its link has gone down
  root_block=B the port does not become the root port: a better root behind it is
               answered by listening, with rstp by discarding
with effect while --stp is rstp, which does not look at cost:
  path_cost=1..200000000
               (by its speed: 2000 for 10 Gb/s, 20000 for 1 Gb/s, 200000 for 100 Mb/s
               or one that is not known)
  edge=B       no bridge is behind the port, it forwards at once (off)
  auto_edge=B  the port finds that out by itself in 3 seconds (on)
  point_to_point=auto|yes|no
               whether there is one bridge at most behind the port, without which it
               is slow (auto: there is)
  loop_guard=B a port that hears no more BPDUs stays discarding
  restricted_tcn=B
               topology changes behind the port are kept from the other ports
  bpdu_filter=B
               no BPDU leaves, none is listened to: with a bridge there, a loop
with effect while --mcast-snooping is on:
  fastleave=B mcast_fast_leave=B mcast_router=0..3 mcast_to_unicast=B
  mcast_max_groups=N mcast_eht_hosts_limit=N
and gobr's own:
  up=B         bring the interface up (--raw and --xdp: off, else: on)
  mtu=BYTES    with --tap and --qemu, in place of --mtu
  queues=N     with --tap and --raw: that share the port's frames by flow, 1 to 256
               (1)
  offload=B    of a TAP, the host's too: take and give TCP and UDP data that is not
               cut into segments yet, and checksums that are not filled in (on)
  txqueue=N    frames that the kernel keeps for gobr in each queue of a TAP, the
               host's too (1000)
  rcvbuf=BYTES that the kernel keeps for gobr in each queue of another interface
               (4194304)
  fdb_limit=N  addresses learned on the port at most (no limit of its own)
and filters (docs/filters.md), which say what they drop:
  allow_mac=MAC allow_ip=ADDRESS|PREFIX, each as often as needed
               all that the port may use, as source and in ARP and ND
  bcast_rate=N mcast_rate=N unknown_rate=N
               frames a second that it may send to all, to groups, and to addresses
               that are not known
  loop_keep=B  --loop-probe=hold takes out the other port of a loop, not this one
Answering for nobody, since gobr has no table of neighbours; what is left is that
gratuitous ARP and unsolicited neighbour advertisements do not leave by the port:
  neigh_suppress=B neigh_vlan_suppress=B
  proxy_arp_wifi=B (while a port suppresses)
Taken, and without effect yet:
  vlan_tunnel=B backup_nhid=N

OPTIONs of --mcast, by the names of ip-link(8) less their mcast_, with its defaults
  router=0..2 igmp_version=2|3 mld_version=1|2 hash_max=N
  vlan_snooping=B: each VLAN has settings, routers and queriers of its own, and
                   --mcast-querier is for all. It turns --vlan-filtering on
  query_use_ifaddr=B: IGMP queries come from the address of the host's TAP
  last_member_count=N startup_query_count=N
in seconds, such as 2.5, to 86400
  query_interval=S query_response_interval=S startup_query_interval=S
  querier_interval=S membership_interval=S last_member_interval=S
Those of --vlan-mcast are snooping=B querier=B and, of these, versions, counts and times:
what --mcast says of them is not for VLANs with vlan_snooping.

VLANS is one of
  access:VID                   that VLAN alone, untagged
  trunk:VID[-VID],...          those, tagged; one of them as native:VID is untagged
  VID[-VID][:pvid][:untagged],...   as bridge(8) has it
  none

MTU, link, speed and, of --raw, address of every interface are followed within half a
second. So is the bridge's MTU by the host's TAP; and what is set there, MTU, address,
down or up, is set for the bridge: as in Linux nothing passes while it is down.
A TAP that leaves its network namespace is followed no more, and taken for up, until
it is back.

Exit status: 0 after an interrupt or SIGTERM, 1 after a failure, 2 for a wrong
command line. Making TAPs needs CAP_NET_ADMIN, --raw needs CAP_NET_RAW, entering a
NETNS CAP_SYS_ADMIN, --qemu nothing.
`

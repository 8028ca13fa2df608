package frameio

import "syscall"

var (
	noRoom  = []error{syscall.EAGAIN, syscall.ENOBUFS}
	tooLong = []error{syscall.EMSGSIZE}
	down    = []error{syscall.ENETDOWN}

	// unreached speaks of a network whatever it comes from.
	unreached = []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENONET}

	// hearsay does so when a datagram socket answers it: the rest of what
	// icmp_err_convert and icmpv6_err_convert make of a packet from the network,
	// ECONNRESET of unix_dgram_disconnected, and EPERM of a packet filter.
	hearsay = []error{syscall.ECONNRESET, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EPROTO, syscall.EMSGSIZE, syscall.EACCES, syscall.EPERM}
)

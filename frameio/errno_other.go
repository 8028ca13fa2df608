//go:build !linux && !windows && !plan9

package frameio

import "syscall"

var (
	noRoom  = []error{syscall.EAGAIN, syscall.ENOBUFS}
	tooLong = []error{syscall.EMSGSIZE}
	down    = []error{syscall.ENETDOWN}

	// unreached speaks of a network whatever it comes from.
	unreached = []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH}

	// hearsay does so when a datagram socket answers it: what else is made of an
	// ICMP packet, or is a packet filter's answer.
	hearsay = []error{syscall.ECONNRESET, syscall.ENOPROTOOPT, syscall.EMSGSIZE, syscall.EACCES, syscall.EPERM}
)

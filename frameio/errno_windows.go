package frameio

import "syscall"

// Windows Sockets has numbers of its own ("Windows Sockets Error Codes"). The
// POSIX ones are constants of package syscall that the system never gives, but
// an rw written in Go may.
const (
	wsaEWOULDBLOCK  = syscall.Errno(10035)
	wsaEMSGSIZE     = syscall.Errno(10040)
	wsaENETDOWN     = syscall.Errno(10050)
	wsaENETUNREACH  = syscall.Errno(10051)
	wsaENETRESET    = syscall.Errno(10052)
	wsaENOBUFS      = syscall.Errno(10055)
	wsaECONNREFUSED = syscall.Errno(10061)
	wsaEHOSTDOWN    = syscall.Errno(10064)
	wsaEHOSTUNREACH = syscall.Errno(10065)
)

var (
	noRoom  = []error{syscall.EAGAIN, syscall.ENOBUFS, wsaEWOULDBLOCK, wsaENOBUFS}
	tooLong = []error{syscall.EMSGSIZE, wsaEMSGSIZE}
	down    = []error{syscall.ENETDOWN, wsaENETDOWN}

	// unreached speaks of a network whatever it comes from.
	unreached = []error{
		syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
		wsaECONNREFUSED, wsaEHOSTUNREACH, wsaENETUNREACH, wsaEHOSTDOWN,
	}

	// hearsay does so when a datagram socket answers it: WSARecv gives
	// WSAECONNRESET for an ICMP port unreachable, WSAENETRESET for a time to live
	// that ran out, and WSAEMSGSIZE along with a datagram cut short.
	hearsay = []error{
		syscall.ECONNRESET, syscall.ENOPROTOOPT, syscall.EMSGSIZE, syscall.EACCES, syscall.EPERM,
		syscall.WSAECONNRESET, wsaENETRESET, wsaEMSGSIZE, syscall.WSAEACCES,
	}
)

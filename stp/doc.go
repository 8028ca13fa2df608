// Package stp is the spanning tree protocols as machines of their own: BPDUs, changes
// of links and time go in; port states, flushes and BPDUs come out. It has no
// goroutine, no clock and no socket, and imports nothing of the bridge around it.
package stp

// Package vm performs scenarios on the bridge of a Debian kernel in a virtual machine,
// for what the running kernel has not got: VLAN filtering, say. The machine's only
// program is this one again, as its first process; scenarios go in by a virtio console
// and come out with what the kernel did.
package vm

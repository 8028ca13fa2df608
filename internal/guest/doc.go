// Package guest runs virtual machines for examples and tests, on Linux on amd64: QEMU,
// a Debian kernel, and of the machine's busybox a system that does what it is told by
// its serial line. It leaves no file behind, and no guest outlives the program.
package guest

// QEMU is the program that runs guests.
const QEMU = "qemu-system-x86_64"

// QEMU's ways to run a guest: on the processor, or translated.
const (
	KVM = "kvm"
	TCG = "tcg"
)

// KernelVariable is the environment's word for a directory that has a kernel other
// than this machine's.
const KernelVariable = "QEMUGUEST_KERNEL"

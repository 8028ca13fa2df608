package guest

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"time"
)

// probeROM is a firmware of 64 KB: the processor begins 16 bytes before its end,
// jumps 256 back, counts 64 million down and ends QEMU by a write to port 0xf4.
func probeROM() []byte {
	rom := bytes.Repeat([]byte{0xf4}, 1<<16)                            // hlt
	copy(rom[len(rom)-16:], []byte{0xe9, 0x0d, 0xff})                   // jmp .-240
	copy(rom[len(rom)-256:], []byte{0x66, 0xb9, 0, 0, 0, 4, 0x67, 0xe2, // mov ecx, 0x4000000; again: loop again
		0xfd, 0xb0, 0x10, 0xe6, 0xf4}) // mov al, 16; out 0xf4, al
	return rom
}

// fullSpeed is how long a processor may take for the firmware, which counts in a
// tenth of a second, and QEMU to start and end. A processor that is imitated one
// instruction at a time takes half a minute.
const fullSpeed = 2 * time.Second

// accelWorks says whether QEMU runs guests by an accelerator, and counts within the
// limit: that /dev/kvm can be opened says neither, in a virtual machine above all.
func accelWorks(ctx context.Context, accel string, limit time.Duration) bool {
	rom, err := inMemory("firmware", probeROM())
	if err != nil {
		return false
	}
	defer rom.Close()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, QEMU, "-accel", accel, "-m", "16", "-nodefaults", "-no-user-config",
		"-display", "none", "-bios", "/dev/fd/3", "-device", "isa-debug-exit,iobase=0xf4,iosize=1")
	cmd.ExtraFiles = append(cmd.ExtraFiles, rom)
	var exit *exec.ExitError
	return errors.As(cmd.Run(), &exit) && exit.ExitCode() == 16<<1|1
}

// BestAccel gives KVM if that works at full speed, else TCG.
func BestAccel(ctx context.Context) string {
	if accelWorks(ctx, KVM, fullSpeed) {
		return KVM
	}
	return TCG
}

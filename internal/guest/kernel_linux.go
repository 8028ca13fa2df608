package guest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// drivers are the modules that a guest loads: its network cards, and the bus of the
// second.
var drivers = []string{"e1000", "virtio_pci", "virtio_net"}

// A Kernel is one that has the drivers, as modules or built in.
type Kernel struct {
	image   string            // its vmlinuz
	modules map[string]string // paths of all its modules by name; "" for one that is built in
}

// FindKernel looks below root for the newest kernel that fits.
func FindKernel(root string) (*Kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(images, func(a, b string) int { return modified(b).Compare(modified(a)) })
	for _, image := range images {
		version := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		k := &Kernel{image: image, modules: make(map[string]string)}
		for _, lib := range []string{"lib", "usr/lib"} { // the second since Debian 13
			dir := filepath.Join(root, lib, "modules", version)
			k.listBuiltIn(filepath.Join(dir, "modules.builtin"))
			k.list(dir)
		}
		if !slices.ContainsFunc(drivers, func(d string) bool { _, ok := k.modules[d]; return !ok }) {
			return k, nil
		}
	}
	return nil, fmt.Errorf("no kernel with the modules %s in %s and %s", strings.Join(drivers, ", "),
		filepath.Join(root, "boot"), filepath.Join(root, "lib/modules"))
}

// listBuiltIn notes the modules of a file that names them as if they were files.
func (k *Kernel) listBuiltIn(path string) {
	text, _ := os.ReadFile(path) // where there is none, none is known
	for line := range strings.Lines(string(text)) {
		base, _, _ := strings.Cut(filepath.Base(line), ".ko")
		k.modules[moduleName(base)] = ""
	}
}

// list notes all modules below a directory. What cannot be read is not there.
func (k *Kernel) list(dir string) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if base, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && err == nil {
			k.modules[moduleName(base)] = path
		}
		return nil
	})
}

// modified orders kernels: the one that was built last is the newest.
func modified(path string) (t time.Time) {
	if i, err := os.Stat(path); err == nil {
		t = i.ModTime()
	}
	return t
}

// moduleName is a module's name in the one form that does not vary.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// module is what insmod takes.
type module struct {
	name string
	data []byte
}

// load reads modules and what they need, each behind all that it needs itself.
func (k *Kernel) load(names []string) (order []module, err error) {
	seen := make(map[string]bool)
	var need func(name string) error
	need = func(name string) error {
		if seen[name] || k.modules[name] == "" {
			return nil // what is no module is built in
		}
		seen[name] = true
		data, err := os.ReadFile(k.modules[name])
		if err != nil {
			return err
		}
		if data, err = unpack(data); err != nil {
			return fmt.Errorf("module %s: %w", k.modules[name], err)
		}
		depends, err := dependsOn(data)
		if err != nil {
			return fmt.Errorf("module %s: %w", k.modules[name], err)
		}
		for _, d := range depends {
			if err := need(moduleName(d)); err != nil {
				return err
			}
		}
		order = append(order, module{name, data})
		return nil
	}
	for _, d := range names {
		if err := need(d); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// dependsOn reads the names of the modules that a module needs from the module
// itself (the field depends of its section .modinfo), so that nobody has to have run
// depmod.
func dependsOn(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

// packers are the forms in which kernels and modules are packed, by how they begin,
// and the programs that know them.
var packers = []struct {
	magic string
	args  []string
}{
	{"\xfd7zXZ\x00", []string{"xz", "-dcq", "--single-stream"}},
	{"\x28\xb5\x2f\xfd", []string{"zstd", "-dcq"}},
	{"\x1f\x8b\x08", []string{"gzip", "-dcq"}},
}

// unpack gives data in its plain form, which it may have already.
func unpack(data []byte) ([]byte, error) {
	for _, p := range packers {
		if !bytes.HasPrefix(data, []byte(p.magic)) {
			continue
		}
		cmd := exec.Command(p.args[0], p.args[1:]...)
		cmd.Stdin = bytes.NewReader(data)
		plain, err := cmd.Output()
		if len(plain) == 0 && err != nil { // what follows the packed part may be called garbage
			return nil, fmt.Errorf("unpack with %s: %w", p.args[0], err)
		}
		return plain, nil
	}
	return data, nil
}

// boot gives the kernel as QEMU is to load it. A vmlinuz unpacks itself, which a
// translated processor takes seconds for; so what is packed in it is given to QEMU
// at once if this machine can unpack it: an ELF file with a PVH entry. Where it lies
// says Documentation/arch/x86/boot.rst; its last four bytes are its length when it
// is unpacked.
func (k *Kernel) boot() ([]byte, error) {
	const setupSects, magicAt, payloadAt, lengthAt = 0x1f1, 0x202, 0x248, 0x24c
	image, err := os.ReadFile(k.image)
	if err != nil {
		return nil, err
	}
	if len(image) < lengthAt+4 || string(image[magicAt:magicAt+4]) != "HdrS" {
		return nil, fmt.Errorf("%s is no Linux kernel for a PC", k.image)
	}
	at := (uint64(image[setupSects])+1)*512 + uint64(binary.LittleEndian.Uint32(image[payloadAt:]))
	end := at + uint64(binary.LittleEndian.Uint32(image[lengthAt:]))
	if at+4 > end || end > uint64(len(image)) {
		return image, nil
	}
	plain, err := unpack(image[at:end])
	if err != nil || !bytes.HasPrefix(plain, []byte(elf.ELFMAG)) ||
		uint32(len(plain)) != binary.LittleEndian.Uint32(image[end-4:]) {
		return image, nil // then the guest has to do it
	}
	return plain, nil
}

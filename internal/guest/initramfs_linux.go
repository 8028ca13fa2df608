package guest

import (
	"debug/elf"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed init.sh
var initScript []byte

// Software is what every guest is started with, held in memory that has no name.
type Software struct{ kernel, initramfs *os.File }

// Close lets go of it. Guests that run have theirs.
func (s *Software) Close() {
	s.kernel.Close()
	s.initramfs.Close()
}

// Prepare puts a guest's software together.
func Prepare(k *Kernel) (*Software, error) {
	image, err := k.boot()
	if err != nil {
		return nil, err
	}
	modules, err := k.load(drivers)
	if err != nil {
		return nil, err
	}
	var a archive
	for _, d := range []string{"dev", "proc", "sys", "tmp"} {
		a.dir(d)
	}
	a.file("init", 0o755, initScript)
	var order strings.Builder
	for _, m := range modules {
		a.file("modules/"+m.name+".ko", 0o644, m.data)
		order.WriteString(m.name + ".ko\n")
	}
	a.file("modules/order", 0o644, []byte(order.String()))
	if err := addBusybox(&a); err != nil {
		return nil, err
	}
	return hold(image, &a)
}

// hold keeps a kernel and an archive in memory.
func hold(image []byte, a *archive) (*Software, error) {
	var s Software
	var err error
	if s.kernel, err = inMemory("kernel", image); err != nil {
		return nil, err
	}
	var packed strings.Builder
	if err = a.writeTo(&packed); err == nil {
		s.initramfs, err = inMemory("initramfs", []byte(packed.String()))
	}
	if err != nil {
		s.kernel.Close()
		return nil, err
	}
	return &s, nil
}

// inMemory makes a file of data that is gone with its last user.
func inMemory(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// addBusybox adds this machine's busybox and, unless it is static, its libraries.
func addBusybox(a *archive) error {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	a.file("bin/busybox", 0o755, data)
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			loader := make([]byte, p.Filesz)
			if _, err := p.ReadAt(loader, 0); err != nil {
				return err
			}
			return addDynamic(a, f, strings.TrimRight(string(loader), "\x00"))
		}
	}
	return nil
}

// addDynamic adds the loader and the libraries of a program, and theirs.
func addDynamic(a *archive, f *elf.File, loader string) error {
	if err := addLibrary(a, loader, strings.TrimPrefix(loader, "/")); err != nil {
		return err
	}
	done := map[string]bool{filepath.Base(loader): true}
	var add func(f *elf.File) error
	add = func(f *elf.File) error {
		names, err := f.ImportedLibraries()
		if err != nil {
			return err
		}
		for _, name := range names {
			if done[name] {
				continue
			}
			done[name] = true
			path, err := findLibrary(name)
			if err != nil {
				return err
			}
			if err := addLibrary(a, path, "lib/"+name); err != nil {
				return err
			}
			l, err := elf.Open(path)
			if err != nil {
				return err
			}
			err = add(l)
			l.Close()
			if err != nil {
				return err
			}
		}
		return nil
	}
	return add(f)
}

func addLibrary(a *archive, path, name string) error {
	data, err := os.ReadFile(path)
	if err == nil {
		a.file(name, 0o755, data)
	}
	return err
}

// findLibrary looks where the loader does.
func findLibrary(name string) (string, error) {
	for _, dir := range []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("busybox needs the library %s, which is not where libraries are", name)
}

package guest

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// archive is a file system in the form that the kernel unpacks at its start: cpio,
// "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	out   bytes.Buffer
	inode int
	made  map[string]bool // directories
}

// file adds a file, and the directories above it. name has no leading slash.
func (a *archive) file(name string, mode fs.FileMode, data []byte) {
	a.dir(path.Dir(name))
	a.entry(name, 0o100000|uint32(mode.Perm()), data)
}

// dir adds a directory and those above it, unless it is there.
func (a *archive) dir(name string) {
	if name == "." || a.made[name] {
		return
	}
	a.dir(path.Dir(name))
	if a.made == nil {
		a.made = make(map[string]bool)
	}
	a.made[name] = true
	a.entry(name, 0o040755, nil)
}

func (a *archive) entry(name string, mode uint32, data []byte) {
	a.inode++
	a.out.WriteString("070701")
	for _, field := range [...]uint32{
		uint32(a.inode), mode, 0, 0, 1, 0, uint32(len(data)), 0, 0, 0, 0, uint32(len(name) + 1), 0,
	} {
		fmt.Fprintf(&a.out, "%08X", field)
	}
	a.out.WriteString(name + "\x00")
	a.pad()
	a.out.Write(data)
	a.pad()
}

// pad brings the next part to a multiple of four bytes.
func (a *archive) pad() {
	for a.out.Len()%4 != 0 {
		a.out.WriteByte(0)
	}
}

// writeTo ends the archive and writes it.
func (a *archive) writeTo(w io.Writer) error {
	a.entry("TRAILER!!!", 0, nil)
	_, err := a.out.WriteTo(w)
	return err
}

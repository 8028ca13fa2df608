package guest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// moduleFile is a kernel module as far as it is looked at: an ELF file with a
// section .modinfo that says what it depends on.
func moduleFile(depends string) []byte {
	info := "license=GPL\x00depends=" + depends + "\x00"
	names := "\x00.modinfo\x00.shstrtab\x00"
	const header, section = 64, 64
	at := header + 3*section
	w := func(b []byte, v ...any) []byte {
		for _, x := range v {
			b, _ = binary.Append(b, binary.LittleEndian, x)
		}
		return b
	}
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	b = w(b, uint16(1), uint16(62), uint32(1), uint64(0), uint64(0), uint64(header), uint32(0),
		uint16(header), uint16(0), uint16(0), uint16(section), uint16(3), uint16(2))
	b = append(b, make([]byte, section)...)
	for _, s := range []struct{ name, kind, at, size int }{{1, 1, at, len(info)}, {10, 3, at + len(info), len(names)}} {
		b = w(b, uint32(s.name), uint32(s.kind), uint64(0), uint64(0), uint64(s.at), uint64(s.size), uint32(0), uint32(0), uint64(1), uint64(0))
	}
	return append(append(b, info...), names...)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

// zipped packs data as kernels and modules may be.
func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(data)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

// The kernel taken is the newest that has the drivers; they are loaded behind what
// they need.
func TestKernel(t *testing.T) {
	if _, err := exec.LookPath("gzip"); err != nil {
		t.Skip("needs the program gzip")
	}
	root := t.TempDir()
	_, err := FindKernel(root)
	require.ErrorContains(t, err, "no kernel with the modules e1000, virtio_pci, virtio_net")

	for i, version := range []string{"6.1-old", "6.1-new", "6.1-cloud"} {
		image := filepath.Join(root, "boot/vmlinuz-"+version)
		write(t, image, []byte(version))
		then := time.Unix(int64(1e9+i), 0)
		require.NoError(t, os.Chtimes(image, then, then))
		lib := filepath.Join(root, []string{"lib", "usr/lib", "lib"}[i], "modules", version, "kernel")
		write(t, filepath.Join(lib, "virtio-pci.ko"), moduleFile("virtio"))
		write(t, filepath.Join(lib, "net/virtio_net.ko.gz"), zipped(t, moduleFile("virtio,net-failover")))
		write(t, filepath.Join(lib, "net/net_failover.ko"), moduleFile("built_in"))
		write(t, filepath.Join(lib, "virtio.ko"), moduleFile(""))
		if version != "6.1-cloud" {
			write(t, filepath.Join(lib, "net/e1000.ko"), moduleFile(""))
		}
	}
	k, err := FindKernel(root)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(root, "boot/vmlinuz-6.1-new"), k.image)
	modules, err := k.load(drivers)
	require.NoError(t, err)
	var names []string
	for _, m := range modules {
		names = append(names, m.name)
		assert.True(t, bytes.HasPrefix(m.data, []byte("\x7fELF")), m.name)
	}
	assert.Equal(t, []string{"e1000", "virtio", "virtio_pci", "net_failover", "virtio_net"}, names)

	write(t, k.modules["virtio"], []byte("no module"))
	_, err = k.load(drivers)
	assert.ErrorContains(t, err, k.modules["virtio"])

	// What is built in needs no file.
	write(t, filepath.Join(root, "boot/vmlinuz-6.8-generic"), nil)
	lib := filepath.Join(root, "lib/modules/6.8-generic")
	write(t, filepath.Join(lib, "kernel/net/e1000.ko"), moduleFile(""))
	write(t, filepath.Join(lib, "modules.builtin"), []byte("kernel/drivers/virtio/virtio-pci.ko\nkernel/drivers/net/virtio_net.ko\n"))
	k, err = FindKernel(root)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(root, "boot/vmlinuz-6.8-generic"), k.image)
	modules, err = k.load(drivers)
	require.NoError(t, err)
	require.Len(t, modules, 1)
	assert.Equal(t, "e1000", modules[0].name)
}

// A vmlinuz is given to QEMU in its plain form where that can be had.
func TestBoot(t *testing.T) {
	if _, err := exec.LookPath("gzip"); err != nil {
		t.Skip("needs the program gzip")
	}
	image := func(payload []byte) []byte {
		const sectors, from = 2, 100
		b := make([]byte, (sectors+1)*512+from)
		b[0x1f1] = sectors
		copy(b[0x202:], "HdrS")
		binary.LittleEndian.PutUint32(b[0x248:], from)
		binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(payload)))
		return append(append(b, payload...), "what follows"...)
	}
	k := Kernel{image: filepath.Join(t.TempDir(), "vmlinuz")}
	boot := func(file []byte) ([]byte, error) {
		write(t, k.image, file)
		return k.boot()
	}
	plain := moduleFile("")
	sized := binary.LittleEndian.AppendUint32(zipped(t, plain), uint32(len(plain))) // as the kernel's Makefiles do
	for _, payload := range [][]byte{zipped(t, plain), sized} {
		got, err := boot(image(payload))
		require.NoError(t, err)
		assert.Equal(t, plain, got)
	}
	for name, file := range map[string][]byte{
		"of an unknown form": image([]byte("\x02\x21\x4c\x18 packed")),
		"with no ELF in it":  image(zipped(t, []byte("something else"))),
		"that is damaged":    image(sized[:12]),
		"that lacks its end": image(append(sized[:len(sized)/2:len(sized)/2], sized[len(sized)-4:]...)),
		"that is cut":        image(sized)[:1700],
	} {
		got, err := boot(file)
		require.NoError(t, err, name)
		assert.True(t, bytes.Equal(file, got), "a payload %s is left to the guest", name)
	}
	_, err := boot([]byte("nothing of the kind"))
	assert.ErrorContains(t, err, "no Linux kernel")
}

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// shellBlock gives the shell commands behind a marker of a document.
func shellBlock(t *testing.T, path, marker string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "<!-- "+marker+" -->\n```sh\n")
	require.True(t, ok, "%s has no commands behind %s", path, marker)
	block, _, ok := strings.Cut(rest, "\n```\n")
	require.True(t, ok)
	return block
}

// The document's recipe works as it stands, for a user without any rights.
func TestRootlessRecipe(t *testing.T) {
	t.Parallel()
	netnstest.Needs(t, "unshare", "nsenter", "ip", "ping", "mount", "setpriv")
	dir := netnstest.SharedDir(t)
	installGobr(t, dir)

	// The device as most distributions have it, seen by the recipe alone; in a file system
	// of its own, for that of dir may have none.
	dev := filepath.Join(dir, "dev")
	require.NoError(t, os.Mkdir(dev, 0o755))
	recipe := shellBlock(t, "../../docs/rootless.md", "ci:rootless")

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", `
		mount -t tmpfs -o mode=755 none "$1"
		mknod "$1/tun" c 10 200
		chmod 666 "$1/tun"
		mount --bind "$1/tun" /dev/net/tun
		exec setpriv --reuid "$2" --regid "$2" --clear-groups sh -eu -c "$3"`,
		"sh", dev, "65534", recipe) // nobody
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "unshare failed") && os.Getenv("BRIDGE_REQUIRE_PRIVILEGED") != "1" {
		t.Skip("this machine lets nobody make user namespaces")
	}
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "3 packets transmitted, 3 received")
	assert.Contains(t, string(out), "br0 bridges tap0, tap1")
}

// installGobr puts a program named gobr in dir that everybody may run.
func installGobr(t *testing.T, dir string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	from, err := os.Open(exe)
	require.NoError(t, err)
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, "gobr.test"), os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, err)
	require.NoError(t, to.Close())
	script := "#!/bin/sh\n" + asGobr + "=1 exec " + to.Name() + " \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gobr"), []byte(script), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(dir, "gobr"), 0o755))
	require.NoError(t, os.Chmod(to.Name(), 0o755))
}

// Package deps_test holds the house in order: which package may import which,
// what may be imported from outside, and how long a file and a function may be.
package deps_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	module = "github.com/ddfb540f/bridge"
	root   = "../.."
	sys    = "golang.org/x/sys/unix"
)

// rooms are the packages, each with those below it, by its floor. A package may
// import what is on a lower floor, and its own room.
var rooms = map[string]int{
	"frame": 0, "internal/netns": 0, "internal/timers": 0,
	"stp": 1, "snoop": 1, "internal/guest": 1,
	"":        2, // the root package
	"frameio": 3, "filter": 3,
	"capture": 4, "qemu": 4, "xdp": 4, "vxlan": 4, "internal/conformance": 4,
	"bridgetest": 5,
	"examples":   6, "cmd": 6, "internal/e2ebench": 6, "internal/stpsim": 6, "internal/workload": 6,
	"internal/instructions": 7, "internal/scalebench": 7,
}

// testRooms are packages that only tests may import.
var testRooms = []string{"internal/leaktest", "internal/deps", "internal/netns/netnstest", "internal/guest/guesttest"}

// outside is what a room may import from other modules, beside unix in
// *_linux.go files.
var outside = map[string][]string{
	"capture": {"github.com/google/gopacket"},
	"xdp":     {"github.com/cilium/ebpf"},
}

// outsideInTests is what any test may import from other modules.
var outsideInTests = []string{
	"github.com/stretchr/testify/assert", "github.com/stretchr/testify/require", "github.com/google/gopacket",
}

// A source is one Go file.
type source struct {
	path string // from the root, with slashes
	dir  string // its package, from the root; "" is the root package
	test bool
	file *ast.File
	set  *token.FileSet
}

// sources are all Go files, whatever system they are for.
func sources(t *testing.T) (all []source) {
	t.Helper()
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		s := source{path: path, test: strings.HasSuffix(path, "_test.go"), set: token.NewFileSet()}
		if i := strings.LastIndexByte(path, '/'); i >= 0 {
			s.dir = path[:i]
		}
		var err error
		s.file, err = parser.ParseFile(s.set, filepath.Join(root, path), nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		all = append(all, s)
	})
	require.Greater(t, len(all), 40, "the root of the module is somewhere else")
	return all
}

// walk visits the files that people write.
func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "testdata" {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root {
				return filepath.SkipDir // another module: nobody gets it who gets this one
			}
			return nil
		}
		rel, err := filepath.Rel(root, path)
		visit(filepath.ToSlash(rel))
		return err
	}))
}

func (s *source) imports(t *testing.T) (paths []string) {
	t.Helper()
	for _, i := range s.file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		require.NoError(t, err)
		paths = append(paths, path)
	}
	return paths
}

// roomOf is the room that a package of the module lies in.
func roomOf(dir string) (room string, ok bool) {
	for room = dir; ; room = room[:strings.LastIndexByte(room, '/')] {
		if _, ok := rooms[room]; ok || slices.Contains(testRooms, room) {
			return room, true
		}
		if !strings.Contains(room, "/") {
			return dir, false
		}
	}
}

// inModule gives the directory of a package of this module.
func inModule(path string) (dir string, ok bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

// isStandard reports a package of the standard library, whose first element has
// no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && path != "C"
}

// within reports path, or what lies below it.
func within(path string, all []string) bool {
	return slices.ContainsFunc(all, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

// mayImport says what is wrong with an import, "" if nothing is.
func mayImport(s *source, path string) string {
	room, ok := roomOf(s.dir)
	if !ok {
		return "this package has no place in the house: give it one in rooms"
	}
	if to, ok := inModule(path); ok {
		there, ok := roomOf(to)
		switch {
		case !ok:
			return "the imported package has no place in the house"
		case s.test || there == room:
			return ""
		case slices.Contains(testRooms, there):
			return "only tests may import it"
		case slices.Contains(testRooms, room):
			if strings.HasPrefix(room, there+"/") {
				return "" // the room that it makes fit for tests
			}
			return "what serves all tests imports nothing of the module"
		case rooms[there] >= rooms[room]:
			return fmt.Sprintf("floor %d may not import floor %d", rooms[room], rooms[there])
		}
		return ""
	}
	switch {
	case isStandard(path):
		return ""
	case path == sys:
		if !strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(s.path, ".go"), "_test"), "_linux") {
			return "belongs in files whose name ends in _linux"
		}
		return ""
	case s.test && within(path, outsideInTests), within(path, outside[room]):
		return ""
	}
	return "not one of the modules that may be used here"
}

// TestImportsPointDown holds every import of every file, for all systems at once,
// against the house.
func TestImportsPointDown(t *testing.T) {
	for _, s := range sources(t) {
		for _, path := range s.imports(t) {
			if why := mayImport(&s, path); why != "" {
				t.Errorf("%s imports %s: %s", s.path, path, why)
			}
		}
	}
}

// TestRulesRefuse guards the guard.
func TestRulesRefuse(t *testing.T) {
	tests := []struct {
		file, path string
		test, ok   bool
	}{
		{file: "bridge.go", path: module + "/frame", ok: true},
		{file: "bridge.go", path: module + "/bridgetest"},
		{file: "bridge_test.go", path: module + "/bridgetest", test: true, ok: true},
		{file: "frame/mac.go", path: module},
		{file: "stp/stp.go", path: module + "/snoop"},
		{file: "stp/stp.go", path: module + "/frame", ok: true},
		{file: "frameio/tee.go", path: module, ok: true},
		{file: "frameio/frameiotest/suite.go", path: module + "/frameio", ok: true},
		{file: "bridgetest/lab.go", path: module + "/frameio", ok: true},
		{file: "bridgetest/lab.go", path: module + "/cmd/gobr"},
		{file: "cmd/gobr/main.go", path: module + "/bridgetest", ok: true},
		{file: "bridge.go", path: module + "/internal/leaktest"},
		{file: "internal/leaktest/leaktest.go", path: module + "/frame"},
		{file: "elsewhere/x.go", path: "fmt"},
		{file: "bridge.go", path: module + "/elsewhere"},
		{file: "bridge.go", path: "net/netip", ok: true},
		{file: "bridge.go", path: "C"},
		{file: "tap.go", path: sys},
		{file: "tap_linux.go", path: sys, ok: true},
		{file: "tap_linux_test.go", path: sys, test: true, ok: true},
		{file: "bridge.go", path: "github.com/stretchr/testify/require"},
		{file: "bridge_test.go", path: "github.com/stretchr/testify/require", test: true, ok: true},
		{file: "bridge.go", path: "github.com/google/gopacket"},
		{file: "bridge_linux.go", path: "github.com/cilium/ebpf"},
		{file: "xdp/port_linux.go", path: "github.com/cilium/ebpf/asm", ok: true},
		{file: "capture/print.go", path: "github.com/google/gopacket/layers", ok: true},
		{file: "bridge_test.go", path: "github.com/other/module", test: true},
	}
	for _, tc := range tests {
		s := source{path: tc.file, test: tc.test}
		if i := strings.LastIndexByte(tc.file, '/'); i >= 0 {
			s.dir = tc.file[:i]
		}
		why := mayImport(&s, tc.path)
		assert.Equal(t, tc.ok, why == "", "%s imports %s: %q", tc.file, tc.path, why)
	}
}

// TestRootGraph holds what a program gets that imports the root package: the
// leaves, the standard library, and on Linux package unix.
func TestRootGraph(t *testing.T) {
	for _, system := range []string{"linux", "darwin", "windows", "freebsd"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		require.NoError(t, err, "go list for %s", system)
		deps := strings.Fields(string(out))
		require.Contains(t, deps, module)
		require.Contains(t, deps, module+"/frame")
		for _, path := range deps {
			dir, _ := inModule(path)
			floor, own := rooms[dir]
			ok := own && floor <= rooms[""] || path == sys && system == "linux"
			assert.True(t, ok, "on %s the root package brings %s", system, path)
		}
	}
}

// The longest that a file that is no test, and a function in it, may be.
const (
	maxFileLines     = 600
	maxFunctionLines = 80
)

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		lines := func(n ast.Node) int { return s.set.Position(n.End()).Line - s.set.Position(n.Pos()).Line + 1 }
		if n := s.set.File(s.file.Pos()).LineCount(); n > maxFileLines {
			t.Errorf("%s has %d lines; %d are the most", s.path, n, maxFileLines)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok && lines(f) > maxFunctionLines {
				t.Errorf("%s: %s has %d lines; %d are the most", s.path, f.Name.Name, lines(f), maxFunctionLines)
			}
			return true
		})
	}
}

// unwanted are pieces of text that are about a machine, or about work still to do,
// and not about the product. They are written in halves, so that this file has
// none of them.
var unwanted = map[string]string{
	"/wo" + "rk/":   "a path of one machine",
	"/ro" + "ot/":   "a path of one machine",
	"/ho" + "me/":   "a path of one machine",
	"TO" + "DO":     "work that is not done",
	"FIX" + "ME":    "work that is not done",
	"proxy" + ".go": "a registry",
}

// TestTextIsAboutTheProduct reads all text that is not test data.
func TestTextIsAboutTheProduct(t *testing.T) {
	read := 0
	walk(t, func(path string) {
		switch filepath.Ext(path) {
		case ".go", ".md", ".yml", ".mod", "":
		default:
			return
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		if strings.ContainsRune(string(text[:min(len(text), 512)]), 0) {
			return // a program that was built here
		}
		read++
		for _, piece := range slices.Sorted(maps.Keys(unwanted)) {
			if before, _, found := strings.Cut(string(text), piece); found {
				t.Errorf("%s:%d: %q, %s", path, strings.Count(before, "\n")+1, piece, unwanted[piece])
			}
		}
	})
	assert.Greater(t, read, 40, "texts")
}

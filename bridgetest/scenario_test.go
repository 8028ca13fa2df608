package bridgetest_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/bridgetest"
)

var rewrite = flag.Bool("rewrite", false, "renew the logs of the scenarios in testdata")

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			bridgetest.CheckScenario(t, file, *rewrite)
		})
	}
}

// A scenario whose log is wrong comes back with the right one, and one that holds as it
// was.
func TestPlayScenario(t *testing.T) {
	const text = `Prose stays
as it is.

switch br0 ageing_time=10s
host h1
host h2 mac=02:00:00:00:00:aa ip=10.0.0.9
set p1 hairpin=on cost=7
show ports
----
%s

More prose.

ping h1 h2
link p2 down
ping h2 h1
set p2 state=3
host h1
----
%s`
	played, err := bridgetest.PlayScenario(strings.ReplaceAll(text, "%s", "nonsense"))
	require.NoError(t, err)
	assert.NotContains(t, played, "nonsense")
	assert.True(t, strings.HasPrefix(played, "Prose stays\nas it is.\n\nswitch br0"), played)
	assert.Contains(t, played, "h1 has its answer after 80µs\n")
	assert.Contains(t, played, "br0: port state p2 disabled\n")
	assert.Contains(t, played, "refused: h2 pings 10.0.0.1: no answer")
	assert.Contains(t, played, "refused: bridge: set p2: network is down")
	assert.Contains(t, played, `refused: a host needs a name of its own, not "h1"`)
	assert.Regexp(t, `p1 +forwarding +7 `, played)

	again, err := bridgetest.PlayScenario(played)
	require.NoError(t, err)
	assert.Equal(t, played, again)
}

func TestPlayScenarioRefuses(t *testing.T) {
	for _, line := range []string{
		"dance", "host", "switch br1 no_such=1", "switch br1 ageing_time=soon", "host h1 shape=round",
		"vlan add br0 x", "vlan add br0 2 fast", "cable a b", "send h1 nowhere", "join h1 everybody",
		"run away", "query h1 often 1s", "log loudly", "set p1 state=dizzy", "show clouds", "query h1 10s", "log", "set br0 priority=70000",
	} {
		_, err := bridgetest.PlayScenario("switch br0\nhost h1\n----\n\n" + line + "\n----\n")
		assert.ErrorContains(t, err, line, "%q", line)
	}
}

// The test fails where the file does not say what happens, and says where.
func TestCheckScenario(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lesson.txt")
	require.NoError(t, os.WriteFile(file, []byte("switch br0\nhost h1\nsend h1 broadcast\n----\n0s h1 sings\n"), 0o600))
	var r recorder
	bridgetest.CheckScenario(&r, file, false)
	require.Len(t, r.log, 1)
	assert.Contains(t, r.log[0], "line 5: 0s h1 sings")
	assert.Contains(t, r.log[0], "happens: 0s h1 sends")

	bridgetest.CheckScenario(&r, file, true)
	bridgetest.CheckScenario(&r, file, false)
	assert.Len(t, r.log, 1)
}

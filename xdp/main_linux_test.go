package xdp_test

import (
	"os"
	"testing"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
	}
	leaktest.Main(m)
}

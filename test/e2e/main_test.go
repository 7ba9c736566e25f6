// Package e2e runs the real drover program against real Ceph clusters, as the
// cephx users that the README tells people to create.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// drover is the program under test: $DROVER, or one built for this run.
var drover string

// shared is the lab that most tests use, each with pools of its own: three
// sites with an rbd-mirror daemon at each.
var shared *lab.Lab

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	folder, err := os.MkdirTemp("", "drover-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if drover = os.Getenv("DROVER"); drover == "" {
		drover = filepath.Join(folder, "drover")
		if err := build(ctx, drover); err != nil {
			return 0, err
		}
	}
	sites := []string{"site-a", "site-b", "site-c"}
	shared, err = lab.Start(ctx, lab.Options{Sites: sites, Mirrors: sites})
	if err != nil {
		return 0, err
	}
	code := m.Run()
	return code, shared.Stop()
}

func build(ctx context.Context, to string) error {
	tag, err := exec.CommandContext(ctx, "sh", "../setup/ceph-tag.sh").Output()
	if err != nil {
		return fmt.Errorf("which librbd is here: %w", err)
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-tags", strings.TrimSpace(string(tag)), "-o", to, "../../cmd/drover").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

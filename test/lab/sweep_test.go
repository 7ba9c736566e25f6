package lab_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// holderEnv turns the test binary into a process that holds a lab.
const holderEnv = "LAB_TEST_HOLDER"

// held is what a holder tells of its lab.
type held struct {
	Dir     string
	Address string
	Pids    []int
}

func TestMain(m *testing.M) {
	if mode := os.Getenv(holderEnv); mode != "" {
		os.Exit(hold(mode == "detached"))
	}
	os.Exit(m.Run())
}

// hold boots a lab, says where it is, and keeps it until standard input ends.
func hold(detached bool) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := lab.Start(ctx, lab.Options{
		Pools: []string{}, Mirrors: []string{"site-a"}, Log: os.Stderr, Detached: detached,
	})
	if err != nil {
		return 1
	}
	if err := l.Cut("site-a", "site-b"); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	h := held{Dir: l.Dir(), Address: l.Site("site-a").Address()}
	for _, d := range []lab.Daemon{lab.Mon, lab.Mgr, lab.OSD, lab.Mirror} {
		h.Pids = append(h.Pids, l.Site("site-a").Pid(d))
	}
	if err := json.NewEncoder(os.Stdout).Encode(h); err != nil {
		return 1
	}
	// What is read does not matter, only that it ends.
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// startHolder runs a holder until it has its lab. The returned function kills
// it by SIGKILL and waits for its end.
func startHolder(t *testing.T, mode string) (held, func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), holderEnv+"="+mode)
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the holder said nothing: %v, %v", err, cmd.Wait())
	}
	var h held
	if err := json.Unmarshal(line, &h); err != nil {
		t.Fatal(err)
	}
	return h, func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the holder ended well though it was killed")
		}
	}
}

// cuts lists the nftables rules that name a site's address.
func cuts(t *testing.T, address string) string {
	t.Helper()
	rules, err := exec.CommandContext(t.Context(), "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, rules)
	}
	var found []string
	for line := range strings.Lines(string(rules)) {
		if strings.Contains(line, "ip daddr "+address+" ") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found, "\n")
}

func TestSweepAfterTheHolderWasKilled(t *testing.T) {
	needsRoot(t)
	h, kill := startHolder(t, "bound")
	// A lab that is held is left alone.
	if err := lab.Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range h.Pids {
		if !exists(pid) {
			t.Fatalf("daemon %d of a held lab does not run", pid)
		}
	}
	kill()
	eventually(t, 10*time.Second, "the daemons die with their holder", func() bool {
		for _, pid := range h.Pids {
			if exists(pid) {
				return false
			}
		}
		return true
	})
	if _, err := os.Stat(h.Dir); err != nil {
		t.Fatalf("folder before the sweep: %v", err)
	}
	if cuts(t, h.Address) == "" {
		t.Fatal("no rule of a cut before the sweep")
	}
	for range 2 {
		if err := lab.Sweep(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(h.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder after the sweep: %v", err)
	}
	if rules := cuts(t, h.Address); rules != "" {
		t.Errorf("rules after the sweep: %s", rules)
	}
}

func TestDetachedLabOutlivesItsStarter(t *testing.T) {
	needsRoot(t)
	h, kill := startHolder(t, "detached")
	kill()
	if err := lab.Sweep(); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Open(h.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		for _, pid := range h.Pids {
			if exists(pid) {
				t.Errorf("daemon %d runs after Stop", pid)
			}
		}
		if _, err := os.Stat(h.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("folder after Stop: %v", err)
		}
		if rules := cuts(t, h.Address); rules != "" {
			t.Errorf("rules after Stop: %s", rules)
		}
	}()
	s := l.Site("site-a")
	if got := must(t)(s.Ceph(t.Context(), "fsid")); got != s.FSID() {
		t.Errorf("fsid %q, want %q", got, s.FSID())
	}
	if err := s.Restart(t.Context(), lab.Mirror); err != nil {
		t.Error(err)
	}
}

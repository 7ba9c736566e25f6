package test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stubs makes a PATH of a few real tools and of programs that only answer.
func stubs(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"sh", "cat", "grep", "mktemp", "rm", "tail", "tr", "env", "dirname", "sed", "make"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Skipf("no %s here", tool)
		}
		if err := os.Symlink(path, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// playedOn runs a command on a machine that has only what is in path.
func playedOn(t *testing.T, path, name string, args ...string) (code int, said string) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s here", name)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = root, []string{"PATH=" + path, "TMPDIR=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestDemoFallsBackOnlyWithoutCeph: the demo shows simulated clusters where Ceph's
// packages cannot be had; whatever else is missing ends it.
func TestDemoFallsBackOnlyWithoutCeph(t *testing.T) {
	const (
		none = `exit 1`
		all  = `case "$*" in *Version*) echo 16.2.15 ;; *) echo install ok installed ;; esac`
		// allBut lacks one package.
		allBut = `case "$*" in *Version*) echo 16.2.15 ;; *MISSING*) exit 1 ;; *) echo install ok installed ;; esac`
		built  = `echo "go $*"`
	)
	failing := func(words string) string { return `echo "E: ` + words + `" >&2; exit 100` }
	for name, c := range map[string]struct {
		query, apt, uid string
		noGo            bool
		code            int // of deps
		simulated       bool
		words           string
	}{
		"all there":          {query: all, uid: "0", code: 0, words: "./test/demo -drover"},
		"no Go":              {query: all, uid: "0", noGo: true, code: 1, words: "Go is missing"},
		"no such package":    {query: none, apt: failing("Unable to locate package ceph-mon"), uid: "0", code: 3, simulated: true, words: "ceph-mon"},
		"no network":         {query: none, apt: failing("Failed to fetch http://x"), uid: "0", code: 3, simulated: true},
		"disk full":          {query: none, apt: failing("You don't have enough free space"), uid: "0", code: 1, words: "enough free space"},
		"locked":             {query: none, apt: failing("Could not get lock"), uid: "0", code: 1, words: "Could not get lock"},
		"not root":           {query: none, apt: none, uid: "1000", code: 3, simulated: true, words: "run as root"},
		"only gcc missing":   {query: strings.ReplaceAll(allBut, "MISSING", "gcc"), apt: failing("Failed to fetch x"), uid: "0", code: 1, words: "gcc"},
		"a Ceph that is old": {query: strings.ReplaceAll(all, "16.2.15", "14.2.21"), uid: "0", code: 3, simulated: true, words: "too old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			programs := map[string]string{"dpkg-query": c.query, "apt-get": c.apt, "id": "echo " + c.uid, "go": built, "git": none}
			if c.noGo {
				delete(programs, "go")
			}
			path := stubs(t, programs)
			if code, said := playedOn(t, path, "sh", "test/setup/deps.sh"); code != c.code {
				t.Errorf("deps exits %d, want %d\n%s", code, c.code, said)
			}
			code, said := playedOn(t, path, "make", "demo")
			if wants := c.code == 0 || c.code == 3; (code == 0) != wants {
				t.Errorf("the demo exits %d\n%s", code, said)
			}
			if strings.Contains(said, "SIMULATED") != c.simulated || strings.Contains(said, "./test/demo -sim") != c.simulated {
				t.Errorf("simulated: want %t\n%s", c.simulated, said)
			}
			if !strings.Contains(said, c.words) {
				t.Errorf("does not say %q\n%s", c.words, said)
			}
		})
	}
}

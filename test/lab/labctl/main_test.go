package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/test/lab"
)

// call runs labctl and returns its exit code and what it wrote.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = dispatch(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUpInfoDown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	code, up, stderr := call(t, "up", "--dir", dir, "--sites", "here,there")
	if code != 0 {
		t.Fatalf("up: exit %d: %s", code, stderr)
	}
	t.Cleanup(func() {
		if l, err := lab.Open(dir); err == nil {
			if err := l.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	l, err := lab.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Sites() {
		if got, err := s.As("client.drover").Ceph(t.Context(), "fsid"); strings.TrimSpace(string(got)) != s.FSID() {
			t.Errorf("%s: fsid %q, %v", s.Name, got, err)
		}
		for _, want := range []string{s.Conf(), s.FSID(), s.Keyring("client.drover"), "export CEPH_CONF=" + s.Conf()} {
			if !strings.Contains(up, want) {
				t.Errorf("up does not tell %s:\n%s", want, up)
			}
		}
	}
	if _, err := plans.Load(filepath.Join(l.Dir(), "plan.yaml")); err != nil {
		t.Errorf("the plan to try: %v", err)
	}
	if code, _, stderr := call(t, "up", "--dir", dir); code != 1 || !strings.Contains(stderr, "not empty") {
		t.Errorf("second up: exit %d: %s", code, stderr)
	}
	if code, info, stderr := call(t, "info", "--dir", dir); code != 0 || info != up {
		t.Errorf("info: exit %d: %s%s\nwant what up told", code, info, stderr)
	}
	if code, _, stderr := call(t, "down", "--dir", dir); code != 0 {
		t.Errorf("down: exit %d: %s", code, stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s exists after down", dir)
	}
	if code, _, stderr := call(t, "down", "--dir", dir); code != 1 || !strings.Contains(stderr, "no lab") {
		t.Errorf("second down: exit %d: %s", code, stderr)
	}
}

func TestRunGivesTheCommandsExitCode(t *testing.T) {
	told := filepath.Join(t.TempDir(), "told")
	script := `ceph -c "$LAB_DIR/site-a/site-a.conf" fsid && cp "$LAB_PLAN" "$0" && echo "$LAB_DIR" >>"$0"; exit 7`
	code, _, stderr := call(t, "run", "--sites", "2", "--", "sh", "-c", script, told)
	if code != 7 {
		t.Fatalf("exit %d, want the command's 7: %s", code, stderr)
	}
	data, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if _, err := os.Stat(lines[len(lines)-1]); err == nil {
		t.Errorf("%s exists after run", lines[len(lines)-1])
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		nil, {"sideways"}, {"up", "--nope"}, {"up", "extra"}, {"down", "extra"}, {"run", "--sites", "1"}, {"up", "--sites", ","},
	} {
		if code, _, stderr := call(t, args...); code != 2 || !strings.Contains(stderr, "usage:") {
			t.Errorf("labctl %q: exit %d: %s", args, code, stderr)
		}
	}
}

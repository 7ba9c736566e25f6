//go:build sim

package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a program and holds its exit code against the one given:
// exits CODE PROGRAM ARG… (testscript's own "! exec" takes any failure).
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// ntfy is a server of that service, which answers with a status each time; PUSH is the
// address of a topic of it: ntfy STATUS….
func ntfy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: ntfy STATUS…")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/t0pic-t0pic" || !strings.Contains(string(body), "This is a test of the channel push") || len(args) == 0 {
			http.Error(w, "unexpected", http.StatusTeapot)
			return
		}
		status, _ := strconv.Atoi(args[0])
		args = args[1:]
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "{}")
	}))
	ts.Defer(server.Close)
	ts.Setenv("PUSH", strings.Replace(server.URL, "http://", "ntfy://", 1)+"/t0pic-t0pic?scheme=http")
}

// waitFor waits until a file has been replaced so many times, or half a minute
// is over: waitfor COUNT FILE.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor COUNT FILE")
	}
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var last os.FileInfo
	for deadline := time.Now().Add(30 * time.Second); count > 0 && time.Now().Before(deadline); <-tick.C {
		info, err := os.Stat(ts.MkAbs(args[1]))
		if err != nil || last != nil && os.SameFile(last, info) && last.ModTime().Equal(info.ModTime()) {
			continue
		}
		last = info
		count--
	}
	if count > 0 {
		ts.Fatalf("%s was not replaced often enough", args[1])
	}
}

// until runs a command until its stdout matches a pattern, for half a minute at
// most: until PATTERN COMMAND….
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND...")
	}
	wanted, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if wanted.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%s never shows %q", strings.Join(args[1:], " "), args[0])
}

// capture puts what a pattern's group finds in stdout into a variable:
// capture NAME PATTERN.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("stdout does not have %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// varying are the parts of results that no two runs have in common, with what
// stands in their place.
var varying = []struct {
	what *regexp.Regexp
	mask string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "CLOCK"},
	{regexp.MustCompile(`drover-verify-\d{8}T\d{6}Z(-[0-9a-f]{8}){3}-\d+-\d+`), "SNAPSHOT"},
	{regexp.MustCompile(`\b(switchover|failover|failback|resync)-\d{8}T\d{6}Z-[0-9a-f]{4}`), "$1-RUN"},
	{regexp.MustCompile(`\b(sha256:)?[0-9a-f]{64}\b`), "HASH"},
	{regexp.MustCompile(`[^\s"]+@[^\s",]+`), "WHO"},
	{regexp.MustCompile(`halt-[0-9a-f]{8}`), "HALT"},
	{regexp.MustCompile(`("(?:seconds|slowest_seconds|await_seconds|compare_seconds|took)": )[0-9.]+`), "${1}0"},
	{regexp.MustCompile(` in \d+(ms|s)\b`), " in SPAN"},
	{regexp.MustCompile(`\(\d+(ms|s)\)`), "(SPAN)"},
	{regexp.MustCompile(`\b\d+s ago`), "SPAN ago"},
	{regexp.MustCompile(`(?m)\b(yes|no) +\d+m?s +`), "$1  SPAN  "},
	{regexp.MustCompile(`Slowest: [^.]*\.`), "Slowest: ONE."},
	{regexp.MustCompile(`"slowest": ".*"`), `"slowest": "ONE"`},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
}

// mask prints a file with all that varies replaced: mask FILE; the result is
// the new stdout, to be held against a golden by cmp stdout.
func mask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mask stdout|stderr|FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "WORK")
	for _, v := range varying {
		text = v.what.ReplaceAllString(text, v.mask)
	}
	_, err := ts.Stdout().Write([]byte(text))
	ts.Check(err)
}

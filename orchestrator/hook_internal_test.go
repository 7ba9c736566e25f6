package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

var someFacts = HookFacts{
	Plan: "shop", Runbook: "switchover", Run: "r-1", When: plans.BeforeWave, Of: "first", From: "a", To: "b", Wave: "first", Group: "db",
	Images: []replay.ImageRef{{Pool: replay.Pool{Name: "rbd", Namespace: "ns"}, Name: "vm-1"}}, Outcome: "moved", Drill: &DrillFacts{Name: "nightly"},
}

// shellHook is a hook that runs a script.
func shellHook(script string) *plans.Hook {
	return &plans.Hook{Name: "h", Command: []string{"sh", "-c", script}, Timeout: plans.Duration(time.Minute)}
}

// awaitFile reads a file that another process is about to write.
func awaitFile(t *testing.T, path string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil && strings.HasSuffix(string(text), "\n") {
			return strings.TrimSpace(string(text))
		}
	}
	t.Fatalf("%s was not written", path)
	return ""
}

// awaitEnd waits until a process has ended; one that nobody has taken yet has.
func awaitEnd(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %s goes on", pid)
}

func TestHookFactsReachTheCommand(t *testing.T) {
	t.Setenv("DROVER_GROUP", "of the caller")
	t.Setenv("HOOK_INHERITED", "yes")
	h := shellHook(`cat; echo; echo "$DROVER_PLAN $DROVER_RUNBOOK $DROVER_RUN $DROVER_WHEN $DROVER_WAVE $DROVER_GROUP $DROVER_FROM $DROVER_TO $DROVER_OUTCOME $MINE $HOOK_INHERITED" >&2`)
	h.Env = map[string]string{"MINE": "own", "DROVER_PLAN": "forged"}
	result, err := runHook(t.Context(), h, someFacts)
	if err != nil || result.Code != 0 || result.Status != 0 || result.Took <= 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	asJSON, rest, _ := strings.Cut(result.Output, "\n")
	var got map[string]any
	if err := json.Unmarshal([]byte(asJSON), &got); err != nil {
		t.Fatal(err)
	}
	image := got["images"].([]any)[0].(map[string]any)
	if got["version"] != 1.0 || got["plan"] != "shop" || got["of"] != "first" || image["namespace"] != "ns" || image["image"] != "vm-1" || got["drill"].(map[string]any)["name"] != "nightly" {
		t.Errorf("JSON: %s", asJSON)
	}
	if want := "shop switchover r-1 before-wave first db a b moved own yes\n"; rest != want {
		t.Errorf("environment: got %q, want %q", rest, want)
	}
	empty, err := json.Marshal(HookFacts{})
	if err != nil || !strings.Contains(string(empty), `"images":[]`) {
		t.Errorf("%s, %v", empty, err)
	}
}

func TestHookWithManyFacts(t *testing.T) {
	facts := someFacts
	for i := range 20_000 { // more than a pipe holds
		facts.Images = append(facts.Images, replay.Pool{Name: "rbd"}.Image("image-"+strconv.Itoa(i)))
	}
	for script, want := range map[string]string{"exit 0": "", "exec <&-; echo deaf": "deaf\n", "grep -c version": "1\n"} {
		if result, err := runHook(t.Context(), shellHook(script), facts); err != nil || result.Output != want {
			t.Errorf("%s: %q, %v", script, result.Output, err)
		}
	}
}

func TestHookFailures(t *testing.T) {
	for script, want := range map[string]string{
		"echo well; echo no luck >&2; exit 3": "hook h: exit code 3: no luck",
		"exit 7":                              "hook h: exit code 7",
		"echo last words; kill -9 $$":         "hook h: ended by signal 9 (killed): last words",
	} {
		result, err := runHook(t.Context(), shellHook(script), someFacts)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", script, err, want)
		}
		if code := result.Code; script == "exit 7" && code != 7 || strings.Contains(script, "kill") && code != -1 {
			t.Errorf("%s: code %d", script, code)
		}
	}
	unstartable := map[string]error{
		"no-such-program-anywhere": exec.ErrNotFound, filepath.Join(t.TempDir(), "none"): os.ErrNotExist, t.TempDir(): os.ErrPermission,
	}
	for program, want := range unstartable {
		h := &plans.Hook{Name: "h", Command: []string{program}, Timeout: plans.Duration(time.Minute)}
		if result, err := runHook(t.Context(), h, someFacts); !errors.Is(err, want) || !strings.Contains(err.Error(), program) || result.Code != -1 {
			t.Errorf("%s: %v", program, err)
		}
	}
	if _, err := runHook(t.Context(), &plans.Hook{Name: "m", Manual: "call the bank"}, someFacts); err == nil {
		t.Error("a manual step was carried out")
	}
}

func TestHookOutput(t *testing.T) {
	script := `i=0; while [ $i -lt 3000 ]; do echo "line $i é"; i=$((i+1)); done; printf '\033[31mred\033[0m \377 a\000b\r\nend\r'`
	result, err := runHook(t.Context(), shellHook(script), someFacts)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(result.Output); n > maxOutput || n < maxOutput-4 {
		t.Errorf("%d bytes", n)
	}
	if !strings.HasSuffix(result.Output, "line 2999 é\nred \uFFFD ab\nend\n") {
		t.Errorf("%q", result.Output[max(0, len(result.Output)-80):])
	}
	if got := cleaned("\x1b]0;title\x07x\u202ey\tz"); got != "xy\tz" {
		t.Errorf("%q", got)
	}
	if got := lastLine("a\n" + strings.Repeat("é", 500) + "\n \n"); len(got) > maxLastLine+len("…") || !strings.HasPrefix(got, "éé") {
		t.Errorf("%q", got)
	}
}

// TestHookTimeout ends a command that takes no notice of being told to, and
// what it has started.
func TestHookTimeout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	script := fmt.Sprintf(`trap '' TERM; sh -c 'trap "" TERM; while :; do sleep 1; done' & echo $$ $! > %s; echo waiting; wait; wait`, file)
	e := errand{argv: []string{"sh", "-c", script}, timeout: 500 * time.Millisecond, grace: 200 * time.Millisecond}
	began := time.Now()
	result, err := e.run(t.Context())
	if !errors.Is(err, errHookTimeout) || result.Code != -1 || !strings.Contains(err.Error(), "500ms") || !strings.HasSuffix(err.Error(), ": waiting") {
		t.Errorf("%+v, %v", result, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	for pid := range strings.FieldsSeq(awaitFile(t, file)) {
		awaitEnd(t, pid)
	}
}

// TestHookInterrupted: a command that heeds the word has time to clean up.
func TestHookInterrupted(t *testing.T) {
	begun := filepath.Join(t.TempDir(), "begun")
	h := shellHook(fmt.Sprintf(`trap 'echo cleaned up; exit 0' TERM; sleep 600 & echo yes > %s; wait`, begun))
	for _, cause := range []error{nil, errors.New("the lease is lost")} {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			awaitFile(t, begun)
			cancel(cause)
		}()
		result, err := runHook(ctx, h, someFacts)
		want := cause
		if want == nil {
			want = ErrInterrupted
		}
		if !errors.Is(err, want) || errors.Is(err, errHookTimeout) || result.Output != "cleaned up\n" || result.Took > 30*time.Second {
			t.Errorf("%+v, %v", result, err)
		}
		if _, err := runHook(ctx, shellHook("touch "+begun+".again"), someFacts); !errors.Is(err, want) {
			t.Errorf("begun after the end: %v", err)
		}
		if _, err := os.Stat(begun + ".again"); err == nil {
			t.Error("it ran")
		}
		if err := os.Remove(begun); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHookLeavesOneBehind: a process that the command leaves behind keeps its
// output open, and hinders nobody.
func TestHookLeavesOneBehind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	began := time.Now()
	result, err := runHook(t.Context(), shellHook("sleep 600 & echo $! > "+file+"; echo started"), someFacts)
	if err != nil || result.Output != "started\n" || time.Since(began) > 30*time.Second {
		t.Errorf("%+v, %v", result, err)
	}
	pid, err := strconv.Atoi(awaitFile(t, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("what the command has left running was ended: %v", err)
	}
}

func TestProbe(t *testing.T) {
	probe := func(script string) plans.Probe {
		return plans.Probe{Name: "office", Command: []string{"sh", "-c", script}, Timeout: plans.Duration(10 * time.Second)}
	}
	for script, want := range map[string]string{
		"cat; exit 0":          "true answers",
		"echo mon.a in 3 ms":   "true answers: mon.a in 3 ms",
		"echo no route; false": "false does not answer: exit code 1: no route",
		"kill -15 $$":          "false cannot tell: ended by signal 15 (terminated)",
	} {
		ok, detail := runProbe(t.Context(), probe(script))
		if got := fmt.Sprint(ok, " ", detail); got != want {
			t.Errorf("%s: got %s, want %s", script, got, want)
		}
	}
	slow := probe("sleep 600")
	slow.Timeout = plans.Duration(100 * time.Millisecond)
	if ok, detail := runProbe(t.Context(), slow); ok || !strings.HasPrefix(detail, "cannot tell: not done in time") {
		t.Errorf("%v %s", ok, detail)
	}
}

func TestFenceCommand(t *testing.T) {
	site := plans.Site{Name: "a", Fence: plans.Fence{
		Method: plans.FenceCommand, Timeout: plans.Duration(time.Minute),
		Command: []string{"sh", "-c", `grep -q '"when":"fence","of":"a"' && test "$DROVER_SITE $DROVER_TO" = "a b"`},
	}}
	if err := runFence(t.Context(), site, someFacts); err != nil {
		t.Error(err)
	}
	site.Fence.Command = []string{"sh", "-c", "echo no key; exit 4"}
	if err := runFence(t.Context(), site, someFacts); err == nil || err.Error() != "fence of site a: exit code 4: no key" {
		t.Error(err)
	}
	site.Fence.Method = plans.FenceBlocklist
	if err := runFence(t.Context(), site, someFacts); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func TestSelectHooks(t *testing.T) {
	all := []string{"switchover", "failover"}
	plan := &plans.Plan{Hooks: []plans.Hook{
		{Name: "1", When: plans.BeforeRun, Runbooks: all},
		{Name: "2", When: plans.BeforeWave, Of: "second", Runbooks: all},
		{Name: "3", When: plans.BeforeWave, Runbooks: all},
		{Name: "4", When: plans.BeforeWave, Of: "first", Runbooks: []string{"switchover"}},
		{Name: "5", When: plans.AfterWave, Of: "first", Runbooks: all},
	}}
	for _, test := range []struct{ runbook, when, of, want string }{
		{"switchover", plans.BeforeRun, "", "1"},
		{"switchover", plans.BeforeWave, "first", "3 4"},
		{"failover", plans.BeforeWave, "first", "3"},
		{"failover", plans.BeforeWave, "second", "2 3"},
		{"failover", plans.BeforeWave, "", "3"},
		{"failback", plans.BeforeRun, "", ""},
	} {
		var got []string
		for _, h := range selectHooks(plan, test.runbook, test.when, test.of) {
			if !slices.ContainsFunc(plan.Hooks, func(p plans.Hook) bool { return p.Name == h.Name }) || h != &plan.Hooks[h.Name[0]-'1'] {
				t.Error("not the plan's own")
			}
			got = append(got, h.Name)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

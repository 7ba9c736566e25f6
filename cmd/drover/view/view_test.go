package view_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// golden holds text against a file.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s: got\n%s\nwant\n%s", path, text, want)
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func pointer[T any](v T) *T { return &v }

func status() *orchestrator.StatusReport {
	image := replay.Pool{Name: "rbd"}.Image
	later := noon.Add(-90 * time.Second)
	return &orchestrator.StatusReport{
		APIVersion: "drover/v1", Kind: "Status", Plan: "payroll", At: noon, Seconds: 0.5,
		Summary: orchestrator.StatusSummary{Images: 4, Healthy: 1, Critical: 2, Warning: 1, Silent: []string{"site-c"}},
		Problems: []orchestrator.StatusProblem{
			{Problem: replay.Problem{Code: replay.ProblemTwoPrimaries, Severity: replay.SeverityCritical, What: "the image is primary at site-a and site-b", Next: "judge"}, Images: 1, Examples: []string{"rbd/vm-1"}},
			{Problem: replay.Problem{Code: replay.ProblemRPOExceeded, Severity: replay.SeverityWarning, Site: "site-b", What: "1m30s behind", Next: "look"}, Images: 5, Examples: []string{"rbd/vm-2", "rbd/vm-3", "rbd/vm-4"}},
			{Problem: replay.Problem{Code: replay.ProblemSiteUnknown, Severity: replay.SeverityCritical, Site: "site-c", What: "no answer"}},
		},
		Sites: []orchestrator.SiteStatus{
			{Name: "site-a", Reachable: true, Release: "16.2.15"},
			{Name: "site-b", Reachable: true, Release: "18.2.7", Daemons: []orchestrator.DaemonStatus{{Client: "rbd-mirror.b", Host: "h", Version: "18.2.7", Serves: []string{"rbd"}, Callouts: []string{"rbd: error: x"}}, {Client: "other"}}},
			{Name: "site-c"},
		},
		Images: []orchestrator.ImageStatus{
			{Ref: image("vm-1"), Mode: replay.ModeJournal, State: replay.SplitBrain, Roles: map[string]string{"site-a": "primary", "site-b": "primary", "site-c": "unknown"}},
			{
				Ref: image("vm-2"), Mode: replay.ModeJournal, State: replay.Lagging, Roles: map[string]string{"site-a": "primary", "site-b": "secondary", "site-c": "unknown"},
				Objective: pointer(60.0), Met: pointer(false),
				Copies: []orchestrator.CopyStatus{
					{Site: "site-b", State: replay.Lagging, Lag: replay.Lag{Entries: pointer(int64(12)), Bytes: pointer(int64(3 << 20)), Seconds: pointer(90 * time.Second), Exact: true}, SyncedTo: &later, CatchUpSeconds: pointer(250.4), Compared: &orchestrator.CopyProof{Result: orchestrator.ProofIdentical, At: &later, Identical: &later}},
					{Site: "site-c", State: replay.Unknown, Compared: &orchestrator.CopyProof{Result: orchestrator.ProofUnknown}},
				},
			},
			{
				Ref: image("vm-5"), Mode: replay.ModeSnapshot, State: replay.Syncing, Roles: map[string]string{"site-a": "primary", "site-b": "secondary"},
				Copies: []orchestrator.CopyStatus{{Site: "site-b", State: replay.Syncing, SyncPercent: pointer(42.0), FallsBehind: true, Compared: &orchestrator.CopyProof{Result: orchestrator.ProofDiffers, At: &later, Identical: pointer(noon.Add(-50 * time.Hour)), Stale: true}}},
			},
			{
				Ref: image("vm-6"), Mode: replay.ModeJournal, State: replay.Replaying, Healthy: true, Roles: map[string]string{"site-a": "primary", "site-b": "secondary"},
				Objective: pointer(60.0), Met: pointer(true),
				Copies: []orchestrator.CopyStatus{{Site: "site-b", State: replay.Replaying, Lag: replay.Lag{Entries: pointer(int64(0)), Seconds: pointer(time.Duration(0)), CaughtUp: true, Exact: true}, SyncedTo: &noon, Compared: &orchestrator.CopyProof{Result: orchestrator.ProofNever}}},
			},
		},
	}
}

func TestStatus(t *testing.T) {
	for name, options := range map[string]view.StatusOptions{"status.txt": {}, "status-problems.txt": {OnlyProblems: true}, "status-watch.txt": {CatchUp: true}} {
		var b strings.Builder
		if err := view.Status(&b, view.Palette{}, status(), options); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.String())
	}
}

func TestStatusAgainDrawsOverOnTerminalsOnly(t *testing.T) {
	var plain, drawn strings.Builder
	if err := errors.Join(
		view.StatusAgain(&plain, view.Palette{}, status(), view.StatusOptions{}, false, false),
		view.StatusAgain(&drawn, view.Palette{}, status(), view.StatusOptions{}, true, false),
	); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.HasPrefix(drawn.String(), "\x1b[H") {
		t.Errorf("plain %q, drawn %q", plain.String()[:20], drawn.String()[:20])
	}
}

// JSON and YAML say the same.
func TestFormatsAgree(t *testing.T) {
	var j, y bytes.Buffer
	if err := errors.Join(view.Encode(&j, view.JSON, status()), view.Encode(&y, view.YAML, status())); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", j.String())
	golden(t, "status.yaml", y.String())
	var fromYAML, fromJSON any
	if err := errors.Join(yaml.Unmarshal(y.Bytes(), &fromYAML), json.Unmarshal(j.Bytes(), &fromJSON)); err != nil {
		t.Fatal(err)
	}
	a, errA := json.Marshal(fromYAML)
	b, errB := json.Marshal(fromJSON)
	if errors.Join(errA, errB) != nil || !bytes.Equal(a, b) {
		t.Errorf("YAML says %s, JSON %s", a, b)
	}
	var line bytes.Buffer
	if err := view.EncodeLine(&line, view.JSON, status()); err != nil || strings.Count(line.String(), "\n") != 1 {
		t.Errorf("%v: %q", err, line.String())
	}
}

func TestVerification(t *testing.T) {
	image := replay.Pool{Name: "rbd"}.Image
	same := &compare.Result{Identical: true, A: compare.Side{Size: 1 << 30, Allocated: 5 << 20, BytesRead: 5 << 20}, B: compare.Side{Size: 1 << 30, BytesRead: 5 << 20}}
	different := &compare.Result{A: compare.Side{Size: 1 << 30}, B: compare.Side{Size: 2 << 30, Digest: compare.Digest{1}}, FirstDifference: pointer(uint64(4097)), DifferentChunks: 2}
	r := &orchestrator.VerifyReport{
		Plan: "payroll", Seconds: 61,
		Summary: orchestrator.VerifySummary{Compared: 3, Identical: 2, Different: 1, Failed: 2, BytesRead: 10 << 20},
		Images: []orchestrator.VerifiedImage{
			{Ref: image("vm-1"), Primary: "site-a", Secondary: "site-b", Identical: true, Comparison: same, AwaitSeconds: 2, CompareSeconds: 1.5},
			{Ref: image("vm-2"), Primary: "site-a", Secondary: "site-b", Identical: true, Comparison: same, Rechecks: []orchestrator.Recheck{{}}},
			{Ref: image("vm-3"), Primary: "site-a", Secondary: "site-b", Comparison: different, Rechecks: []orchestrator.Recheck{{Different: 8192}}, Next: "do not fail over"},
			{Ref: image("vm-4"), Error: "gone"},
			{Ref: image("vm-5"), Primary: "site-a", Secondary: "site-b", Error: "no snapshot arrived", Next: "drover status plan.yaml"},
		},
		Faults:    []orchestrator.VerifyFault{{Site: "site-c", What: "no answer", Next: "look"}, {Site: "site-a", Pool: "other/ns", What: "not found"}},
		Leftovers: []orchestrator.LeftoverSnapshot{{Ref: image("vm-1"), Site: "site-a", Snapshot: "s", Removed: true, Note: "process 1 has ended"}},
	}
	var b strings.Builder
	if err := view.Verification(&b, view.Palette{}, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "verification.txt", b.String())
}

func difference() *orchestrator.Difference {
	pool := replay.Pool{Name: "rbd", Namespace: "ns"}
	return &orchestrator.Difference{
		Plan: "payroll",
		Changes: []orchestrator.Change{
			{Kind: orchestrator.KindPoolMode, Site: "site-a", Pool: pool, What: "mirroring of the pool: disabled → image mode", From: "disabled", Command: "rbd mirror pool enable rbd/ns image"},
			{Kind: orchestrator.KindFeatures, Site: "site-a", Pool: pool, Image: "vm-1", What: "features: journaling", Drift: true, Command: "rbd feature enable rbd/ns/vm-1 journaling"},
			{Kind: orchestrator.KindUnmirror, Site: "site-a", Pool: pool, Image: "vm-2", What: "stop mirroring", Destructive: true, Command: "rbd mirror image disable rbd/ns/vm-2"},
		},
		Notices: []orchestrator.Notice{
			{Code: orchestrator.NoticeSiteSilent, Severity: orchestrator.SeverityError, Site: "site-b", What: "no answer", Next: "look"},
			{Code: orchestrator.NoticeUnprotected, Severity: orchestrator.SeverityWarning, Site: "site-a", Pool: pool, Image: "vm-3", What: "an image that no plan protects"},
			{Code: orchestrator.NoticeCopyPending, Severity: orchestrator.SeverityInfo, What: "no copy yet"},
		},
	}
}

func TestDifference(t *testing.T) {
	var b strings.Builder
	if err := view.NewDifference(difference()).Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "difference.txt", b.String())
}

func TestResult(t *testing.T) {
	d := difference()
	r := &orchestrator.Result{Plan: "payroll", Notices: d.Notices, Took: 1500 * time.Millisecond}
	for i, outcome := range []orchestrator.Outcome{orchestrator.OutcomeDone, orchestrator.OutcomeFailed, orchestrator.OutcomeBlocked} {
		r.Changes = append(r.Changes, orchestrator.ChangeResult{Change: d.Changes[i], Outcome: outcome, Fault: &orchestrator.Fault{What: "x"}})
	}
	r.Images = []orchestrator.ImageResult{{State: replay.Replaying}, {State: replay.Enabling}, {State: replay.Replaying}}
	var b strings.Builder
	if err := view.NewResult("ApplyResult", r).Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "result.txt", b.String())

	// With many changes what went well is counted, and what did not is listed.
	for range 50 {
		r.Changes = append(r.Changes, orchestrator.ChangeResult{Change: d.Changes[0], Outcome: orchestrator.OutcomeDone})
	}
	b.Reset()
	if err := view.NewResult("ApplyResult", r).Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "result-many.txt", b.String())
}

func TestFailure(t *testing.T) {
	site := &replay.Error{Op: "enable mirroring", Site: "site-b", Object: "rbd/vm-1", Err: replay.ErrPermission, Hint: "give client.drover mgr 'profile rbd'"}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"site": {fmt.Errorf("plan apply: %w", site), "drover: plan apply: site site-b: enable mirroring rbd/vm-1: permission denied\nnext: give client.drover mgr 'profile rbd'\n"},
		"advised": {
			view.Next(fmt.Errorf("status: %w", site), "do %s", "this"),
			"drover: status: site site-b: enable mirroring rbd/vm-1: permission denied\nnext: do this\n",
		},
		"joined":  {errors.Join(errors.New("one"), errors.Join(errors.New("two"), errors.New("three"))), "drover: one\ndrover: two\ndrover: three\n"},
		"several": {fmt.Errorf("%w: %w", errors.New("a"), errors.New("b")), "drover: a: b\n"},
		"refused": {&orchestrator.Hinted{Err: orchestrator.ErrRefused, Hint: "wait"}, "drover: precondition refused\nnext: wait\n"},
		"mistakes": {
			plans.Errors{{File: "p.yaml", Line: 3, Column: 5, What: "wrong", Instead: "right"}},
			"p.yaml:3:5: wrong; right\ndrover: the plan has 1 mistake\nnext: correct the file, then: drover plan validate p.yaml\n",
		},
	} {
		var b strings.Builder
		view.Failure(&b, view.Palette{}, c.err)
		if b.String() != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), c.want)
		}
	}
	if view.Next(nil, "x") != nil {
		t.Error("advice makes an error of nothing")
	}
}

func TestPalette(t *testing.T) {
	env := func(pairs map[string]string) func(string) string { return func(k string) string { return pairs[k] } }
	for _, c := range []struct {
		when     view.When
		terminal bool
		env      map[string]string
		want     bool
	}{
		{view.Auto, true, nil, true},
		{view.Auto, false, nil, false},
		{view.Auto, true, map[string]string{"NO_COLOR": "1"}, false},
		{view.Auto, true, map[string]string{"TERM": "dumb"}, false},
		{view.Always, false, map[string]string{"NO_COLOR": "1"}, true},
		{view.Never, true, nil, false},
	} {
		p := view.NewPalette(c.when, c.terminal, env(c.env))
		if p.On != c.want || strings.Contains(p.Bad("x"), "\x1b") != c.want {
			t.Errorf("%+v: %v, %q", c, p.On, p.Bad("x"))
		}
	}
}

func TestQuantities(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{view.Bytes(int64(0)), "0 B"},
		{view.Bytes(uint64(1536)), "1.5 KiB"},
		{view.Bytes(uint64(1 << 40)), "1 TiB"},
		{view.Span(0), "0s"},
		{view.Span(100 * time.Microsecond), "1ms"},
		{view.Span(90 * time.Second), "1m30s"},
		{view.Span(2 * time.Hour), "2h"},
		{view.Span(76 * time.Hour), "3d4h"},
		{view.Count(1, "image"), "1 image"},
		{view.Count(0, "image"), "0 images"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Off a terminal progress is plain lines, none before two seconds and then not
// too many.
func TestPlainProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := view.NewProgress(&b, false, view.Palette{})
		p.Wait("waiting for x")
		time.Sleep(50 * time.Millisecond)
		for i := range int64(120) {
			p.Set("rbd/vm-1", view.UnitBytes, i<<20, 120<<20)
			time.Sleep(100 * time.Millisecond)
		}
		p.Finish("rbd/vm-1", true)
		p.Close()
		p.Set("late", view.UnitSteps, 1, 2)
		want := "waiting for x\nrbd/vm-1: 20 MiB of 120 MiB (16 %)\nrbd/vm-1: 70 MiB of 120 MiB (58 %)\n"
		if b.String() != want {
			t.Errorf("got\n%s\nwant\n%s", b.String(), want)
		}
	})
}

func TestQuickWorkShowsNoProgress(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			p := view.NewProgress(&b, terminal, view.Palette{})
			p.Wait("waiting")
			p.Set("x", view.UnitSteps, 1, 3)
			time.Sleep(time.Second)
			p.Finish("waiting", true)
			p.Finish("x", true)
			p.Close()
			time.Sleep(10 * time.Second)
			if b.Len() > 0 {
				t.Errorf("terminal %v: %q", terminal, b.String())
			}
		})
	}
}

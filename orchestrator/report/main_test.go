package report_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/drover-io/drover/orchestrator/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; run with -update and look at the change:\n%s", file, diff)
	}
}

// rendered is a report in a format.
func rendered(t *testing.T, f report.Format, r *report.Report, past []report.Summary) string {
	t.Helper()
	var b strings.Builder
	if err := report.Write(&b, f, r, past); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var night = time.Date(2026, 9, 14, 2, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return night.Add(time.Duration(seconds * float64(time.Second)))
}

func ptr[T any](v T) *T { return &v }

// drill is one of four images that went well.
func drill() *report.Report {
	r := &report.Report{
		Version: report.Version, ID: "drill-20260914-020000-7f3a", Kind: "drill", Name: "nightly", Plan: "shop", Fingerprint: "sha256:4be1f2",
		From: "paris", To: "lyon", By: "drover@ops1", Trigger: "schedule", Began: night, Ended: at(212.4), Verdict: report.Passed,
		Why:        "all 8 checks are green, RPO and RTO are within the objectives",
		Objectives: report.Objectives{RPOSeconds: 300, RTOSeconds: 240},
		Achieved:   report.Achieved{RPOSeconds: ptr(41.2), RTOSeconds: ptr(187.25), ExposureSeconds: ptr(95.5)},
		Groups: []report.Group{
			{Group: "pg", Images: 2, Moment: report.OneMoment, HeldBy: []string{"freeze", "pause-queue"}, ReleasedBy: []string{"thaw"}, SpreadSeconds: ptr(0.034)},
			{Group: "web", Images: 3, Moment: report.Apart, SpreadSeconds: ptr(1.25)},
		},
		Versions: map[string]string{"drover": "0.6.0", "paris": "ceph 18.2.4 reef", "lyon": "ceph 17.2.7 quincy"},
		Notes:    []string{"xfs_repair is not installed on ops1: xfs was not checked"},
	}
	for i, name := range []string{"pg_data", "pg_wal", "web-1", "web-2"} {
		image, begin := "rbd/"+name, 3+float64(i)*1.5
		one := report.Image{
			Image: image, Mode: "journal", Wave: "1-databases", Verdict: report.Passed, Taken: ptr(at(begin - 38)), Up: ptr(at(begin + 60)),
			RPOSeconds: ptr(39.7 + float64(i)/2), Clone: "drills/nightly-7f3a-" + name, Bytes: 64 << 30,
		}
		if i < 2 {
			one.Group = "pg"
		} else {
			one.Mode, one.Wave = "snapshot", "2-web"
		}
		r.Images = append(r.Images, one)
		r.Steps = append(
			r.Steps,
			report.Step{Name: "snapshot", Of: image, Site: "paris", Began: at(begin), Seconds: 0.42, OK: true},
			report.Step{Name: "await", Of: image, Site: "lyon", Began: at(begin + 0.5), Seconds: 41, OK: true, Note: "commit position 12 passed"},
			report.Step{Name: "clone", Of: image, Site: "lyon", Began: at(begin + 42), Seconds: 0.8, OK: true},
			report.Step{Name: "remove", Of: image, Site: "lyon", Began: at(195 + begin), Seconds: 2.25, OK: true},
		)
		r.Checks = append(
			r.Checks,
			report.Check{Name: "content", How: "builtin content", Per: "image", Of: image, Verdict: report.Passed, Began: at(begin + 43), Seconds: 88.5},
			report.Check{
				Name: "fsck", How: "builtin filesystem", Per: "image", Of: image, Verdict: report.Passed, Began: at(begin + 132), Seconds: 12,
				Output: "Pass 1: Checking inodes, blocks, and sizes\nPass 5: Checking group summary information\n/dev/nbd" + fmt.Sprint(i) + ": clean, 11/65536 files\n",
			},
		)
	}
	return r
}

// failedDrill found a copy that differs, and left a clone behind.
func failedDrill() *report.Report {
	r := drill()
	r.ID, r.Verdict, r.Why = "drill-20260914-020000-bad1", report.Failed, "check content of rbd/web-2 failed, and RTO 5 min 12 s misses 4 min"
	r.Achieved.RTOSeconds, r.Achieved.ExposureSeconds = ptr(312.0), ptr(400.0)
	r.Groups = []report.Group{{Group: "pg", Images: 2, Moment: report.Apart}}
	r.Ended = at(330)
	r.Images[3].Verdict, r.Images[3].Why = report.Failed, "the clone differs from the primary's snapshot"
	c := &r.Checks[6]
	c.Verdict, c.Why, c.Seconds = report.Failed, "3 of 16384 blocks differ", 220
	c.Output = "block 17: sha256 `9f` | `4c`\nblock 18: <differs>\n```\nblock 901: differs & is *not* zero\n"
	r.Checks = append(r.Checks, report.Check{
		Name: "query", How: "command", Per: "drill", Verdict: report.Skipped, Why: "not made: an earlier check failed", Began: at(311),
	})
	last := &r.Steps[len(r.Steps)-1]
	last.OK, last.Note = false, "remove the clone at lyon: it has watchers: 10.0.0.7; end what holds it, then: drover drill sweep shop.yaml"
	r.Left = []string{"lyon: drills/nightly-7f3a-web-2, held by 10.0.0.7"}
	return r
}

// abortedDrill was ended by a failover before anything was brought up.
func abortedDrill() *report.Report {
	r := drill()
	r.ID, r.Verdict, r.Why, r.Ended = "drill-20260914-020000-ab07", report.Aborted, "failover run-9c began: the drill was swept", at(21)
	r.Achieved, r.Checks, r.Steps, r.Notes, r.Groups = report.Achieved{}, nil, r.Steps[:2], nil, nil
	r.Steps[1].Seconds, r.Steps[1].OK, r.Steps[1].Note = 17, false, "given up: another run wants the images"
	for i := range r.Images {
		r.Images[i] = report.Image{Image: r.Images[i].Image, Verdict: report.Skipped, Why: "not brought up"}
	}
	r.Images[0].Verdict = report.Aborted
	return r
}

// failover gave some writes of one image up.
func failover() *report.Report {
	r := &report.Report{
		Version: report.Version, ID: "run-20260914-0201-9c", Kind: "failover", Plan: "shop", Fingerprint: "sha256:4be1f2", From: "paris", To: "lyon",
		By: "ada@ops1", Trigger: "person", Reason: "paris has no power", Began: night, Ended: at(64), Verdict: report.Passed,
		Why:        "every image is primary at lyon",
		Objectives: report.Objectives{RPOSeconds: 300},
		Achieved:   report.Achieved{RPOSeconds: ptr(77.0), RTOSeconds: ptr(64.0)},
		Versions:   map[string]string{"drover": "0.6.0", "lyon": "ceph 17.2.7 quincy"},
		Notes:      []string{"paris did not answer: its version is not known"},
	}
	for i, name := range []string{"pg_data", "pg_wal"} {
		r.Images = append(r.Images, report.Image{
			Image: "rbd/" + name, Mode: "journal", Group: "pg", Verdict: report.Passed, Taken: ptr(at(-70)), Up: ptr(at(30 + float64(i))),
			RPOSeconds: ptr(70.0 + float64(i)), Lost: "writes of at most 77 s",
		})
		r.Steps = append(
			r.Steps,
			report.Step{Name: "fence", Of: "rbd/" + name, Site: "paris", Began: at(2), Seconds: 0, OK: true},
			report.Step{Name: "promote", Of: "rbd/" + name, Site: "lyon", Began: at(12 + float64(i)), Seconds: 17, OK: true, Note: "forced"},
		)
	}
	r.Checks = []report.Check{{
		Name: "app answers", How: "http", Per: "drill", Verdict: report.Passed, Began: at(40), Seconds: 23.75, Output: "HTTP/1.1 200 OK\n\nrows: 1204\n",
	}}
	return r
}

// pastDrills are of the nights before.
func pastDrills(n int) []report.Summary {
	var past []report.Summary
	for i := range n {
		r := drill()
		r.ID = fmt.Sprintf("drill-past-%d", i)
		r.Began = night.AddDate(0, 0, -1-i)
		r.Ended = r.Began.Add(3 * time.Minute)
		r.Achieved = report.Achieved{RPOSeconds: ptr(30 + float64(i*37%50)), RTOSeconds: ptr(170 + float64(i*53%90))}
		switch {
		case i%7 == 3:
			r.Achieved, r.Verdict, r.Why = report.Achieved{}, report.Aborted, "paris did not answer"
		case *r.Achieved.RTOSeconds > r.Objectives.RTOSeconds:
			r.Verdict, r.Why = report.Failed, "RTO misses the objective"
		}
		past = append(past, report.Summarize(r))
	}
	return past
}

// hostile is one whose every text wants out of its place.
func hostile() *report.Report {
	const evil = "</title></pre></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>" +
		"]]>|`````\n# head\x00\x1b[31mred\x1b[0m\u202E\uFFFE\xff{{.}} javascript:alert(1) https://evil.example/ url(x) -->"
	r := failedDrill()
	r.ID, r.Kind, r.Name, r.Plan, r.Fingerprint, r.From, r.To, r.By, r.Trigger, r.Reason, r.Why = evil, evil, evil, evil, evil, evil, evil, evil, evil, evil, evil
	r.Versions = map[string]string{evil: evil}
	r.Notes, r.Left = []string{evil}, []string{evil}
	r.Groups = []report.Group{{Group: evil, Images: 2, Moment: report.OneMoment, HeldBy: []string{evil, evil}, ReleasedBy: []string{evil}}}
	for i := range r.Images {
		v := &r.Images[i]
		v.Image, v.Mode, v.Group, v.Wave, v.Why, v.Clone, v.Lost = evil, evil, evil, evil, evil, evil, evil
	}
	for i := range r.Checks {
		c := &r.Checks[i]
		c.Name, c.How, c.Per, c.Of, c.Why, c.Output = evil, evil, evil, evil, evil, evil
	}
	r.Checks[0].Verdict, r.Images[0].Verdict = evil, evil
	for i := range r.Steps {
		s := &r.Steps[i]
		s.Name, s.Of, s.Site, s.Note = evil, evil, evil, evil
	}
	return r
}

// large is a drill of many images, each with a few checks and steps.
func large(images int) *report.Report {
	r := drill()
	r.Images, r.Checks, r.Steps = nil, nil, nil
	for i := range images {
		image, begin := fmt.Sprintf("rbd/tenant-%02d/vm-%04d-disk", i%17, i), float64(i%50)
		r.Images = append(r.Images, report.Image{
			Image: image, Mode: "snapshot", Verdict: report.Passed, Taken: ptr(at(-30)), Up: ptr(at(begin + 50)), RPOSeconds: ptr(30.0),
			Clone: "drills/x-" + image, Bytes: 20 << 30,
		})
		for j, name := range []string{"snapshot", "await", "clone", "remove"} {
			r.Steps = append(r.Steps, report.Step{
				Name: name, Of: image, Site: "lyon", Began: at(begin + float64(j)*(20+float64(i%13))), Seconds: float64(i % 31), OK: true, Note: "seen to be so",
			})
		}
		for _, name := range []string{"content", "fsck", "boot"} {
			r.Checks = append(r.Checks, report.Check{
				Name: name, How: "builtin " + name, Per: "image", Of: image, Verdict: report.Passed, Began: at(begin + 60), Seconds: float64(i % 23),
				Output: strings.Repeat("all is well\n", i%40),
			})
		}
	}
	return r
}

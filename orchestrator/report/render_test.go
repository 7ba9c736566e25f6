package report_test

import (
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator/report"
)

// scenarios are the reports of which each rendering is kept in testdata.
var scenarios = []struct {
	name string
	of   func() *report.Report
	past int
}{
	{"passed", drill, 12},
	{"failed", failedDrill, 5},
	{"aborted", abortedDrill, 0},
	{"failover", failover, 0},
}

func TestGoldens(t *testing.T) {
	for _, s := range scenarios {
		for _, name := range report.Formats() {
			f := report.Format(name)
			t.Run(s.name+f.Extension(), func(t *testing.T) {
				golden(t, s.name+f.Extension(), rendered(t, f, s.of(), pastDrills(s.past)))
			})
		}
	}
}

func TestFormats(t *testing.T) {
	for _, name := range report.Formats() {
		f := report.Format(name)
		if got, ok := report.FormatOf("/tmp/Report" + strings.ToUpper(f.Extension())); !ok || got != f {
			t.Errorf("%s: a file of %s is taken for %q", name, f.Extension(), got)
		}
	}
	if _, ok := report.FormatOf("report.pdf"); ok {
		t.Error("there is a format for .pdf")
	}
	err := report.Write(&strings.Builder{}, "pdf", drill(), nil)
	if err == nil || !strings.Contains(err.Error(), "html, json, junit, markdown") {
		t.Errorf("an unknown format: %v", err)
	}
}

// TestRenderingChangesNothing: a report is rendered in several formats one after the
// other, and its bytes are what was signed.
func TestRenderingChangesNothing(t *testing.T) {
	for _, s := range scenarios {
		r := s.of()
		before := rendered(t, report.FormatJSON, r, nil)
		past := pastDrills(9)
		for _, name := range report.Formats() {
			rendered(t, report.Format(name), r, past)
		}
		if _, err := report.Bound(r, 3000); err != nil {
			t.Fatal(err)
		}
		if after := rendered(t, report.FormatJSON, r, nil); after != before {
			t.Errorf("%s: changed by its renderings to:\n%s", s.name, after)
		}
	}
}

func TestSummarize(t *testing.T) {
	r := failedDrill()
	r.MoreImages = report.Counts{Passed: 10, Failed: 1}
	r.Checks[0].Count = 7
	s := report.Summarize(r)
	if want := (report.Counts{Passed: 13, Failed: 2}); s.Images != want {
		t.Errorf("images %+v, want %+v", s.Images, want)
	}
	if want := (report.Counts{Passed: 13, Failed: 1, Skipped: 1}); s.Checks != want {
		t.Errorf("checks %+v, want %+v", s.Checks, want)
	}
	if s.Seconds != 330 || s.ID != r.ID || s.Name != "nightly" || s.Verdict != report.Failed || s.Left != 1 || *s.Achieved.RTOSeconds != 312 {
		t.Errorf("%+v", s)
	}
}

func TestMeasures(t *testing.T) {
	for _, c := range []struct {
		objective float64
		achieved  *float64
		want      report.Outcome
	}{
		{300, ptr(299.0), report.Met},
		{300, ptr(300.0), report.Met},
		{300, ptr(300.1), report.Missed},
		{300, nil, report.Unmeasured},
		{0, ptr(1.0), report.Unasked},
		{0, nil, report.Unasked},
	} {
		r := &report.Report{Objectives: report.Objectives{RPOSeconds: c.objective}, Achieved: report.Achieved{RPOSeconds: c.achieved}}
		if got := r.Measures()[0]; got.Outcome != c.want || got.Name != "RPO" {
			t.Errorf("%v of %v: %+v, want %s", c.achieved, c.objective, got, c.want)
		}
	}
}

// TestMissedIsSaid: what misses its objectives says so in every format, though every
// image and every check has passed.
func TestMissedIsSaid(t *testing.T) {
	r := drill()
	r.Achieved = report.Achieved{RPOSeconds: ptr(300.2), RTOSeconds: nil}
	r.Verdict, r.Why = report.Failed, "RPO: the data were 300.2 s old, and the objective is 300 s"
	for f, want := range map[report.Format][]string{
		report.FormatJSON:     {`"outcomes": {`, `"rpo": "missed"`, `"rto": "not measured"`, `"verdict": "failed"`},
		report.FormatMarkdown: {"nightly of plan shop: failed", "| missed |", "| not measured |", "the data were 300.2 s old"},
		report.FormatJUnit:    {`failures="2"`, `<failure type="failed" message="5 min; the objective is 5 min">`, `<failure type="failed" message="RPO: the data`},
		report.FormatHTML:     {"✗ failed", "✗ missed", "– not measured", "the data were 300.2 s old"},
	} {
		text := rendered(t, f, r, nil)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not say %q:\n%s", f, w, text)
			}
		}
	}
	read, err := report.Parse([]byte(rendered(t, report.FormatJSON, r, nil)))
	if err != nil || read.Outcomes != (report.Outcomes{RPO: report.Missed, RTO: report.Unmeasured}) {
		t.Errorf("%v, %+v", err, read)
	}
}

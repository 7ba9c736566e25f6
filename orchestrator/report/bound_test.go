package report_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/drover-io/drover/orchestrator/report"
)

// checkBound holds a bounded report to its limit, where it can be met.
func checkBound(t *testing.T, r *report.Report, limit int) {
	t.Helper()
	b, err := report.Bound(r, limit)
	switch {
	case errors.Is(err, report.ErrTooLarge):
		return
	case err != nil:
		t.Fatal(err)
	}
	if data := encoded(t, b); len(data) > limit {
		t.Errorf("%d bytes, %d allowed", len(data), limit)
	}
	if b.Verdict != r.Verdict || b.ID != r.ID {
		t.Errorf("%s %s became %s %s", r.ID, r.Verdict, b.ID, b.Verdict)
	}
}

func TestBoundLeavesWhatFits(t *testing.T) {
	r := drill()
	if b, err := report.Bound(r, len(encoded(t, r))); err != nil || b != r {
		t.Errorf("%v, %v", b, err)
	}
}

// TestBoundCutsOutputsFirst: the longest one loses its beginning, and nothing else.
func TestBoundCutsOutputsFirst(t *testing.T) {
	r := failedDrill()
	short := r.Checks[1].Output
	r.Checks[0].Output = strings.Repeat("é", 60_000) + "the end"
	r.Checks[6].Output = strings.Repeat("<", 5_000) + "differs"
	b, err := report.Bound(r, 60_000)
	if err != nil {
		t.Fatal(err)
	}
	checkBound(t, r, 60_000)
	first := b.Checks[0].Output
	if !strings.HasSuffix(first, "the end") || !utf8.ValidString(first) || len(first) < 15_000 {
		t.Errorf("the long one: %d bytes", len(first))
	}
	if b.Checks[1].Output != short || b.Checks[6].Output != r.Checks[6].Output || len(b.Steps) != len(r.Steps) || b.Steps[1].Note == "" {
		t.Error("more than the longest output was cut")
	}
	if n := len(b.Notes); n != 2 || !strings.Contains(b.Notes[1], "the output of 1 check is cut to its last ") {
		t.Errorf("notes %q", b.Notes)
	}
}

// TestBoundOfARecord: a drill of 500 images fits a record, and what is wrong with it
// is all there.
func TestBoundOfARecord(t *testing.T) {
	const record = 60 << 10
	r := large(500)
	r.Verdict = report.Failed
	r.Checks[700].Verdict, r.Checks[700].Why, r.Checks[700].Output = report.Failed, "no root file system", "kernel panic\n"
	r.Steps[90].OK, r.Steps[90].Note = false, "it has watchers"
	r.Images[499].Verdict, r.Images[499].Why = report.Failed, "no root file system"
	b, err := report.Bound(r, record)
	if err != nil {
		t.Fatal(err)
	}
	checkBound(t, r, record)
	text := rendered(t, report.FormatMarkdown, b, nil)
	for _, want := range []string{"kernel panic", "no root file system", "it has watchers", "vm-0499", "To save room, ", "1 failed, 1499 passed", "1 failed, 499 passed"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	// The timeline is as long as it was.
	whole := func(r *report.Report) string {
		page := rendered(t, report.FormatHTML, r, nil)
		_, desc, _ := strings.Cut(page, `<desc id="timeline-desc">`)
		desc, _, _ = strings.Cut(desc, ";")
		return desc
	}
	if before, after := whole(r), whole(b); before != strings.Replace(after, "9 phases", "7 phases", 1) && before != after {
		t.Errorf("%q became %q", before, after)
	}
}

func TestBoundOfWhatIsAllWrong(t *testing.T) {
	r := large(500)
	r.Verdict = report.Failed
	for i := range r.Checks {
		r.Checks[i].Verdict, r.Checks[i].Why = report.Failed, strings.Repeat("the site is on fire ", 20)
	}
	for i := range r.Steps {
		r.Steps[i].OK = false
	}
	for i := range r.Images {
		r.Images[i].Verdict, r.Images[i].Lost = report.Failed, "all of it"
	}
	for i := range 400 {
		r.Groups = append(r.Groups, report.Group{Group: fmt.Sprintf("group-%d", i), Images: 2, Moment: report.Apart})
	}
	for i := range 900 {
		r.Left = append(r.Left, fmt.Sprintf("lyon: drills/clone-%d", i))
	}
	for _, limit := range []int{64 << 10, 16 << 10, 4 << 10, 2500} {
		b, err := report.Bound(r, limit)
		if err != nil {
			t.Fatalf("%d: %v", limit, err)
		}
		checkBound(t, r, limit)
		if s := report.Summarize(b); s.Checks.Failed != 1500 || s.Images.Failed != 500 || s.Left == 0 {
			t.Errorf("%d: %+v", limit, s)
		}
	}
	if _, err := report.Bound(r, 300); !errors.Is(err, report.ErrTooLarge) || !strings.Contains(err.Error(), r.ID) {
		t.Errorf("300 bytes: %v", err)
	}
}

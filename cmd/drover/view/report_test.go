package view_test

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator/report"
)

// TestReport: a drill whose checks are green and which misses an objective says so, in
// its own table and in the list.
func TestReport(t *testing.T) {
	r := &report.Report{
		ID: "drill-20260301T120000Z-1a2b", Kind: "drill", Name: "nightly", Plan: "payroll", From: "paris", To: "lyon", By: "eva@host", Trigger: "person",
		Began: noon, Ended: noon.Add(70 * time.Second), Verdict: report.Failed, Why: "RTO: the last check was green after 61.5 s, and the objective is 60 s",
		Objectives: report.Objectives{RPOSeconds: 300, RTOSeconds: 60},
		Achieved:   report.Achieved{RPOSeconds: pointer(2.0), RTOSeconds: pointer(61.5), ExposureSeconds: pointer(1260.0)},
		Images:     []report.Image{{Image: "rbd/data", Group: "db", Verdict: report.Passed}, {Image: "rbd/logs", Group: "db", Verdict: report.Passed}},
		Groups:     []report.Group{{Group: "db", Images: 2, Moment: report.Apart, SpreadSeconds: pointer(0.0121)}},
		Checks:     []report.Check{{Name: "readable", Of: "rbd/data", Verdict: report.Passed}},
		Notes:      []string{"by hand, and left out of a drill: tell the desk (ask)"}, Left: []string{"lyon: drills/x"},
	}
	var b strings.Builder
	if err := view.NewReport(r).Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n")
	past := report.Summarize(r)
	past.ID, past.Verdict, past.Why, past.Achieved = "drill-20260301T120000Z-3c4d", report.Aborted, "the failover x has begun", report.Achieved{}
	v := view.NewReports("payroll", []report.Summary{past, report.Summarize(r)})
	if err := v.Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", b.String())
}

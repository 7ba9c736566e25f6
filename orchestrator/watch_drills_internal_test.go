package orchestrator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
)

// codesOf are the codes of a drill's signals.
func codesOf(l *drillLog, d *plans.Drill, now time.Time) (out []string) {
	for _, s := range l.signals(&plans.Plan{Name: "shop", File: "plan.yaml"}, d, now) {
		out = append(out, s.Code)
	}
	return out
}

// TestDrillsByOrderOfRecords: a report of a clock that is ahead ends no signal for good,
// neither in a daemon that knows what came before nor in one that has just begun.
func TestDrillsByOrderOfRecords(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	ahead := now.Add(400 * 24 * time.Hour)
	d := &plans.Drill{Name: "nightly", Schedule: "0 3 * * *", TimeZone: "UTC", Site: "b"}
	one := func(id string, at time.Time, v report.Verdict) report.Summary {
		return report.Summary{ID: id, Name: d.Name, Began: at, Verdict: v}
	}
	first := one("first", now.Add(-24*time.Hour), report.Passed)
	future := one("future", ahead, report.Passed)
	failed := one("failed", now.Add(time.Hour), report.Failed)

	l := &drillLog{began: now.Add(-48 * time.Hour)}
	l.read([]report.Summary{first, future}, now)
	if got := codesOf(l, d, now.Add(time.Minute)); len(got) > 0 {
		t.Errorf("after it has passed: %v", got)
	}
	if got := codesOf(l, d, now.Add(5*24*time.Hour)); !slices.Equal(got, []string{SignalDrillOverdue}) {
		t.Errorf("five days without a drill: %v", got)
	}
	l.made(failed, now.Add(time.Hour))
	// It could not be recorded yet.
	l.read([]report.Summary{first, future}, now.Add(time.Hour))
	if got := codesOf(l, d, now.Add(2*time.Hour)); !slices.Equal(got, []string{SignalDrillFailed}) {
		t.Errorf("a later one has failed: %v", got)
	}
	l.news = nil
	l.read([]report.Summary{first, future, failed}, now.Add(time.Hour))
	if len(l.news) > 0 {
		t.Errorf("told twice: %v", l.news)
	}

	var entries []Entry
	for at, r := range map[time.Time]report.Summary{first.Began: first, future.Began: future, failed.Began: failed} {
		body, err := report.Encode(&report.Report{Version: report.Version, ID: r.ID, Kind: string(Drill), Name: r.Name, Plan: "shop", Began: r.Began, Ended: r.Began, Verdict: r.Verdict})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{Key: fmt.Sprintf("%s-w-00000001", keyTime(at.UnixMicro())), Kind: EntryReport, Body: body})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	fresh := &drillLog{began: now}
	var recorded []report.Summary
	for _, r := range recordedReports(entries, now.Add(2*time.Hour)) {
		recorded = append(recorded, report.Summarize(&r))
	}
	fresh.read(recorded, now.Add(2*time.Hour))
	if got := codesOf(fresh, d, now.Add(2*time.Hour)); !slices.Equal(got, []string{SignalDrillFailed}) {
		t.Errorf("one that has just begun: %v of %v", got, recorded)
	}
}

// TestOldReports: of a drill that is seldom made, its last report and that of when it last
// passed stay, however many there are of others.
func TestOldReports(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	var entries []Entry
	add := func(name string, v report.Verdict, scope string) string {
		at = at.Add(time.Minute)
		body, err := report.Encode(&report.Report{Version: report.Version, ID: fmt.Sprint("drill-", len(entries)), Kind: string(Drill), Name: name, Scope: scope, Plan: "shop", Began: at, Ended: at, Verdict: v})
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("%s-w-00000001", keyTime(at.UnixMicro()))
		entries = append(entries, Entry{Key: key, Kind: EntryReport, Body: body})
		return key
	}
	older := add("monthly", report.Passed, "")
	passed := add("monthly", report.Passed, "")
	failed := add("monthly", report.Failed, "")
	skipped := add("monthly", report.Skipped, "")
	part := add("monthly", report.Passed, "image vm-1")
	for range keptReports + keptReports/10 {
		add("hourly", report.Passed, "")
	}
	old := oldReports(entries)
	for key, want := range map[string]bool{older: true, passed: false, failed: false, skipped: true, part: true, entries[len(entries)-1].Key: false} {
		if slices.Contains(old, key) != want {
			t.Errorf("%s is old: %v", key, !want)
		}
	}
}

// TestFirstSlot: what is kept of a schedule's times tells of the first.
func TestFirstSlot(t *testing.T) {
	first := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	slot := func(what string, at, since time.Time) Entry {
		e, err := bodied(EntrySlot, at, slotRun{What: what, At: at, Since: since})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	month := 31 * 24 * time.Hour
	for name, c := range map[string]struct {
		entries []Entry
		want    time.Time
	}{
		"never":                         {[]Entry{slot("drill other", first, first)}, time.Time{}},
		"of a version that did not say": {[]Entry{slot("drill n", first, time.Time{}), slot("drill n", first.Add(month), time.Time{})}, first},
		"older are gone":                {[]Entry{slot("drill n", first.Add(month), first), slot("drill n", first.Add(2*month), first)}, first},
	} {
		if got := firstSlot(c.entries, "drill n"); !got.Equal(c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestDrillLogBeforeItKnows: a watch that has just begun to act ends nothing of drills
// before it has read their ledger, and no leftover before it has swept.
func TestDrillLogBeforeItKnows(t *testing.T) {
	l := &drillLog{}
	if codes := l.unread(); len(codes) != 5 {
		t.Errorf("at first: %v", codes)
	}
	l.holding(nil, time.Now())
	if codes := l.unread(); len(codes) != 1 || codes[0] != SignalDrillLeft {
		t.Errorf("the ledger is read: %v", codes)
	}
	l.swept(&DrillSweep{}, time.Now())
	if codes := l.unread(); len(codes) != 0 {
		t.Errorf("swept: %v", codes)
	}
}

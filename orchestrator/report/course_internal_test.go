package report

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anyTime is one of what clocks that disagree, or were never set, can give.
func anyTime(t *rapid.T, name string) time.Time {
	base := time.Date(2026, 9, 14, 2, 0, 0, 0, time.UTC)
	switch rapid.IntRange(0, 9).Draw(t, name+" kind") {
	case 0:
		return time.Time{}
	case 1:
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	case 2:
		return base
	}
	return base.Add(time.Duration(rapid.Int64Range(-3600e9, 86400e9).Draw(t, name)))
}

func anySeconds(t *rapid.T, name string) float64 {
	return rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0, 1000), rapid.SampledFrom([]float64{
		-1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 1e-300, math.MaxFloat64,
	})).Draw(t, name)
}

func anyReport(t *rapid.T) *Report {
	name := rapid.StringMatching(`[a-c]|[a-z/<"é漢]{0,60}`)
	verdict := rapid.SampledFrom([]Verdict{Passed, Passed, Failed, Skipped, Aborted, ""})
	r := &Report{
		ID: "x", Kind: "drill", Plan: "p", Began: anyTime(t, "began"), Ended: anyTime(t, "ended"), Verdict: Passed,
		Objectives: Objectives{RPOSeconds: anySeconds(t, "rpo"), RTOSeconds: anySeconds(t, "rto")},
	}
	if rapid.Bool().Draw(t, "measured") {
		seconds := anySeconds(t, "achieved")
		r.Achieved = Achieved{RPOSeconds: &seconds, RTOSeconds: &seconds}
	}
	for range rapid.IntRange(0, 50).Draw(t, "steps") {
		r.Steps = append(r.Steps, Step{
			Name: name.Draw(t, "step"), Of: name.Draw(t, "of"), Site: name.Draw(t, "site"), Began: anyTime(t, "at"), Seconds: anySeconds(t, "took"),
			OK: rapid.Bool().Draw(t, "ok"), Count: rapid.IntRange(-1, 3).Draw(t, "count"), Note: name.Draw(t, "note"),
		})
	}
	for range rapid.IntRange(0, 20).Draw(t, "checks") {
		r.Checks = append(r.Checks, Check{
			Name: name.Draw(t, "check"), Of: name.Draw(t, "of"), Verdict: verdict.Draw(t, "verdict"), Began: anyTime(t, "at"), Seconds: anySeconds(t, "took"),
			Output: strings.Repeat(name.Draw(t, "output"), 20), Why: name.Draw(t, "why"),
		})
	}
	for range rapid.IntRange(0, 10).Draw(t, "images") {
		r.Images = append(r.Images, Image{Image: name.Draw(t, "image"), Verdict: verdict.Draw(t, "verdict"), Why: name.Draw(t, "why"), Lost: name.Draw(t, "lost")})
	}
	return r
}

// within finds what is no coordinate of a drawing.
func within(t *rapid.T, what string, x, y, width, height px) {
	if math.IsNaN(float64(x)) || math.IsNaN(float64(y)) || x < 0 || x > width || y < 0 || y > height {
		t.Fatalf("%s at %v,%v of %v×%v", what, x, y, width, height)
	}
}

func TestTimelineLiesWithinItsFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyReport(t)
		d := newTimeline(r)
		if d == nil {
			return
		}
		if len(d.Ticks) == 0 || len(d.Ticks) > 9 || len(d.Rows) > maxPhases+maxUnits+2 {
			t.Fatalf("%d ticks, %d rows", len(d.Ticks), len(d.Rows))
		}
		bars := 0
		for _, row := range d.Rows {
			within(t, "a row", 0, row.Y, d.Width, d.PlotBottom)
			for _, b := range row.Bars {
				bars++
				if b.W < minBar || b.X < plotLeft-0.001 || b.X+b.W > plotRight+0.001 {
					t.Fatalf("bar %+v", b)
				}
				within(t, "a bar", b.X+b.W, b.Y+b.H, d.Width, d.PlotBottom)
			}
		}
		if bars == 0 {
			t.Fatal("nothing is drawn")
		}
		for _, tick := range d.Ticks {
			within(t, "a tick", tick.X, 0, d.Width, d.Height)
		}
		for _, m := range d.Marks {
			within(t, "a mark", m.X, m.Y, d.Width, d.Height)
		}
	})
}

// TestTimelineOfAMoment: nothing took any time, and it is drawn all the same.
func TestTimelineOfAMoment(t *testing.T) {
	now := time.Date(2026, 9, 14, 2, 0, 0, 0, time.UTC)
	d := newTimeline(&Report{Began: now, Ended: now, Steps: []Step{{Name: "clone", Of: "rbd/a", Began: now, OK: true}}})
	if len(d.Rows) != 4 || len(d.Ticks) != 1 || d.Ticks[0] != (tick{X: plotLeft, Text: "+0 s"}) {
		t.Fatalf("%+v", d)
	}
	if b := d.Rows[1].Bars[0]; b.X != plotLeft || b.W != minBar || b.Title != "clone: 0 s from +0 s" {
		t.Errorf("%+v", b)
	}
	if newTimeline(&Report{Began: now}) != nil || newTimeline(&Report{Steps: []Step{{Name: "clone"}}}) != nil {
		t.Error("there is a drawing of nothing")
	}
}

func TestTrendLiesWithinItsFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var past []Summary
		for i := range rapid.IntRange(0, 90).Draw(t, "past") {
			s := Summary{ID: string(rune('a' + i)), Kind: "drill", Plan: "p", Began: anyTime(t, "began"), Objectives: Objectives{RPOSeconds: anySeconds(t, "objective")}}
			if rapid.Bool().Draw(t, "measured") {
				seconds := anySeconds(t, "achieved")
				s.Achieved.RPOSeconds = &seconds
			}
			past = append(past, s)
		}
		all := history(anyReport(t), past)
		if len(all) == 0 || len(all) > maxPast {
			t.Fatalf("%d reports", len(all))
		}
		d := newTrend(all, 0)
		if len(d.Dots) != len(all) {
			t.Fatalf("%d dots of %d", len(d.Dots), len(all))
		}
		for _, dot := range d.Dots {
			within(t, "a dot", dot.X, dot.Y, d.Right, d.Bottom)
		}
		for _, points := range append(d.Lines, d.Objective...) {
			if strings.Contains(points, "NaN") || strings.Contains(points, "Inf") || !strings.Contains(points, " ") {
				t.Fatalf("line %q", points)
			}
		}
	})
}

// TestTrendOfOne: a first drill has a point in the middle, and its objective all along.
func TestTrendOfOne(t *testing.T) {
	rpo := 30.0
	r := &Report{ID: "x", Objectives: Objectives{RPOSeconds: 60}, Achieved: Achieved{RPOSeconds: &rpo}}
	d := newTrend(history(r, nil), 0)
	if len(d.Dots) != 1 || d.Dots[0].X != (trendLeft+trendRight)/2.0 || d.Dots[0].Class != "good" || len(d.Lines) != 0 || len(d.When) != 1 {
		t.Errorf("%+v", d)
	}
	if len(d.Objective) != 1 || d.Objective[0] != "82.0,39.8 455.0,39.8" {
		t.Errorf("objective %q", d.Objective)
	}
}

// TestHistory takes each report once, and none of later ones.
func TestHistory(t *testing.T) {
	now := time.Date(2026, 9, 14, 2, 0, 0, 0, time.UTC)
	all := history(&Report{ID: "now", Began: now}, []Summary{
		{ID: "b", Began: now.Add(-time.Hour)},
		{ID: "now", Began: now},
		{ID: "a", Began: now.Add(-2 * time.Hour)},
		{ID: "b", Began: now.Add(-time.Hour)},
		{ID: "later", Began: now.Add(time.Hour)},
		{ID: "same", Began: now},
		{ID: "another kind", Kind: "failover", Began: now},
		{ID: "another drill", Name: "weekly", Began: now},
		{ID: "another plan", Plan: "p", Began: now},
		{ID: "of one image", Scope: "image vm-1", Began: now},
	})
	var ids []string
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	if got := strings.Join(ids, " "); got != "a b same now" {
		t.Errorf("got %s", got)
	}
}

func TestSpans(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 s", 0.0004: "0 s", 0.25: "0.25 s", 1: "1 s", 41.25: "41.3 s", 59.94: "59.9 s", 59.96: "1 min", 60: "1 min", 61.4: "1 min 1 s",
		3599.6: "1 h", 3600: "1 h", 3661: "1 h 1 min", 86400: "1 d", 90000: "1 d 1 h", -5: "-5 s", math.Inf(1): "115740 d 17 h",
	} {
		if got := span(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for label, want := range map[string]string{
		"rbd/web-1": "rbd/web-1",
		"rbd/a-very-long-namespace-indeed/vm-000123-disk-7": "rbd/a-ve…ace-indeed/vm-000123-disk-7",
		strings.Repeat("漢", 30):                             strings.Repeat("漢", 4) + "…" + strings.Repeat("漢", 13),
	} {
		if got := short(label); got != want || wide(got) > maxLabel+1 {
			t.Errorf("%q: %q, want %q", label, got, want)
		}
	}
}

// TestBoundKeeps: whatever a report is and however little room there is, it fits, and
// its verdict and the names of the checks that are not green are still there.
func TestBoundKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyReport(t)
		if _, err := Encode(r); err != nil {
			return // NaN is nothing that a record can hold
		}
		before, _ := json.Marshal(r)
		names := map[string]bool{}
		room := 2000
		for i := range r.Checks {
			if r.Checks[i].Verdict != Passed && !names[r.Checks[i].Name+string(r.Checks[i].Verdict)] {
				names[r.Checks[i].Name+string(r.Checks[i].Verdict)] = true
				room += 6*len(r.Checks[i].Name) + 6*tinyText + 200
			}
		}
		limit := rapid.IntRange(room, room+20_000).Draw(t, "limit")
		b, err := Bound(r, limit)
		if err != nil {
			t.Fatalf("%d bytes: %v", limit, err)
		}
		data, err := Encode(b)
		if err != nil || len(data) > limit {
			t.Fatalf("%d bytes, %d allowed: %v", len(data), limit, err)
		}
		if after, _ := json.Marshal(r); string(after) != string(before) {
			t.Fatal("the report itself was changed")
		}
		kept := map[string]bool{}
		for i := range b.Checks {
			kept[b.Checks[i].Name+string(b.Checks[i].Verdict)] = true
		}
		for name := range names {
			if !kept[name] {
				t.Fatalf("check %q is gone", name)
			}
		}
		if b.Verdict != r.Verdict || Summarize(b).Checks != Summarize(r).Checks || Summarize(b).Images != Summarize(r).Images {
			t.Fatalf("%+v became %+v", Summarize(r), Summarize(b))
		}
		if b != r && len(b.Notes) == len(r.Notes) {
			t.Fatal("nothing is said of what was left out")
		}
	})
}

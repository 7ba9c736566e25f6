package orchestrator

import (
	"errors"
	"fmt"
	"strings"

	"github.com/drover-io/drover/orchestrator/report"
)

// ErrDrillFailed says that a drill has found something wrong.
var ErrDrillFailed = errors.New("the drill has failed")

// finish brings the report to its verdict.
func (d *drill) finish(err error) {
	d.made.Lock()
	defer d.made.Unlock()
	r := &d.report
	r.Ended = d.sites.now().UTC()
	d.measure()
	for k := range d.checks {
		if c := &d.checks[k]; !c.made {
			why := "it did not come to that"
			if c.unit != nil {
				why = "what it is for did not come up"
			}
			r.Checks = append(r.Checks, report.Check{
				Name: c.plan.Name, How: howOf(c.plan), Per: c.plan.Per, Of: c.of, Verdict: report.Skipped, Why: why, Began: r.Ended,
			})
		}
	}
	if d.v != nil {
		for _, l := range d.v.report.Leftovers { // of a look again at what differed
			if !l.Removed {
				r.Left = append(r.Left, fmt.Sprintf("%s@%s at %s: %s", l.Ref, l.Snapshot, l.Site, l.Note))
			}
		}
	}
	for i := range r.Images {
		if r.Images[i].Verdict == "" {
			r.Images[i].Verdict = report.Aborted
		}
	}
	var skipped errSkipped
	wrong := d.wrong()
	switch {
	case errors.As(err, &skipped):
		r.Verdict, r.Why = report.Skipped, oneLine(err.Error())
	case err != nil && len(wrong) == 0:
		r.Verdict, r.Why = report.Aborted, oneLine(err.Error())
	case err != nil:
		r.Verdict, r.Why = report.Failed, oneLine(err.Error()+"; "+strings.Join(wrong, "; "))
	case len(wrong) > 0:
		r.Verdict, r.Why = report.Failed, strings.Join(wrong, "; ")
	default:
		r.Verdict = report.Passed
	}
}

// measure works out what was achieved.
func (d *drill) measure() {
	r := &d.report
	for i := range r.Images {
		if age := r.Images[i].RPOSeconds; age != nil && (r.Achieved.RPOSeconds == nil || *age > *r.Achieved.RPOSeconds) {
			worst := *age
			r.Achieved.RPOSeconds = &worst
		}
	}
	if !d.green.IsZero() {
		took := max(seconds(d.green.Sub(r.Began)), 0)
		r.Achieved.RTOSeconds = &took
	}
}

// wrong is what was found wrong, in words.
func (d *drill) wrong() (out []string) {
	r := &d.report
	out = append(out, d.unreleased...)
	count := func(n int, one, many, first string) {
		switch {
		case n == 1:
			out = append(out, "1 "+one+": "+first)
		case n > 1:
			out = append(out, fmt.Sprintf("%d %s, the first: %s", n, many, first))
		}
	}
	n, first := 0, ""
	for i := range r.Images {
		if m := &r.Images[i]; m.Verdict == report.Failed {
			if n++; n == 1 {
				first = m.Image + ": " + m.Why
			}
		}
	}
	count(n, "image would not serve", "images would not serve", first)
	n = 0
	for i := range r.Checks {
		if c := &r.Checks[i]; c.Verdict == report.Failed {
			if n++; n == 1 {
				first = strings.TrimSpace(c.Name+" "+c.Of) + ": " + c.Why
			}
		}
	}
	count(n, "check is not green", "checks are not green", first)
	if got, want := r.Achieved.RPOSeconds, r.Objectives.RPOSeconds; got != nil && want > 0 && *got > want {
		out = append(out, fmt.Sprintf("RPO: the data were %.0f s old, and the objective is %.0f s", *got, want))
	}
	if got, want := r.Achieved.RTOSeconds, r.Objectives.RTOSeconds; got != nil && want > 0 && *got > want {
		out = append(out, fmt.Sprintf("RTO: the last check was green after %.0f s, and the objective is %.0f s", *got, want))
	}
	return out
}

// err is what the drill comes to as an error.
func (d *drill) err(err error) error {
	var skipped errSkipped
	switch {
	case errors.As(err, &skipped):
		return skipped.error
	case d.report.Verdict == report.Failed:
		return advise(fmt.Errorf("%w: %s", ErrDrillFailed, d.report.Why), "drover report FILE "+d.report.ID+" shows all of it")
	case err != nil:
		return fmt.Errorf("the drill was broken off, and what it had made was removed: %w", err)
	}
	return nil
}

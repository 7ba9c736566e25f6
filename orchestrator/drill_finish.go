package orchestrator

import (
	"errors"
	"fmt"
	"slices"
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
	r.Compare()
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
	var broken errBroken
	if err != nil {
		d.endedBy = oneLine(err.Error())
	}
	if errors.As(err, &broken) {
		d.undecided()
	}
	wrong := d.wrong()
	if err == nil {
		wrong = append(wrong, d.unproven()...)
	}
	switch {
	case errors.As(err, &skipped):
		r.Verdict, r.Why = report.Skipped, oneLine(err.Error())
	case broken.error != nil:
		r.Verdict, r.Why = report.Aborted, oneLine(strings.Join(append([]string{err.Error() + foundWords(wrong)}, d.leftWords()...), "; "))
		r.Fault = !broken.deliberate() || len(wrong) > 0
	case err != nil && len(wrong) == 0:
		r.Verdict, r.Why = report.Aborted, oneLine(strings.Join(append([]string{err.Error()}, d.leftWords()...), "; "))
		r.Fault = true
	case err != nil:
		r.Verdict, r.Why = report.Failed, oneLine(err.Error()+"; "+strings.Join(wrong, "; "))
	case len(wrong) > 0:
		r.Verdict, r.Why = report.Failed, strings.Join(wrong, "; ")
	default:
		r.Verdict = report.Passed
	}
}

// undecided takes back what was said of images that did not come up in a drill that was
// ended from outside: what ended it may have been in their way.
func (d *drill) undecided() {
	for _, i := range all(d.units) {
		if image := &d.report.Images[i.at]; image.Verdict == report.Failed {
			image.Verdict = report.Aborted
		}
	}
}

// foundWords tell what a drill had found before it was ended; "" where that is nothing.
func foundWords(wrong []string) string {
	if len(wrong) == 0 {
		return ""
	}
	return "; it had found before that: " + strings.Join(wrong, "; ")
}

// measure works out what was achieved: the RPO of the oldest data, and the RTO once
// all that was to be checked is green. What is not known of one is not known at all.
func (d *drill) measure() {
	r := &d.report
	green := !d.green.IsZero()
	var oldest *float64
	known := len(r.Images) > 0
	for i := range r.Images {
		m := &r.Images[i]
		green = green && m.Verdict == report.Passed
		known = known && m.RPOSeconds != nil
		if known && (oldest == nil || *m.RPOSeconds > *oldest) {
			worst := *m.RPOSeconds
			oldest = &worst
		}
	}
	if known {
		r.Achieved.RPOSeconds = oldest
	}
	for i := range r.Checks {
		green = green && (r.Checks[i].Verdict == report.Passed || r.Checks[i].Verdict == report.Skipped)
	}
	for k := range d.checks {
		green = green && d.checks[k].made
	}
	if green {
		took := max(seconds(d.green.Sub(r.Began)), 0)
		r.Achieved.RTOSeconds = &took
	}
}

// unproven is what a drill that has come to its end does not show, and what it has left,
// in words: one that shows nothing has not passed.
func (d *drill) unproven() (out []string) {
	r := &d.report
	if !slices.ContainsFunc(r.Checks, func(c report.Check) bool { return c.Verdict == report.Passed || c.Verdict == report.Failed }) {
		why := "there was none"
		if len(r.Checks) > 0 {
			why = "the first: " + r.Checks[0].Why
		}
		out = append(out, "no check was made, so that nothing shows that the images would serve; "+why)
	}
	measures := r.Measures()
	for i := range measures {
		m := &measures[i]
		switch {
		case m.Outcome != report.Unmeasured:
		case m.Name == "RPO":
			out = append(out, "RPO: it is not known of when the data of every image are, and the objective is "+secondsText(m.Objective))
		case d.green.IsZero() || len(d.wrong()) == 0:
			out = append(out, "RTO: not every check is green, and the objective is "+secondsText(m.Objective))
		}
	}
	return append(out, d.leftWords()...)
}

// leftWords tell of what was not removed, if there is any.
func (d *drill) leftWords() []string {
	left := d.report.Left
	if len(left) == 0 {
		return nil
	}
	return []string{plural(uint64(len(left)), "thing was", "things were") + " not removed, the first: " + left[0]}
}

// wrong is what was found wrong, in words.
func (d *drill) wrong() (out []string) {
	r := &d.report
	for _, held := range d.unreleased {
		if !strings.Contains(d.endedBy, held) {
			out = append(out, held)
		}
	}
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
		out = append(out, fmt.Sprintf("RPO: the data were %s old, and the objective is %s", secondsText(*got), secondsText(want)))
	}
	if got, want := r.Achieved.RTOSeconds, r.Objectives.RTOSeconds; got != nil && want > 0 && *got > want {
		out = append(out, fmt.Sprintf("RTO: the last check was green after %s, and the objective is %s", secondsText(*got), secondsText(want)))
	}
	return out
}

// err is what the drill comes to as an error.
func (d *drill) err(err error) error {
	var skipped errSkipped
	var broken errBroken
	switch {
	case errors.As(err, &skipped):
		return skipped.error
	case errors.As(err, &broken) && len(d.wrong()) > 0:
		return fmt.Errorf("the drill was broken off: %w%s", err, foundWords(append(d.wrong(), d.leftWords()...)))
	case d.report.Verdict == report.Failed:
		return advise(fmt.Errorf("%w: %s", ErrDrillFailed, d.report.Why), "drover report FILE "+d.report.ID+" shows all of it")
	case err != nil && len(d.report.Left) > 0:
		return advise(fmt.Errorf("the drill was broken off: %w; %s", err, strings.Join(d.leftWords(), "")), "drover drill sweep "+shellLine(d.plan.File))
	case err != nil:
		return fmt.Errorf("the drill was broken off, and what it had made was removed: %w", err)
	}
	return nil
}

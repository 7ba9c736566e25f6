package orchestrator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/parallel"
)

// drillSlot names the schedule of a drill in the history.
func drillSlot(name string) string { return "drill " + name }

// drillsEvery is how often a watch looks for reports of others, and for what killed
// drills have left.
const drillsEvery = 10 * time.Minute

// drillLog is what a watch knows of the plan's drills.
type drillLog struct {
	turn sync.Mutex // of the scheduled drills, which do not run side by side

	mu     sync.Mutex // guards what follows
	newest drillNewest
	// seen are the ids of all that are known, and when they came to be.
	seen map[string]time.Time
	// A drill that has neither passed nor failed is missed from when its schedule was first
	// followed, by the history, or else from the beginning of the tenure.
	first map[string]time.Time
	began time.Time
	left  []DrillLeft
	// held are the groups that drills hold back, by drill and group: hooks after them have
	// failed. It is known of them once the ledger was read.
	held            map[[2]string]DrillLeft
	looked, cleaned bool             // the ledger was read; what is left was swept
	news            []report.Summary // since the last check
}

// drillOnSchedule makes the plan's drills at their times, for as long as the watch
// acts, and sweeps what killed ones have left.
func (w *Watch) drillOnSchedule(t *tenure) {
	var work parallel.Group
	for i := range w.plan.Drills {
		spec := &w.plan.Drills[i]
		if spec.Schedule == "" {
			continue
		}
		times, err := plans.CronSchedule(spec.Schedule, spec.TimeZone)
		if err != nil {
			continue // a plan with such a line is refused
		}
		work.Go(func() { w.lasting(t.ctx, func() { w.drillAt(t, spec.Name, times) }) })
	}
	for {
		w.contain(func() { w.lookAtDrills(t) })
		pause(t.ctx, drillsEvery)
		if t.ctx.Err() != nil {
			break
		}
	}
	work.Wait()
}

// drillAt makes one drill at its times.
func (w *Watch) drillAt(t *tenure, name string, times cron.Schedule) {
	last, first := lastSlot(t.history.Entries(), drillSlot(name)), firstSlot(t.history.Entries(), drillSlot(name))
	ranFor := func(ctx context.Context, at time.Time) {
		w.recordSlot(ctx, t, slotRun{What: drillSlot(name), At: at.UTC(), Since: first.UTC()})
	}
	if last.IsZero() {
		last, first = w.options.Now(), w.options.Now()
		ranFor(t.ctx, last)
	}
	t.drills.since(name, first)
	timer := Timer{Times: times, Last: last, Now: w.options.Now, Panicked: w.options.Panicked, Do: func(ctx context.Context, slot Slot) {
		ranFor(ctx, slot.At)
		t.drills.turn.Lock()
		defer t.drills.turn.Unlock()
		if ctx.Err() != nil {
			return
		}
		// What it comes to is in the report.
		if r, _ := RunDrill(ctx, w.plan, t.sites, DrillOptions{
			Name: name, Trigger: triggerSchedule, Version: w.options.Version, Progress: func(e DrillEvent) {
				if e.Held != nil {
					t.drills.holds(e.Held)
					w.CheckNow() // writers stand still
				}
			},
		}); r != nil {
			t.drills.made(report.Summarize(r), w.options.Now())
		}
	}}
	_ = timer.Run(t.ctx)
}

// since notes when the schedule of a drill was first followed.
func (l *drillLog) since(name string, first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = map[string]time.Time{}
	}
	l.first[name] = first
}

// made notes a drill of this process, which is the newest.
func (l *drillLog) made(s report.Summary, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(s, now)
	l.newest.add(s)
}

// read notes the reports that are recorded, in the order of the records: no clock that
// is ahead makes a report the newest for good.
func (l *drillLog) read(recorded []report.Summary, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, there := maps.Clone(l.seen), map[string]bool{}
	newest := drillNewest{}
	for _, s := range recorded {
		there[s.ID] = true
		l.note(s, now)
		newest.add(s)
	}
	// One that could not be recorded stays the newest until another one comes.
	keep := func(old, read map[string]report.Summary) {
		for name, s := range old {
			r, ok := read[name]
			if _, known := before[r.ID]; !there[s.ID] && (!ok || known) {
				read[name] = s
			}
		}
	}
	newest.make()
	keep(l.newest.tried, newest.tried)
	keep(l.newest.last, newest.last)
	keep(l.newest.told, newest.told)
	l.newest = newest
}

// note has a report told of, once.
func (l *drillLog) note(s report.Summary, now time.Time) {
	if _, known := l.seen[s.ID]; known {
		return
	}
	if l.seen == nil {
		l.seen = map[string]time.Time{}
	}
	l.seen[s.ID] = now
	l.news = append(l.news, s)
}

// drillNewest are the newest reports of each drill: last, of those that have passed or
// failed; told, of those and of the ones that a fault has ended; tried, of all. A drill
// of some of its images alone stands for none of them.
type drillNewest struct {
	last, told, tried map[string]report.Summary
}

func (n *drillNewest) make() {
	if n.tried == nil {
		n.last, n.told, n.tried = map[string]report.Summary{}, map[string]report.Summary{}, map[string]report.Summary{}
	}
}

func (n *drillNewest) add(s report.Summary) {
	n.make()
	if !s.Whole() {
		return
	}
	n.tried[s.Name] = s
	ended := s.Verdict == report.Passed || s.Verdict == report.Failed
	if ended {
		n.last[s.Name] = s
	}
	if ended || s.Fault {
		n.told[s.Name] = s
	}
}

// lookAtDrills reads the reports that are recorded, and sweeps.
func (w *Watch) lookAtDrills(t *tenure) {
	ledger, err := openDrills(t.ctx, w.plan, t.sites)
	if err == nil {
		var recorded []report.Summary
		for _, r := range recordedReports(ledger.Entries(), w.options.Now()) {
			recorded = append(recorded, report.Summarize(&r))
		}
		t.drills.read(recorded, w.options.Now())
		t.drills.holding(ledger.Entries(), w.options.Now())
		err = ledger.Close(t.ctx)
	}
	if err != nil || !t.drills.turn.TryLock() {
		return // a drill is at work, and sweeps by itself
	}
	defer t.drills.turn.Unlock()
	swept, err := SweepDrills(t.ctx, w.plan, t.sites)
	if err != nil || t.ctx.Err() != nil {
		return // what was left is taken to be there still
	}
	t.drills.swept(swept, w.options.Now())
	for i := range swept.Left {
		if h := &swept.Left[i]; h.Group != "" {
			t.drills.holds(h)
		}
	}
}

// unread are the signals of which nothing is known yet: the reports and what is held until
// the ledger was read, and what drills have left until it was swept once.
func (l *drillLog) unread() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.looked:
		return []string{SignalDrillFailed, SignalDrillAborted, SignalDrillOverdue, SignalDrillHeld, SignalDrillLeft}
	case !l.cleaned:
		return []string{SignalDrillLeft}
	}
	return nil
}

// holds notes that a group is held back, or is no more.
func (l *drillLog) holds(h *DrillLeft) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[[2]string]DrillLeft{}
	}
	if key := [2]string{h.Drill, h.Group}; h.Removed {
		delete(l.held, key)
	} else {
		l.held[key] = *h
	}
}

func (l *drillLog) isHeld(drill, group string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, held := l.held[[2]string{drill, group}]
	return held
}

// holding notes what the ledger tells of held groups: those whose hooks after them have
// failed, or whose drill should be over. Of others a drill may be at work.
func (l *drillLog) holding(entries []Entry, now time.Time) {
	owed, _ := owedReleases(entries, now)
	there := map[[2]string]bool{}
	for i := range owed {
		o := &owed[i]
		there[[2]string{o.run, o.Group}] = true
		h := o.left(o.run)
		switch {
		case o.Fault != "":
			l.holds(&h)
		case now.After(o.Until) && !l.isHeld(o.run, o.Group):
			h.Note = "its hooks after it were not carried out"
			l.holds(&h)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looked = true
	maps.DeleteFunc(l.held, func(key [2]string, _ DrillLeft) bool { return !there[key] })
}

// swept notes what drills have left and what nobody could remove. What was left where
// this sweep could not look is taken to be there still.
func (l *drillLog) swept(s *DrillSweep, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleaned = true
	left := slices.Clone(s.Left)
	for i := range l.left {
		old := &l.left[i]
		again := slices.ContainsFunc(left, func(n DrillLeft) bool { return n.Site == old.Site && n.What() == old.What() })
		if !again && slices.ContainsFunc(s.Unseen, func(u DrillUnseen) bool { return u.hides(old) }) {
			left = append(left, *old)
		}
	}
	l.left = slices.DeleteFunc(left, func(l DrillLeft) bool {
		// A snapshot at a secondary goes by replay, and has until its time to do so. Groups
		// that are held back are kept apart.
		return l.Removed || l.Group != "" || now.Before(l.Until)
	})
}

// drillSignals tell of drills that have failed or are overdue, and of what they left.
func (w *Watch) drillSignals(t *tenure, result *CheckResult) []alert.Signal {
	l := &t.drills
	l.mu.Lock()
	defer l.mu.Unlock()
	result.Drills, l.news = l.news, nil
	var out []alert.Signal
	for i := range w.plan.Drills {
		out = append(out, l.signals(w.plan, &w.plan.Drills[i], w.options.Now())...)
	}
	for _, name := range slices.Sorted(maps.Keys(l.newest.told)) {
		if !slices.ContainsFunc(w.plan.Drills, func(d plans.Drill) bool { return d.Name == name }) {
			out = append(out, l.found(w.plan, name)...)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(l.held), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		h := l.held[key]
		s := signal(SignalDrillHeld, h.Site, h.words(), heldNext(w.plan, h.Group))
		s.Key = h.Drill + "/" + h.Group
		out = append(out, s)
	}
	for i := range l.left {
		out = append(out, signal(SignalDrillLeft, l.left[i].Site, l.left[i].words(), "drover drill sweep "+shellLine(w.plan.File)))
	}
	return out
}

// signals are those of one drill of the plan.
func (l *drillLog) signals(plan *plans.Plan, d *plans.Drill, now time.Time) (out []alert.Signal) {
	out = l.found(plan, d.Name)
	last, done := l.newest.last[d.Name]
	times, err := plans.CronSchedule(d.Schedule, d.TimeZone)
	if d.Schedule == "" || err != nil {
		return out
	}
	since := l.began
	if first, known := l.first[d.Name]; known && first.Before(since) {
		since = first
	}
	if done {
		since = last.Began
		if seen := l.seen[last.ID]; seen.Before(since) {
			since = seen // by a clock that is ahead
		}
	}
	// It is overdue when it has missed a time by as long as until the next one.
	due := times.Next(since)
	if due.IsZero() || !now.After(times.Next(due).Add(d.Expiry.Std())) {
		return out
	}
	why := "no drill was made"
	if tried, ok := l.newest.tried[d.Name]; ok && tried.ID != last.ID && l.seen[tried.ID].After(since) {
		why = "the last one was " + string(tried.Verdict) + ": " + tried.Why
	}
	what := "never since " + since.UTC().Format(evidenceTime)
	if done {
		what = "last at " + last.Began.Format(evidenceTime)
	}
	return append(out, signal(SignalDrillOverdue, d.Site,
		fmt.Sprintf("drill %s is overdue: it has passed or failed %s, and was due at %s; %s", d.Name, what, due.UTC().Format(evidenceTime), why),
		"drover drill "+shellLine(plan.File, "--name", d.Name)))
}

// found are the signals of what the drills of a name have come to.
func (l *drillLog) found(plan *plans.Plan, name string) (out []alert.Signal) {
	tell := func(code, what string, s *report.Summary) {
		out = append(out, signal(code, s.To, fmt.Sprintf("drill %s of %s %s: %s", name, s.Began.Format(evidenceTime), what, s.Why),
			"drover report "+shellLine(plan.File, s.ID)+" shows all of it"))
	}
	if last, done := l.newest.last[name]; done && last.Verdict == report.Failed {
		tell(SignalDrillFailed, "has failed", &last)
	}
	if told, done := l.newest.told[name]; done && told.Fault {
		tell(SignalDrillAborted, "was aborted", &told)
	}
	return out
}

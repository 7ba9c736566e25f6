package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// DrillOptions say what is rehearsed.
type DrillOptions struct {
	// Name is that of a drill of the plan. "": the plan's only one; where it has
	// none, all images with the checks that Drover brings.
	Name string
	// Site is the secondary that is tested, in place of the drill's.
	Site string
	// Scope chooses images in place of those of the drill.
	Scope  Scope
	Reason string
	// Trigger tells who asked: "person" (also where it is empty) or "schedule".
	Trigger string
	// Parallel is how many images, or groups, are brought up at once; 0: as the plan
	// says for runbooks.
	Parallel int
	// Version is that of this Drover, for the report.
	Version string
	// Progress is told what happens, one event at a time; may be nil.
	Progress func(DrillEvent)
}

// DrillEvent is something that has happened in a drill, or how far it is.
type DrillEvent struct {
	Step  *report.Step  // one that has ended
	Check *report.Check // one that has ended
	Note  string
	// Held is a group whose writers may be held back since the hooks after it have
	// failed; Removed: they have been carried out since.
	Held *DrillLeft
	// Done of Total images, groups and checks are through.
	Done, Total int
}

// RunDrill rehearses a failover on clones. It takes one snapshot of each image at the
// primary, waits until replay has brought it to the secondary, clones it there into a
// place of its own, checks the clones, and removes everything again; replay goes on
// all the while, and nothing is ever written to a mirrored image. Where the primary
// does not answer, copies of the newest replicated state take the place of clones.
//
// It does not begin ([ErrRefused], [ErrHalted]; the report's verdict is
// [report.Skipped]) during a run, a halt or another drill of the plan, nor where the
// secondary does not answer or there is no room; and it breaks off and cleans up when a
// run or a halt comes. The report is recorded at both sites. It is nil only where nothing
// is known that could be reported.
func RunDrill(ctx context.Context, plan *plans.Plan, sites *Sites, o DrillOptions) (*report.Report, error) {
	spec, err := chooseDrill(plan, o.Name)
	if err != nil {
		return nil, err
	}
	d := newDrill(plan, sites, spec, o)
	defer func() {
		d.removeFolder() // after a panic, too
		if d.ledger != nil {
			_ = d.ledger.Close(ctx) // a panic must not leave its lease behind
		}
	}()
	err = d.run(ctx)
	d.finish(err)
	stored := d.store(ctx)
	return &d.report, errors.Join(d.err(err), stored)
}

// chooseDrill finds the drill of a name.
func chooseDrill(plan *plans.Plan, name string) (plans.Drill, error) {
	var names []string
	for i := range plan.Drills {
		if plan.Drills[i].Name == name {
			return plan.Drills[i], nil
		}
		names = append(names, plan.Drills[i].Name)
	}
	switch {
	case name != "" && len(names) == 0:
		return plans.Drill{}, refusal("leave --name out: all images are drilled then", "the plan has no drill %q, nor any other", name)
	case name != "":
		return plans.Drill{}, refusal("name one of "+strings.Join(names, ", "), "the plan has no drill %q", name)
	case len(names) > 1:
		return plans.Drill{}, refusal("say which: --name "+strings.Join(names, " or --name "), "the plan has %d drills", len(names))
	case len(names) == 1:
		return plan.Drills[0], nil
	}
	return plans.AdHocDrill(plan), nil
}

// drill is one drill.
type drill struct {
	plan    *plans.Plan
	sites   *Sites
	spec    plans.Drill
	options DrillOptions
	mark    drillMark
	began   time.Time // by the monotonic clock

	v *verification // compares and removes snapshots
	// copies look at the secondary, sources at the primary, for all images at once.
	copies, sources *lookout
	book            *Book // of the plan: runs and halts
	ledger          *Book // of its drills
	lease           *Lease
	known           map[string]bool // runs that had been begun before it

	from, to string
	// lost: the primary's site does not answer.
	lost  bool
	units []*drillUnit

	made   sync.Mutex // held while anything of what follows is changed
	report report.Report
	checks []drillCheck
	done   int
	total  int
	green  time.Time // when the last check was
	placed map[replay.Pool]bool
	// scratch is where it keeps files on this host; nil: it has none.
	scratch *drillFolder
	// faults are of hooks that left the images of their groups undecided.
	faults []error
	// unreleased are the groups whose hooks after them have failed, in words, and
	// endedBy is what has ended the drill.
	unreleased []string
	endedBy    string
	// stop ends the drill, which then removes what it has made.
	stop context.CancelCauseFunc
}

// drillUnit is what is brought up as one: a group, or an image that is in none.
type drillUnit struct {
	name, group, wave string
	images            []*drillImage
	heldBy            []string // the hooks before its group that have gone well
	releasedBy        []string // and those after it
	loose             bool     // one of those was left out, or has failed
	owed              bool     // it is recorded that those after it are owed
	spread            *float64 // at most how far apart its snapshots are, in seconds; nil: there are none
}

// drillImage is one image of a drill.
type drillImage struct {
	ref    replay.ImageRef
	mode   replay.MirrorMode
	stand  *stand
	target *verifyTarget
	clone  replay.ImageRef
	at     int // in the report's images

	carrier  uint64        // the mirror snapshot that brings the snapshot over
	awaited  time.Duration // how long that took
	was      *replayed     // how far replay was then
	snapshot bool          // there may be one at the primary
	removed  bool          // and it was removed there
	cloned   bool          // there may be a clone
	copied   uint64        // in bytes, what was copied in place of a clone
	up       bool          // it can be used
}

func newDrill(plan *plans.Plan, sites *Sites, spec plans.Drill, o DrillOptions) *drill {
	now := sites.now().UTC()
	id := newRunID(Drill, now)
	trigger := o.Trigger
	if trigger == "" {
		trigger = "person"
	}
	chosen := scopeWords(o, spec.Site)
	if o.Site != "" {
		spec.Site = o.Site
	}
	return &drill{
		plan: plan, sites: sites, spec: spec, options: o, began: time.Now(), placed: map[replay.Pool]bool{},
		mark: newDrillMark(plan, id, now.Add(spec.Expiry.Std())),
		report: report.Report{
			Version: report.Version, ID: id, Kind: string(Drill), Name: spec.Name, Plan: plan.Name, Fingerprint: plan.Fingerprint(),
			By: whoWrites(), Trigger: trigger, Reason: o.Reason, Scope: chosen, Began: now, Verdict: report.Aborted,
			Objectives: report.Objectives{RTOSeconds: seconds(spec.RTO.Std())},
			Versions:   map[string]string{"drover": o.Version},
			Images:     []report.Image{}, Checks: []report.Check{}, Steps: []report.Step{},
		},
	}
}

// scopeWords tell what of the options is in place of what the drill itself names.
func scopeWords(o DrillOptions, site string) string {
	var words []string
	add := func(what string, names ...string) {
		for _, name := range names {
			words = append(words, what+" "+name)
		}
	}
	add("image", o.Scope.Images...)
	add("group", o.Scope.Groups...)
	add("wave", o.Scope.Waves...)
	if o.Site != "" && o.Site != site {
		add("site", o.Site)
	}
	return strings.Join(words, ", ")
}

// errSkipped marks a drill that was not begun.
type errSkipped struct{ error }

func (e errSkipped) Unwrap() error { return e.error }

// errBroken marks what ends a drill from outside: that says nothing of the copies.
type errBroken struct{ error }

func (e errBroken) Unwrap() error { return e.error }

// deliberate reports whether a run, a halt or a person ended it, and no fault.
func (e errBroken) deliberate() bool {
	return errors.Is(e.error, ErrRefused) || errors.Is(e.error, ErrHalted) || errors.Is(e.error, ErrInterrupted)
}

// brokenOff is why the drill did not come to its end, if something from outside is to
// blame. A run that begins may be in the way of it before it has seen that.
func (d *drill) brokenOff(ctx, alone context.Context, err error) error {
	var broken errBroken
	switch {
	case err == nil && !d.anyFailed(), errors.As(err, &broken):
		return err
	case alone.Err() != nil:
		return errBroken{contextCause(alone)}
	}
	if begun := d.again(ctx); errors.As(begun, &broken) {
		return begun
	}
	return err
}

// anyFailed reports whether an image or a check has.
func (d *drill) anyFailed() bool {
	d.made.Lock()
	defer d.made.Unlock()
	return slices.ContainsFunc(d.report.Images, func(i report.Image) bool { return i.Verdict == report.Failed }) ||
		slices.ContainsFunc(d.report.Checks, func(c report.Check) bool { return c.Verdict == report.Failed })
}

// run is the drill without its report.
func (d *drill) run(ctx context.Context) error {
	if err := d.prepare(ctx); err != nil {
		return errSkipped{err}
	}
	if err := d.begin(ctx); err != nil {
		return errSkipped{err}
	}
	defer d.end(ctx)
	alone, cancel := context.WithCancelCause(d.lease.Context())
	defer cancel(nil)
	d.stop = cancel
	expiring, expired := context.WithTimeoutCause(alone, time.Until(d.began.Add(d.spec.Expiry.Std())), errExpired)
	defer expired()
	var watching parallel.Group
	watching.Go(func() { d.yield(expiring, cancel) })
	err := d.rehearse(expiring)
	d.tearDown(ctx)
	if err == nil {
		if err = d.again(ctx); err == nil {
			err = d.replicated(expiring)
		}
	}
	if err == nil {
		err = replay.OneLine(d.faults...)
	}
	err = d.brokenOff(ctx, expiring, err)
	cancel(nil)
	watching.Wait()
	return err
}

// errExpired: a drill took longer than the plan lets its clones live.
var errExpired = errors.New("the drill's expiry has come")

// rehearse brings everything up, wave by wave, and checks it. Where no image is fit to be
// brought up, none of the hooks is carried out either: the report says why of each.
func (d *drill) rehearse(ctx context.Context) error {
	if len(d.units) == 0 {
		return nil
	}
	if err := d.hooks(ctx, plans.BeforeRun, "", nil); err != nil {
		return err
	}
	for _, together := range d.waves() {
		errs := make([]error, len(together))
		var wg parallel.Group
		for i, w := range together {
			wg.Go(func() { errs[i] = d.wave(ctx, w) })
		}
		wg.Wait()
		if err := replay.OneLine(errs...); err != nil {
			return err
		}
	}
	d.checkAll(ctx)
	if ctx.Err() != nil {
		return contextCause(ctx)
	}
	return d.hooks(ctx, plans.AfterRun, "", nil)
}

// wave brings up the units of a wave, side by side.
func (d *drill) wave(ctx context.Context, units []*drillUnit) error {
	if err := d.hooksOfWave(ctx, plans.BeforeWave, units); err != nil {
		return err
	}
	forEach(ctx, len(units), d.parallel(), func(i int) { d.bringUp(ctx, units[i]) })
	if ctx.Err() != nil {
		return contextCause(ctx)
	}
	return d.hooksOfWave(ctx, plans.AfterWave, units)
}

func (d *drill) parallel() int {
	if d.options.Parallel > 0 {
		return d.options.Parallel
	}
	return d.plan.Runbooks.Parallel
}

// waves cuts the units, which are in the order of their waves: those of one priority
// come up side by side.
func (d *drill) waves() (out [][][]*drillUnit) {
	last := -1
	for i, u := range d.units {
		priority, _ := wavePlace(d.plan, u.wave)
		if priority != last {
			out = append(out, nil)
		}
		together := &out[len(out)-1]
		if priority != last || d.units[i-1].wave != u.wave {
			*together = append(*together, nil)
		}
		wave := &(*together)[len(*together)-1]
		*wave = append(*wave, u)
		last = priority
	}
	return out
}

// bringUp makes one unit usable at the secondary, and checks it. What fails is in
// the report; other units go on.
func (d *drill) bringUp(ctx context.Context, u *drillUnit) {
	defer d.step(1)
	err := d.held(ctx, u, func() error {
		if d.lost {
			return nil
		}
		return d.snapshots(ctx, u)
	})
	switch {
	case err != nil:
	case d.lost:
		err = d.copyUnit(ctx, u)
	default:
		err = d.cloneUnit(ctx, u)
	}
	if err != nil {
		if u.group != "" {
			err = fmt.Errorf("group %s comes up as one: %w", u.group, err)
		}
		for _, i := range u.images {
			d.failed(ctx, i, err)
		}
		return
	}
	d.checkUnit(ctx, u)
}

// failed notes that an image could not be brought up, unless it is known why.
func (d *drill) failed(ctx context.Context, i *drillImage, err error) {
	d.made.Lock()
	defer d.made.Unlock()
	if image := &d.report.Images[i.at]; image.Verdict == "" || image.Verdict == report.Passed {
		image.Verdict, image.Why = report.Failed, oneLine(err.Error())
		if ctx.Err() != nil {
			image.Verdict = report.Aborted // it is not the image's fault
		}
	}
}

// step tells how far the drill is.
func (d *drill) step(n int) {
	d.made.Lock()
	defer d.made.Unlock()
	d.done += n
	d.tell(DrillEvent{})
}

// tell is called while made is held.
func (d *drill) tell(e DrillEvent) {
	if d.options.Progress != nil {
		e.Done, e.Total = d.done, d.total
		d.options.Progress(e)
	}
}

func (d *drill) notef(format string, args ...any) {
	d.made.Lock()
	defer d.made.Unlock()
	line := oneLine(fmt.Sprintf(format, args...))
	if !slices.Contains(d.report.Notes, line) {
		d.report.Notes = append(d.report.Notes, line)
		d.tell(DrillEvent{Note: line})
	}
}

// timed does a step of the timeline.
func (d *drill) timed(name, of, site string, do func() (note string, err error)) error {
	s := report.Step{Name: name, Of: of, Site: site, Began: d.sites.now().UTC()}
	began := time.Now()
	note, err := do()
	s.Seconds, s.OK, s.Note = seconds(time.Since(began)), err == nil, note
	if err != nil {
		s.Note = oneLine(err.Error())
	}
	d.made.Lock()
	defer d.made.Unlock()
	d.report.Steps = append(d.report.Steps, s)
	d.tell(DrillEvent{Step: &s})
	return err
}

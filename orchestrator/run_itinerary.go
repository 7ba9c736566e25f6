package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// itineraryOf compiles a run. The same run and plan give the same steps, so
// that another process can take it up.
func itineraryOf(plan *plans.Plan, run *Run, sites *Sites) itinerary {
	w := writer{plan: plan, run: run, sites: sites}
	switch run.Runbook {
	case Failover:
		return w.failover()
	case Resync:
		return w.resync()
	case Failback:
		return w.failback()
	default:
		return w.switchover()
	}
}

// writer words the steps of a run.
type writer struct {
	plan  *plans.Plan
	run   *Run
	sites *Sites
}

func (w *writer) at(site string) commands {
	if s := w.plan.Site(site); s != nil {
		return commands{site: *s}
	}
	return commands{site: plans.Site{Name: site}}
}

// step words a step of an image.
func (w *writer) step(kind StepKind, unit *RunUnit, image *RunImage, site, what, command, proof string, act stepAct) Step {
	ref := image.Ref
	return Step{
		ID: string(kind) + "/" + ref.String(), Kind: kind, Site: site, Wave: unit.Wave, Unit: unit.Name, Image: &ref,
		What: what, Command: command, Proof: proof, act: act,
	}
}

// each words one step for each image of a unit that wants one.
func each(unit *RunUnit, word func(image *RunImage) (Step, bool)) stage {
	var out stage
	for i := range unit.Images {
		if s, ok := word(&unit.Images[i]); ok {
			out = append(out, s)
		}
	}
	return out
}

func (w *writer) switchover() itinerary {
	out := itinerary{program: w.handOver}
	if w.run.Reverse {
		out.opening = append(out.opening, stage{w.reverseStep()})
	}
	out.closing = append(w.scheduleStages(), w.liftStage())
	return out
}

// linked reports whether the demoted side will follow the promoted one by
// journal, so that its rbd-mirror has to be registered there before.
func (w *writer) linked() bool {
	if w.run.NoWayBack {
		return false
	}
	return w.plan.Direction == plans.TwoWay && slices.Contains(receivers(w.plan, w.run.To), w.run.From) || w.run.Reverse
}

// handOver is what a unit goes through in a switchover.
func (w *writer) handOver(unit RunUnit) program {
	from, to := w.run.From, w.run.To
	x := func(i *RunImage) exchange { return exchange{ref: i.Ref, from: from, to: to} }
	p := program{unit: unit}
	add := func(s stage) {
		if len(s) > 0 {
			p.stages = append(p.stages, s)
		}
	}
	add(each(&unit, func(i *RunImage) (Step, bool) {
		return w.step(StepLink, &unit, i, from,
			"await that rbd-mirror at "+from+" is registered in the journal at "+to,
			w.at(to).rbd("journal", "status", "--image", i.Ref.String()),
			"the journal at "+to+" lists the mirror uuid of "+from, linkAct{x(i)}), i.Mode == replay.ModeJournal && w.linked()
	}))
	if w.run.Fence {
		add(each(&unit, func(i *RunImage) (Step, bool) { return w.fenceStep(&unit, i), true }))
	}
	add(each(&unit, func(i *RunImage) (Step, bool) {
		id := string(StepSnapshot) + "/" + i.Ref.String()
		return w.step(StepSnapshot, &unit, i, from,
			"take a last mirror snapshot and await it at "+to, w.at(from).mirrorSnapshot(i.Ref),
			"the newest mirror snapshot at "+to+" is complete and the copy of it", snapshotAct{x(i), id}), i.Mode == replay.ModeSnapshot
	}))
	add(each(&unit, func(i *RunImage) (Step, bool) { return w.clientsStep(&unit, i), true }))
	p.changesAt = len(p.stages)
	p.partAt = p.changesAt
	add(each(&unit, func(i *RunImage) (Step, bool) {
		return w.step(StepDemote, &unit, i, from, "demote at "+from, w.at(from).demote(i.Ref),
			"the image at "+from+" says that it is not primary", demoteAct{x(i), followersOf(w.plan, from, i.Mode)}), true
	}))
	add(each(&unit, func(i *RunImage) (Step, bool) {
		command, proof := w.at(from).rbd("journal", "status", "--image", i.Ref.String()), "in the journal at "+from+" the commit position of "+to+" has reached the demotion, and the journal at "+to+" has recorded it"
		if i.Mode == replay.ModeSnapshot {
			command, proof = w.at(to).rbd("snap", "ls", "--all", i.Ref.String()), "the newest mirror snapshot at "+to+" is complete, is a demotion, and names the newest one at "+from
		}
		return w.step(StepProve, &unit, i, to, "prove that "+to+" holds all of it", command, proof, proveAct{x(i), i.Mode}), true
	}))
	p.commits = len(p.stages)
	add(each(&unit, func(i *RunImage) (Step, bool) {
		return w.step(StepPromote, &unit, i, to, "promote at "+to+", without force", w.at(to).promote(i.Ref, false),
			"the image at "+to+" says that it is primary, and the one at "+from+" that it is not", promoteAct{x(i)}), true
	}))
	add(each(&unit, func(i *RunImage) (Step, bool) {
		return w.step(StepVerify, &unit, i, to, "see the roles at both sites", w.at(to).rbd("info", i.Ref.String()),
			"primary at "+to+", and there only", verifyAct{exchange: x(i)}), true
	}))
	p.undo = []stage{each(&unit, func(i *RunImage) (Step, bool) {
		s := w.step(StepReturn, &unit, i, from, "promote back at "+from, w.at(from).promote(i.Ref, false),
			"the image at "+from+" says that it is primary, and the one at "+to+" that it is not",
			returnAct{x(i), string(StepPromote) + "/" + i.Ref.String()})
		s.Undo = true
		return s, true
	})}
	return p
}

func (w *writer) fenceStep(unit *RunUnit, i *RunImage) Step {
	from := w.run.From
	return w.step(StepFence, unit, i, from, "shut out the clients that hold it at "+from,
		w.at(from).ceph("osd", "blocklist", "add", "ADDRESS"), "rbd status at "+from+" lists no watcher but rbd-mirror", fenceAct{ref: i.Ref, site: from, followers: followersOf(w.plan, from, i.Mode)})
}

// scheduleStages move the mirror snapshot schedules of the run's pools to the
// new primary.
func (w *writer) scheduleStages() []stage {
	if w.plan.Snapshots.By == plans.SnapshotsByDrover {
		return nil // its daemon takes the snapshots of whatever is primary
	}
	var s stage
	seen := map[replay.Pool]bool{}
	for _, unit := range w.run.Units {
		for _, image := range unit.Images {
			pool := image.Ref.Pool
			wanted := w.plan.Pool(pool.Name, pool.Namespace)
			if image.Mode != replay.ModeSnapshot || seen[pool] || wanted == nil {
				continue
			}
			seen[pool] = true
			s = append(s, Step{
				ID: string(StepSchedule) + "/" + pool.String(), Kind: StepSchedule, Site: w.run.To,
				What:    "mirror snapshot schedules of " + pool.String() + ": at the new primary",
				Command: w.at(w.run.To).rbd("mirror", "snapshot", "schedule", "ls", "--pool", pool.Name, "--recursive"),
				Proof:   "the schedules of the images that are primary at " + w.run.To + " are listed there",
				act:     scheduleAct{pool: pool, from: w.run.From, to: w.run.To},
			})
		}
	}
	if len(s) == 0 {
		return nil
	}
	return []stage{s}
}

// scheduleAct gives the new primary the schedules that the plan has for the
// pool and for those of its images that are primary there. In a one-way plan
// the old primary loses them, once none of its images is primary any more.
type scheduleAct struct {
	pool     replay.Pool
	from, to string
}

func (a scheduleAct) missing(ctx context.Context, c *crew) (add, drop []replay.MirrorSchedule, err error) {
	to, err := c.site(a.to)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	images, err := to.Images(ctx, a.pool, 0)
	if err != nil {
		return nil, nil, err
	}
	there, err := to.MirrorSchedules(ctx, a.pool)
	if err != nil {
		return nil, nil, err
	}
	wanted := c.plan.Pool(a.pool.Name, a.pool.Namespace)
	moved := map[string]bool{}
	want := func(name string, schedules []plans.Schedule) {
		for _, s := range schedules {
			w := replay.MirrorSchedule{ImageRef: a.pool.Image(name), Every: interval(s.Every), Start: s.Start}
			if !hasSchedule(there, w) {
				add = append(add, w)
			}
		}
	}
	want("", wanted.Schedules)
	for i := range images {
		if fault := images[i].Fault; fault != nil && slices.Contains(c.run.images(), images[i].Ref) {
			return nil, nil, fault // it is not known whether it is primary there
		}
		if book, ok := c.records.(*Book); ok && book.Halted(images[i].Ref) != nil {
			continue // its halt has paused them, and puts them back
		}
		if match, ok := wanted.Match(images[i].Ref.Name); ok && images[i].Role == replay.RolePrimary && images[i].Mode == replay.ModeSnapshot {
			moved[images[i].Ref.Name] = true
			want(images[i].Ref.Name, match.Schedules)
		}
	}
	if c.plan.Direction == plans.TwoWay || c.run.Runbook == Failover {
		return add, nil, nil
	}
	from, err := c.site(a.from)
	if err != nil {
		return nil, nil, err
	}
	here, err := from.MirrorSchedules(ctx, a.pool)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range here {
		if s.Name != "" && moved[s.Name] {
			drop = append(drop, s)
		}
	}
	return add, drop, nil
}

func (a scheduleAct) look(ctx context.Context, c *crew) (bool, string, error) {
	add, drop, err := a.missing(ctx, c)
	if err != nil {
		return false, "", err
	}
	if len(add)+len(drop) > 0 {
		return false, fmt.Sprintf("%d to be added at %s, %d to be removed at %s", len(add), a.to, len(drop), a.from), nil
	}
	return true, "all schedules of the plan are at " + a.to, nil
}

func (a scheduleAct) do(ctx context.Context, c *crew) error {
	add, drop, err := a.missing(ctx, c)
	if err != nil {
		return err
	}
	for _, s := range add {
		if err := c.change(a.to, func(ctx context.Context, site Site) error { return site.AddMirrorSchedule(ctx, s) }); err != nil {
			return err
		}
	}
	for _, s := range drop {
		if err := c.change(a.from, func(ctx context.Context, site Site) error { return site.RemoveMirrorSchedule(ctx, s) }); err != nil {
			return err
		}
	}
	return nil
}

func (scheduleAct) patience(*crew) (time.Duration, time.Duration) {
	return 30 * time.Second, 3 * time.Second
}

// reverseStep lets the old primary receive from the new one.
func (w *writer) reverseStep() Step {
	return Step{
		ID: "reverse", Kind: StepReverse, Site: w.run.From,
		What:    "set the reverse direction up: a peer and rbd-mirror at " + w.run.From,
		Command: "drover plan apply, with direction: two-way",
		Proof:   "the pools at " + w.run.From + " receive from " + w.run.To + ", and rbd-mirror serves them",
		act:     reverseAct{},
	}
}

// reverseAct applies of the two-way form of the plan what concerns peers and
// daemons.
type reverseAct struct{}

func reversed(plan *plans.Plan) *plans.Plan {
	both := *plan
	both.Direction = plans.TwoWay
	return &both
}

func (reverseAct) wanted(ctx context.Context, c *crew) (*Difference, []Change, error) {
	plan := reversed(c.plan)
	obs := Observe(ctx, plan, c.sites, ObserveOptions{Detail: replay.WithHeader})
	for i := range obs.Sites {
		if f := obs.Sites[i].Fault; f != nil {
			return nil, nil, f
		}
	}
	d := Diff(plan, obs, DiffOptions{})
	var out []Change
	for i := range d.Changes {
		switch d.Changes[i].Kind {
		case KindPeer, KindDaemonStart:
			if !d.Changes[i].Destructive {
				out = append(out, d.Changes[i])
			}
		}
	}
	return d, out, nil
}

func (a reverseAct) look(ctx context.Context, c *crew) (bool, string, error) {
	_, changes, err := a.wanted(ctx, c)
	if err != nil {
		return false, "", err
	}
	if len(changes) == 0 {
		return true, "peers and daemons are there", nil
	}
	var todo []string
	for i := range changes {
		todo = append(todo, changes[i].Title())
	}
	return false, "still wanted: " + strings.Join(todo, "; "), nil
}

func (a reverseAct) do(ctx context.Context, c *crew) error {
	_, changes, err := a.wanted(ctx, c)
	if err != nil || len(changes) == 0 {
		return err
	}
	if err := c.may(); err != nil {
		return err
	}
	g := graph{
		x:        &execution{sites: c.sites, stop: c.hard, patience: 90 * time.Second, callTime: c.callTime},
		parallel: 4, progress: func(Event) {},
	}
	for _, r := range g.run(changes) {
		if r.Fault != nil {
			return fmt.Errorf("%s: %w", r.Change.Title(), r.Fault)
		}
	}
	return nil
}

func (reverseAct) patience(*crew) (time.Duration, time.Duration) { return 2 * time.Minute, 0 }

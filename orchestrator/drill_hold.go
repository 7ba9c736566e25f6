package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// The entries of a drill's ledger that tell of writers that hooks hold back.
const (
	// EntryHeld comes before the hooks before a group: those after it are owed from
	// then on.
	EntryHeld EntryKind = "held"
	// EntryReleased says that those have been carried out.
	EntryReleased EntryKind = "released"
)

// heldGroup is the body of both entries.
type heldGroup struct {
	Group  string            `json:"group"`
	From   string            `json:"from,omitempty"`
	To     string            `json:"to,omitempty"`
	Images []replay.ImageRef `json:"images,omitempty"`
	Until  time.Time         `json:"until,omitzero"` // the drill's expiry
}

const (
	// snapshotTime is how long a snapshot may take, because writers may be held back.
	snapshotTime = time.Minute
	// owedFor is how long after a drill's expiry a release is tried that fails.
	owedFor = 24 * time.Hour
)

// held takes a group's snapshots between its hooks. Those after it let writers go, so
// that they are carried out whatever has failed or ended, and at once: before anything
// is awaited. What they come to is part of the error.
func (d *drill) held(ctx context.Context, u *drillUnit, do func() error) (err error) {
	if u.group == "" {
		return do()
	}
	if d.lost {
		d.leaveOut(u)
		return do()
	}
	before := selectHooks(d.plan, string(Drill), plans.BeforeGroup, u.group)
	after := selectHooks(d.plan, string(Drill), plans.AfterGroup, u.group)
	if len(before) > 0 && len(after) > 0 {
		if err := d.owe(ctx, u); err != nil {
			return err
		}
		u.owed = true
	}
	defer func() {
		err = replay.OneLine(err, d.release(ctx, u, after, len(before) > 0))
		if u.spread != nil {
			d.moment(u, u.spread)
		}
	}()
	if err := d.hooks(ctx, plans.BeforeGroup, u.group, []*drillUnit{u}); err != nil {
		return d.undecide(ctx, u, err)
	}
	return do()
}

// leaveOut notes that a group's hooks are not carried out: with the primary lost no
// snapshot is taken, and no writer is there to be held back.
func (d *drill) leaveOut(u *drillUnit) {
	if len(selectHooks(d.plan, string(Drill), plans.BeforeGroup, u.group))+len(selectHooks(d.plan, string(Drill), plans.AfterGroup, u.group)) > 0 {
		d.notef("the hooks around group %s are left out: %s does not answer, and no snapshot is taken there", u.group, d.from)
	}
}

// undecide leaves open whether the images of a group would serve: a hook before it has
// failed, which says nothing of their copies.
func (d *drill) undecide(ctx context.Context, u *drillUnit, err error) error {
	d.made.Lock()
	defer d.made.Unlock()
	for _, i := range u.images {
		image := &d.report.Images[i.at]
		image.Verdict, image.Why = report.Aborted, oneLine("not decided: "+err.Error())
	}
	if ctx.Err() == nil {
		d.faults = append(d.faults, fmt.Errorf("nothing is decided of group %s: %w", u.group, err))
	}
	return err
}

// owe records that the hooks after a group are owed: whoever comes after a drill that
// was killed makes up for it.
func (d *drill) owe(ctx context.Context, u *drillUnit) error {
	body := heldGroup{Group: u.group, From: d.from, To: d.to, Until: d.mark.until}
	for _, i := range u.images {
		body.Images = append(body.Images, i.ref)
	}
	if err := d.ledger.appendBody(ctx, Entry{Kind: EntryHeld, Run: d.report.ID}, body); err != nil {
		return fmt.Errorf("record that hooks will hold back the writers of group %s: %w", u.group, err)
	}
	return nil
}

// release carries out the hooks after a group, each of them, also where ctx has ended.
func (d *drill) release(ctx context.Context, u *drillUnit, after []*plans.Hook, owed bool) error {
	if len(after) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // each hook has its own timeout
	var errs []error
	for _, h := range after {
		errs = append(errs, d.hook(ctx, h, plans.AfterGroup, u.group, []*drillUnit{u}))
	}
	if err := replay.OneLine(errs...); err != nil {
		err = fmt.Errorf("group %s may still be held back: %w", u.group, err)
		d.notef("%v", err)
		d.made.Lock()
		defer d.made.Unlock()
		d.unreleased = append(d.unreleased, oneLine(err.Error()))
		return err
	}
	if owed {
		ctx, cancel := context.WithTimeout(ctx, 2*answerTime(d.plan))
		defer cancel()
		if err := d.ledger.appendBody(ctx, Entry{Kind: EntryReleased, Run: d.report.ID}, heldGroup{Group: u.group}); err != nil {
			d.notef("the hooks after group %s will be carried out once more by the next sweep: that they have been could not be recorded: %v", u.group, err)
		}
	}
	return nil
}

// owedRelease is a group of a drill whose hooks after it are owed.
type owedRelease struct {
	run string
	heldGroup
	over bool      // it was carried out
	last time.Time // it is tried and kept until then
	keys []string  // of its entries
}

// owedReleases are those of a ledger, and the keys of entries that need not be kept.
func owedReleases(entries []Entry, now time.Time) (owed []owedRelease, over []string) {
	type of struct{ run, group string }
	held, order := map[of]*owedRelease{}, []of{}
	for i := range entries {
		e := &entries[i]
		if e.Kind != EntryHeld && e.Kind != EntryReleased {
			continue
		}
		var body heldGroup
		if err := json.Unmarshal(e.Body, &body); err != nil {
			continue
		}
		at := of{e.Run, body.Group}
		h, known := held[at]
		if !known {
			h = &owedRelease{run: e.Run}
			held[at], order = h, append(order, at)
		}
		h.keys = append(h.keys, e.Key)
		h.over = h.over || e.Kind == EntryReleased
		if e.Kind == EntryHeld {
			h.heldGroup = body
		}
		if h.last = e.At.Add(owedFor); h.last.Before(h.Until.Add(owedFor)) {
			h.last = h.Until.Add(owedFor)
		}
	}
	for _, at := range order {
		// What is over is kept, too: a site that was away may bring half of it back.
		switch h := held[at]; {
		case now.After(h.last):
			over = append(over, h.keys...)
		case !h.over:
			owed = append(owed, *h)
		}
	}
	return owed, over
}

// makeUp carries out the hooks after the groups of killed drills. The caller holds the
// lease of the plan's drills, so that none of them is at work.
func makeUp(ctx context.Context, plan *plans.Plan, ledger *Book) (left []DrillLeft) {
	owed, _ := owedReleases(ledger.Entries(), ledger.now())
	for i := range owed {
		o := &owed[i]
		facts := HookFacts{
			Plan: plan.Name, Runbook: string(Drill), Run: o.run, When: plans.AfterGroup, Of: o.Group, Group: o.Group, From: o.From, To: o.To, Images: o.Images,
			Drill: &DrillFacts{Site: o.To, Clones: []DrillClone{}}, hidden: planSecrets(plan),
		}
		var errs []error
		for _, h := range selectHooks(plan, string(Drill), plans.AfterGroup, o.Group) {
			if h.Manual != "" {
				continue // it is left out of a drill
			}
			_, err := runHook(context.WithoutCancel(ctx), h, facts)
			if h.OnFailure != plans.OnFailureContinue {
				errs = append(errs, err)
			}
		}
		err := replay.OneLine(errs...)
		if err == nil {
			err = ledger.appendBody(ctx, Entry{Kind: EntryReleased, Run: o.run}, heldGroup{Group: o.Group})
		}
		l := DrillLeft{Drill: o.run, Site: o.From, Group: o.Group, Until: o.Until}
		l.settle(err)
		left = append(left, l)
	}
	return left
}

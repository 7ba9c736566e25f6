package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	Until  time.Time         `json:"until,omitzero"`  // the drill's expiry
	Hooks  []string          `json:"hooks,omitempty"` // those after it, by name
	// Fault is why they could not be carried out; "": nobody has found them to fail.
	Fault string `json:"fault,omitempty"`
	// By is who has let its writers go by hand.
	By string `json:"by,omitempty"`
}

const (
	// snapshotTime is how long a snapshot may take, because writers may be held back.
	snapshotTime = time.Minute
	// owedFor is how long after a drill's expiry a release is tried that fails: later
	// than that nobody would expect it any more.
	owedFor = 24 * time.Hour
	// releaseTime is how long hooks after a group are begun again that fail.
	releaseTime = 2 * time.Minute
)

// releasePauses are those before hooks after a group are tried again.
var releasePauses = []time.Duration{time.Second, 5 * time.Second, 15 * time.Second}

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
	before := automatic(selectHooks(d.plan, string(Drill), plans.BeforeGroup, u.group))
	after := selectHooks(d.plan, string(Drill), plans.AfterGroup, u.group)
	if len(before) > 0 && len(automatic(after)) > 0 {
		if err := d.owe(ctx, u, after); err != nil {
			return err
		}
		u.owed = true
	}
	defer func() {
		err = replay.OneLine(err, d.release(ctx, u, after))
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

// automatic are the hooks that are not for a person.
func automatic(hooks []*plans.Hook) []*plans.Hook {
	return slices.DeleteFunc(slices.Clone(hooks), func(h *plans.Hook) bool { return h.Manual != "" })
}

// holding is a unit as the ledger tells of it.
func (d *drill) holding(u *drillUnit, after []*plans.Hook) heldGroup {
	h := heldGroup{Group: u.group, From: d.from, To: d.to, Until: d.mark.until}
	for _, i := range u.images {
		h.Images = append(h.Images, i.ref)
	}
	for _, hook := range automatic(after) {
		h.Hooks = append(h.Hooks, hook.Name)
	}
	return h
}

// owe records that the hooks after a group are owed: whoever comes after a drill that
// was killed makes up for it.
func (d *drill) owe(ctx context.Context, u *drillUnit, after []*plans.Hook) error {
	if err := d.ledger.appendBody(ctx, Entry{Kind: EntryHeld, Run: d.report.ID}, d.holding(u, after)); err != nil {
		return fmt.Errorf("record that hooks will hold back the writers of group %s: %w", u.group, err)
	}
	return nil
}

// release carries out the hooks after a group, each of them, also where ctx has ended.
// Where they are owed, those that fail are tried again at once, a few times; then the
// drill ends, as nothing that it could still show is worth writers that stand still.
func (d *drill) release(ctx context.Context, u *drillUnit, after []*plans.Hook) error {
	ctx = context.WithoutCancel(ctx) // each hook has its own timeout
	failed, err := d.releaseOnce(ctx, u, after)
	if !u.owed {
		if err != nil {
			return d.undecide(ctx, u, err)
		}
		return nil
	}
	if err != nil {
		d.tellHeld(u, failed, err)
		if failed, err = d.releaseAgain(ctx, u, failed, err); err != nil {
			return d.unreleasable(ctx, u, failed, err)
		}
		d.tellHeld(u, nil, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime(d.plan))
	defer cancel()
	if err := d.ledger.appendBody(ctx, Entry{Kind: EntryReleased, Run: d.report.ID}, d.holding(u, after)); err != nil {
		d.notef("the hooks after group %s will be carried out once more by the next sweep: that they have been could not be recorded: %v", u.group, err)
	}
	return nil
}

// releaseAgain tries hooks again that have failed, and answers with those that still do.
// Once a run or a halt has come, writers are no more the drill's to let go.
func (d *drill) releaseAgain(ctx context.Context, u *drillUnit, failed []*plans.Hook, err error) ([]*plans.Hook, error) {
	began := time.Now()
	for _, wait := range releasePauses {
		if time.Since(began) > releaseTime {
			break
		}
		pause(ctx, wait)
		var broken errBroken
		if begun := d.again(ctx); errors.As(begun, &broken) {
			return failed, fmt.Errorf("%w; it is not tried again: %s", err, begun.Error()) // what has begun is not the fault
		}
		if failed, err = d.releaseOnce(ctx, u, failed); err == nil {
			return nil, nil
		}
	}
	return failed, err
}

// releaseOnce carries out hooks after a group, and answers with those that have failed.
func (d *drill) releaseOnce(ctx context.Context, u *drillUnit, after []*plans.Hook) (left []*plans.Hook, err error) {
	var errs []error
	for _, h := range after {
		if err := d.hook(ctx, h, plans.AfterGroup, u.group, []*drillUnit{u}); err != nil {
			left, errs = append(left, h), append(errs, err)
		}
	}
	return left, replay.OneLine(errs...)
}

// unreleasable ends the drill, and has others know why before it has ended.
func (d *drill) unreleasable(ctx context.Context, u *drillUnit, failed []*plans.Hook, cause error) error {
	err := fmt.Errorf("group %s may still be held back: %w", u.group, cause)
	d.made.Lock()
	d.unreleased = append(d.unreleased, oneLine(err.Error()))
	d.made.Unlock()
	d.stop(errBroken{advise(err, heldNext(d.plan, u.group))})
	d.tellHeld(u, failed, cause)
	body := d.holding(u, failed)
	body.Fault = oneLine(cause.Error())
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime(d.plan))
	defer cancel()
	if err := d.ledger.appendBody(ctx, Entry{Kind: EntryHeld, Run: d.report.ID}, body); err != nil {
		d.notef("that group %s is held back could not be recorded: %v", u.group, err)
	}
	return err
}

// tellHeld tells of a group whose hooks after it have failed; without a cause, that they
// have been carried out since.
func (d *drill) tellHeld(u *drillUnit, failed []*plans.Hook, cause error) {
	h := d.holding(u, failed)
	l := h.left(d.report.ID)
	l.settle(cause)
	if cause == nil {
		d.notef("group %s is not held back any more: the hooks after it have been carried out", u.group)
	} else {
		d.notef("group %s may still be held back: %v", u.group, cause)
	}
	d.made.Lock()
	defer d.made.Unlock()
	d.tell(DrillEvent{Held: &l})
}

// heldNext is what a person does about a group that is held back.
func heldNext(plan *plans.Plan, group string) string {
	return "let the writers of group " + group + " go by hand, then say so: drover drill sweep " + shellLine(plan.File, "--released", group)
}

// left is a held group as what a drill has left.
func (h *heldGroup) left(drill string) DrillLeft {
	return DrillLeft{Drill: drill, Site: h.From, Group: h.Group, Until: h.Until, Note: h.Fault}
}

// owedRelease is a group of a drill whose hooks after it are owed.
type owedRelease struct {
	run string
	heldGroup
	over bool      // it was carried out, or a person has said that there is no need
	last time.Time // it is carried out until then, and told for as long as it is owed
	keys []string  // of its entries
}

// covers reports whether what was carried out is what is owed after another drill, too.
func (h *heldGroup) covers(owed *heldGroup) bool {
	return h.Group == owed.Group && h.From == owed.From && len(owed.Hooks) > 0 &&
		!slices.ContainsFunc(owed.Hooks, func(name string) bool { return !slices.Contains(h.Hooks, name) })
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
		if e.Kind == EntryReleased {
			h.over = true
			for _, at := range order { // the same hooks let go what an earlier drill held
				held[at].over = held[at].over || body.covers(&held[at].heldGroup)
			}
		}
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
		case !h.over:
			owed = append(owed, *h)
		case now.After(h.last):
			over = append(over, h.keys...)
		}
	}
	return owed, over
}

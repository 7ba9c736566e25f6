package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// makeUp carries out the hooks after the groups of drills that have not done it: killed
// ones, and those whose hooks have failed. Where that may be wrong, it waits, or is left
// to a person, and is told. The caller holds the lease of the plan's drills, so that none
// of them is at work.
func makeUp(ctx context.Context, plan *plans.Plan, sites *Sites, ledger *Book) (left []DrillLeft) {
	owed, _ := owedReleases(ledger.Entries(), ledger.now())
	if len(owed) == 0 {
		return nil
	}
	book, unread := ReadBook(ctx, plan, sites)
	if unread == nil {
		defer func() { _ = book.Close(ctx) }() // it was only read
	}
	for i := range owed {
		o := &owed[i]
		err := unread
		if err == nil {
			err = o.inTheWay(ctx, plan, sites, book)
		}
		switch {
		case err != nil:
		case ledger.now().After(o.last):
			err = fmt.Errorf("its hooks after it are not carried out any more, more than %v after the drill's expiry", owedFor)
		default:
			err = o.carryOut(ctx, plan, ledger)
		}
		l := o.left(o.run)
		l.settle(err)
		left = append(left, l)
	}
	return left
}

// inTheWay is why the hooks after a group must not be carried out now. During a run or a
// halt its writers are somebody else's. Where its images are primary elsewhere, too, or
// that is not known, the hooks might start writers on what was given up.
func (o *owedRelease) inTheWay(ctx context.Context, plan *plans.Plan, sites *Sites, book *Book) error {
	for _, run := range unfinished(book) {
		return fmt.Errorf("its hooks after it wait: the %s %s is not over", run.Runbook, run.ID)
	}
	for _, ref := range o.Images {
		if h := book.Halted(ref); h != nil {
			return fmt.Errorf("its hooks after it wait: %s is halted: %s", ref, h.Reason)
		}
	}
	for _, at := range plan.Sites {
		for _, ref := range o.Images {
			primary, err := isPrimaryAt(ctx, plan, sites, at.Name, ref)
			switch {
			case err != nil:
				return fmt.Errorf("its hooks after it wait: it is not known whether %s is primary at %s: %w", ref, at.Name, err)
			case primary && at.Name != o.From:
				return fmt.Errorf("its hooks after it are not carried out, for they let writers go at %s: %s is primary at %s", o.From, ref, at.Name)
			case !primary && at.Name == o.From:
				return fmt.Errorf("its hooks after it are not carried out, for they let writers go at %s: %s is not primary there any more", o.From, ref)
			}
		}
	}
	return nil
}

func isPrimaryAt(ctx context.Context, plan *plans.Plan, sites *Sites, name string, ref replay.ImageRef) (bool, error) {
	site, err := sites.Site(name)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime(plan))
	defer cancel()
	image, err := site.Image(ctx, ref)
	if errors.Is(err, replay.ErrNotFound) {
		return false, nil
	}
	return image.Role == replay.RolePrimary, err
}

// carryOut carries out what is owed, and records that it is not owed any more; where it
// fails, what has failed.
func (o *owedRelease) carryOut(ctx context.Context, plan *plans.Plan, ledger *Book) error {
	facts := HookFacts{
		Plan: plan.Name, Runbook: string(Drill), Run: o.run, When: plans.AfterGroup, Of: o.Group, Group: o.Group, From: o.From, To: o.To, Images: o.Images,
		Drill: &DrillFacts{Site: o.To, Clones: []DrillClone{}}, hidden: planSecrets(plan),
	}
	hooks, err := o.hooks(plan)
	errs := []error{err}
	for _, h := range hooks {
		_, err := runHook(context.WithoutCancel(ctx), h, facts) // whatever on_failure says: nobody else comes
		errs = append(errs, err)
	}
	if err = replay.OneLine(errs...); err == nil {
		body := o.heldGroup
		body.Fault = ""
		return ledger.appendBody(ctx, Entry{Kind: EntryReleased, Run: o.run}, body)
	}
	if o.Fault == "" {
		body := o.heldGroup
		body.Fault = oneLine(err.Error())
		_ = ledger.appendBody(ctx, Entry{Kind: EntryHeld, Run: o.run}, body) // it is told anyhow
	}
	return err
}

// hooks are those that are owed, as the plan has them now. The error names those that it
// has no more.
func (o *owedRelease) hooks(plan *plans.Plan) ([]*plans.Hook, error) {
	due := automatic(selectHooks(plan, string(Drill), plans.AfterGroup, o.Group))
	var errs []error
	for _, name := range o.Hooks {
		if !slices.ContainsFunc(due, func(h *plans.Hook) bool { return h.Name == name }) {
			errs = append(errs, fmt.Errorf("the plan has no hook %s after group %s any more", name, o.Group))
		}
	}
	if len(o.Hooks) > 0 {
		due = slices.DeleteFunc(due, func(h *plans.Hook) bool { return !slices.Contains(o.Hooks, h.Name) })
	} else if len(due) == 0 {
		errs = append(errs, fmt.Errorf("the plan has no hook after group %s any more", o.Group))
	}
	return due, replay.OneLine(errs...)
}

// releasedByHand records that a person has let the writers of groups go.
func releasedByHand(ctx context.Context, ledger *Book, groups []string) (left []DrillLeft, err error) {
	owed, _ := owedReleases(ledger.Entries(), ledger.now())
	for _, group := range groups {
		known := false
		for i := range owed {
			o := &owed[i]
			if o.Group != group {
				continue
			}
			known = true
			if err := ledger.appendBody(ctx, Entry{Kind: EntryReleased, Run: o.run}, heldGroup{Group: group, By: whoWrites()}); err != nil {
				return left, fmt.Errorf("record that group %s was let go: %w", group, err)
			}
			l := o.left(o.run)
			l.Removed, l.Note = true, "let go by hand, says "+whoWrites()
			left = append(left, l)
		}
		if !known {
			return left, refusal("drover drill sweep names those that are held back", "no drill is known to hold group %s back", group)
		}
	}
	return left, nil
}

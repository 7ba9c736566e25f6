package orchestrator

import (
	"errors"
	"strings"

	"github.com/drover-io/drover/replay"
)

// recordsUnread refuses where records cannot be read although there is a place
// for them: a halt or a run that is not over may be among them.
func (d *differ) recordsUnread() bool {
	r := d.obs.Records
	if r == nil {
		return false
	}
	unread := false
	refuse := func(site string, fault *Fault) {
		unread = true
		next := fault.Hint
		if next == "" {
			next = "make them readable there and destroy again"
		}
		d.notice(NoticeDestroyUnsure, site, replay.Pool{}, "", next,
			"nothing is taken down while the plan's records cannot be read, which may hold a halt or a run that is not over: %s", fault.What)
	}
	if r.book == nil {
		if r.Fault != nil && d.placeOfRecords() {
			refuse("", r.Fault)
		}
		return unread
	}
	faults := r.book.Faults()
	for _, s := range d.plan.Sites {
		if err := faults[s.Name]; err != nil && !errors.Is(err, replay.ErrNotFound) {
			refuse(s.Name, faultOf(err))
		}
	}
	return unread
}

// placeOfRecords reports whether the pool of the plan's records is at any site.
func (d *differ) placeOfRecords() bool {
	for i := range d.obs.Sites {
		if pool := d.obs.Sites[i].Pool(poolOf(&d.plan.Pools[0])); pool != nil && !pool.Missing {
			return true
		}
	}
	return false
}

// hold finds the images that must not be touched: what is halted, in the hands
// of a run, in split-brain, primary nowhere, or given up by a failover and not
// brought back yet. Parents of such clones stay with them, since Ceph refuses to
// end their mirroring first. The pools of all these stay mirrored.
func (w *wrecker) hold(views []poolView) {
	split := w.splits()
	why := map[replay.ImageRef]string{}
	var all []imageView
	for _, v := range views {
		for _, image := range w.ours(v) {
			all = append(all, image)
			if w.untouchable(image, split) {
				code := w.out.Notices[len(w.out.Notices)-1].Code
				why[image.ref] = image.ref.String() + " (" + string(code) + ")"
			}
		}
	}
	for grown := true; grown; {
		grown = false
		for _, child := range all {
			if why[child.ref] == "" {
				continue
			}
			for _, seen := range child.seen {
				if p := seen.Parent; p != nil && why[*p] == "" && inPlan(w.plan, *p) {
					why[*p], grown = p.String()+" (the parent of "+child.ref.String()+")", true
				}
			}
		}
	}
	for _, v := range views {
		var left []string
		for _, image := range w.ours(v) {
			if words := why[image.ref]; words != "" {
				w.held[image.ref] = true
				left = append(left, words)
			}
		}
		if len(left) == 0 {
			continue
		}
		w.kept[v.pool], w.kept[whole(v.pool)] = true, true
		w.notice(NoticeDestroyKeeps, "", v.pool, "", "see to them first, then destroy again",
			"the pool stays mirrored, since images in it are left alone: %s", listed(left))
	}
}

// untouchable reports whether an image has to be left alone; a notice then says
// why.
func (w *wrecker) untouchable(v imageView, split map[replay.ImageRef]bool) bool {
	primaries, secondaries := w.with(v, replay.RolePrimary), w.with(v, replay.RoleSecondary)
	switch {
	case len(primaries)+len(secondaries) == 0:
		return false // nothing is done to it
	case w.recorded(v):
	case len(primaries) > 1:
		w.splitBrain(v, "primary at "+strings.Join(primaries, " and "))
	case split[v.ref]:
		w.splitBrain(v, "rbd-mirror has found that the copies went apart")
	case len(primaries) == 0 && len(w.with(v, replay.RoleNone)) == 0:
		w.stranded(v, secondaries)
	default:
		return false
	}
	return true
}

// splits are the images that are judged to be in split-brain.
func (w *wrecker) splits() map[replay.ImageRef]bool {
	evidence := gatherEvidence(w.plan, w.obs, w.obs.At)
	w.obs.Records.inFlight(evidence)
	out := map[replay.ImageRef]bool{}
	for i := range evidence {
		if verdict := replay.Judge(evidence[i]); verdict.State == replay.SplitBrain {
			out[evidence[i].Ref] = true
		}
	}
	return out
}

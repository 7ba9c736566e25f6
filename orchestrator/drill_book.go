package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// EntryReport is the record of a report, in the ledger of the plan's drills.
const EntryReport EntryKind = "report"

// keptReports is how many reports are kept.
const keptReports = 400

// openDrills reads the ledger of the plan's drills, "drill.PLAN" in the plan's first
// pool at each site. Its lease lets one drill of a plan run at a time; no runbook
// wants it.
func openDrills(ctx context.Context, plan *plans.Plan, sites *Sites) (*Book, error) {
	book, err := readLedger(ctx, plan, sites, "drill")
	if err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	book.outdated = func(entries []Entry) []string {
		_, over := owedReleases(entries, book.now())
		_, cleared := drillTraces(entries, book.now())
		return slices.Concat(oldReports(entries), over, cleared)
	}
	return book, nil
}

// oldReports are the entries of reports that need not be kept.
func oldReports(entries []Entry) (keys []string) {
	var reports []string
	for i := range entries {
		if entries[i].Kind == EntryReport {
			reports = append(reports, entries[i].Key)
		}
	}
	if !isFull(len(reports), keptReports) {
		return nil
	}
	kept := lastReports(entries)
	return slices.DeleteFunc(reports[:len(reports)-keptReports], func(key string) bool { return kept[key] })
}

// lastReports are the keys of what tells of each drill when it last passed, and what it
// came to last: however often another one is made, these stay.
func lastReports(entries []Entry) map[string]bool {
	type what struct {
		name   string
		passed bool
	}
	last := map[what]string{}
	for i := range entries {
		if entries[i].Kind != EntryReport {
			continue
		}
		r, err := report.Parse(entries[i].Body)
		if err != nil || r.Scope != "" {
			continue
		}
		switch r.Verdict {
		case report.Passed:
			last[what{r.Name, true}], last[what{r.Name, false}] = entries[i].Key, entries[i].Key
		case report.Failed:
			last[what{r.Name, false}] = entries[i].Key
		}
	}
	keys := map[string]bool{}
	for _, key := range last {
		keys[key] = true
	}
	return keys
}

// begin takes the lease of the plan's drills and sweeps what a dead one has left.
func (d *drill) begin(ctx context.Context) (err error) {
	if d.ledger, err = openDrills(ctx, d.plan, d.sites); err != nil {
		return err
	}
	if d.lease, err = drillLease(ctx, d.ledger, d.report.ID); err != nil {
		if errors.Is(err, ErrLeased) {
			err = advise(fmt.Errorf("another drill of the plan is at work: %w", err), "wait until it is done: drover drill history FILE")
		}
		return err
	}
	swept := &DrillSweep{Left: makeUp(ctx, d.plan, d.sites, d.ledger)} // first: production may stand still
	swept.add(sweepDrills(ctx, d.plan, d.sites, d.ledger, func(m drillMark) bool { return m.plan == d.mark.plan }))
	for i := range swept.Left {
		d.notef("%s", swept.Left[i].words())
	}
	for i := range swept.Unseen {
		if u := &swept.Unseen[i]; !d.lost || u.Site != d.from { // that one is told of
			d.notef("earlier drills may have left something: %s", u.words())
		}
	}
	// Whoever has begun a run since it was looked at has not waited for this drill.
	if _, err := d.book.Refresh(ctx); err != nil {
		return err
	}
	if err := d.yields(); err != nil {
		return err
	}
	return d.recordPlaces(ctx)
}

// end gives the lease back; what was recorded is at the sites that answer.
func (d *drill) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*answerTime(d.plan))
	defer cancel()
	_ = d.lease.Release(ctx) // where it cannot, it ends by itself
}

// yieldEvery is how often a drill looks whether it has to make room.
const yieldEvery = 3 * time.Second

// yield ends the drill when somebody begins a run, or halts one of its images.
func (d *drill) yield(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(yieldEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		look, cancel := context.WithTimeout(ctx, answerTime(d.plan))
		_, err := d.book.Refresh(look)
		cancel()
		if err != nil {
			continue // look again
		}
		if err := d.yields(); err != nil {
			stop(err)
			return
		}
	}
}

// again looks once more whether somebody has begun something.
func (d *drill) again(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime(d.plan))
	defer cancel()
	if _, err := d.book.Refresh(ctx); err != nil {
		return err
	}
	return d.yields()
}

// yields is why the drill has to make room, an errBroken; nil: it has not.
func (d *drill) yields() error {
	for _, s := range Runs(d.book) {
		// Also one that is over by now: the images are not as they were.
		if s.End == nil || !d.known[s.Run.ID] {
			return errBroken{refusal("drill again when it is over", "the %s %s has begun", s.Run.Runbook, s.Run.ID)}
		}
	}
	for _, u := range d.units {
		for _, i := range u.images {
			if h := d.book.Halted(i.ref); h != nil {
				return errBroken{h.keeps(i.ref)}
			}
		}
	}
	return nil
}

// store records the report.
func (d *drill) store(ctx context.Context) error {
	if d.ledger == nil {
		var err error
		if d.ledger, err = openDrills(context.WithoutCancel(ctx), d.plan, d.sites); err != nil {
			return fmt.Errorf("the report could not be recorded: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*answerTime(d.plan))
	defer cancel()
	err := storeReport(ctx, d.ledger, &d.report)
	return errors.Join(err, d.ledger.Close(ctx))
}

// maxReport is how large a report may be that is recorded, in bytes.
const maxReport = 60 << 10

// storeReport records a report at every site that answers. Of a very large one, what
// went well is summed up.
func storeReport(ctx context.Context, ledger *Book, r *report.Report) error {
	fail := func(err error) error { return fmt.Errorf("the report could not be recorded: %w", err) }
	bounded, err := report.Bound(r, maxReport)
	if err != nil {
		return fail(err)
	}
	body, err := report.Encode(bounded)
	if err != nil {
		return fail(err)
	}
	if err := ledger.Append(ctx, Entry{Kind: EntryReport, Run: r.ID, Body: body}); err != nil {
		return fail(err)
	}
	return nil
}

// recordedReports are those of a ledger in the order in which they were recorded. Where
// one was, by a clock so far ahead that no other writer follows it, is not known: it
// counts as older than all others.
func recordedReports(entries []Entry, now time.Time) []report.Report {
	var out, ahead []report.Report
	for i := range entries {
		if entries[i].Kind != EntryReport {
			continue
		}
		r, err := report.Parse(entries[i].Body)
		if err != nil {
			continue
		}
		if at, ok := timeOfKey(entries[i].Key); ok && at.After(now.Add(clockTrust)) {
			ahead = append(ahead, *r)
			continue
		}
		out = append(out, *r)
	}
	return append(ahead, out...)
}

// DrillLeft is something of a drill that has ended, or should have.
type DrillLeft struct {
	Drill string `json:"drill"` // its id
	Site  string `json:"site"`
	// Image is a clone, or the image of Snapshot.
	Image    replay.ImageRef `json:"image"`
	Snapshot string          `json:"snapshot,omitempty"`
	// Group, in place of an image: its hooks before it may hold its writers back still.
	Group string `json:"group,omitempty"`
	// Folder, in place of an image: on the host that has looked.
	Folder  string    `json:"folder,omitempty"`
	Until   time.Time `json:"until"` // when it was to be gone
	Removed bool      `json:"removed"`
	Note    string    `json:"note,omitempty"`

	mark drillMark
}

func newDrillLeft(m drillMark, site string, ref replay.ImageRef, snapshot string) DrillLeft {
	return DrillLeft{Drill: m.id, Site: site, Image: ref, Snapshot: snapshot, Until: m.until, mark: m}
}

// What names it.
func (l *DrillLeft) What() string {
	if l.Group != "" {
		return "hooks after group " + l.Group
	}
	if l.Folder != "" {
		return "folder " + l.Folder
	}
	if l.Snapshot != "" {
		return l.Image.String() + "@" + l.Snapshot
	}
	return l.Image.String()
}

// words tell of it in one line.
func (l *DrillLeft) words() string {
	switch {
	case l.Group != "" && l.Removed:
		return fmt.Sprintf("%s owed the hooks after group %s: carried out now", l.Drill, l.Group)
	case l.Group != "":
		return fmt.Sprintf("group %s may still be held back by %s: %s", l.Group, l.Drill, l.Note)
	case l.Folder != "" && l.Removed:
		return fmt.Sprintf("removed what %s had left on this host: %s", l.Drill, l.What())
	case l.Folder != "":
		return fmt.Sprintf("%s has left %s on this host: %s", l.Drill, l.What(), l.Note)
	case l.Removed:
		return fmt.Sprintf("removed what %s had left: %s at %s", l.Drill, l.What(), l.Site)
	}
	return fmt.Sprintf("%s has left %s at %s: %s", l.Drill, l.What(), l.Site, l.Note)
}

func sortLeft(left []DrillLeft) {
	slices.SortFunc(left, func(a, b DrillLeft) int {
		return cmp.Or(strings.Compare(a.Drill, b.Drill), strings.Compare(a.Site, b.Site), a.Image.Compare(b.Image), strings.Compare(a.Snapshot, b.Snapshot))
	})
}

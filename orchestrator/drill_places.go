package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// The entries of a drill's ledger that tell where it brings images up: the plan may name
// other places by the time that somebody looks for what it has left.
const (
	// EntryPlaced comes before its first clone.
	EntryPlaced EntryKind = "placed"
	// EntryCleared says that none of its clones is there any more.
	EntryCleared EntryKind = "cleared"
)

// placedDrill is the body of both entries.
type placedDrill struct {
	Places []replay.Pool `json:"places,omitempty"`
	Until  time.Time     `json:"until,omitzero"` // the drill's expiry
}

// keptPlaced is of how many drills that were never cleared the places are kept.
const keptPlaced = 100

// recordPlaces records where the drill is about to bring images up.
func (d *drill) recordPlaces(ctx context.Context) error {
	body := placedDrill{Until: d.mark.until}
	for _, i := range all(d.units) {
		if !slices.Contains(body.Places, i.clone.Pool) {
			body.Places = append(body.Places, i.clone.Pool)
		}
	}
	if err := d.ledger.appendBody(ctx, Entry{Kind: EntryPlaced, Run: d.report.ID}, body); err != nil {
		return fmt.Errorf("record where clones will be: %w", err)
	}
	return nil
}

// cleared records that nothing of a drill is left where it has brought images up. Where
// that cannot be recorded, a sweep does.
func cleared(ctx context.Context, ledger *Book, run string) {
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime(ledger.plan))
	defer cancel()
	_ = ledger.appendBody(ctx, Entry{Kind: EntryCleared, Run: run}, placedDrill{})
}

// drillTrace is a drill that may have left clones.
type drillTrace struct {
	run string
	placedDrill
	over bool
	last time.Time // it is kept until then when it is over
	keys []string  // of its entries
}

// drillTraces are those of a ledger, and the keys of entries that need not be kept.
func drillTraces(entries []Entry, now time.Time) (open []drillTrace, outdated []string) {
	found, order := map[string]*drillTrace{}, []string{}
	for i := range entries {
		e := &entries[i]
		if e.Kind != EntryPlaced && e.Kind != EntryCleared {
			continue
		}
		var body placedDrill
		if json.Unmarshal(e.Body, &body) != nil {
			continue
		}
		t, known := found[e.Run]
		if !known {
			t = &drillTrace{run: e.Run}
			found[e.Run], order = t, append(order, e.Run)
		}
		t.keys = append(t.keys, e.Key)
		t.over = t.over || e.Kind == EntryCleared
		if e.Kind == EntryPlaced {
			t.placedDrill = body
		}
		for _, at := range []time.Time{e.At, body.Until} {
			if last := at.Add(owedFor); last.After(t.last) {
				t.last = last
			}
		}
	}
	for _, run := range order {
		// What is over is kept, too: a site that was away may bring half of it back.
		switch t := found[run]; {
		case !t.over:
			open = append(open, *t)
		case now.After(t.last):
			outdated = append(outdated, t.keys...)
		}
	}
	for len(open) > keptPlaced {
		outdated, open = append(outdated, open[0].keys...), open[1:]
	}
	return open, outdated
}

// placesOf are the places of the plan's drills and of those that may have left something.
func placesOf(plan *plans.Plan, traces []drillTrace) []replay.Pool {
	places := drillPlaces(plan)
	for i := range traces {
		for _, place := range traces[i].Places {
			if !slices.Contains(places, place) {
				places = append(places, place)
			}
		}
	}
	return places
}

// drillRecords are the places that are recorded and no drill of the plan has, and the groups
// that may be held back; none where that cannot be read.
func drillRecords(ctx context.Context, plan *plans.Plan, sites *Sites) ([]replay.Pool, []owedRelease) {
	ledger, err := openDrills(ctx, plan, sites)
	if err != nil {
		return nil, nil
	}
	traces, _ := drillTraces(ledger.Entries(), ledger.now())
	owed, _ := owedReleases(ledger.Entries(), ledger.now())
	_ = ledger.Close(ctx) // nothing was recorded
	return placesOf(plan, traces)[len(drillPlaces(plan)):], owed
}

// clear records of which drills nothing is left: their time is over, and a sweep has
// looked into all their places. Until then a call of a dead client may still make a clone.
func (s *DrillSweep) clear(ctx context.Context, ledger *Book, traces []drillTrace) {
	for i := range traces {
		t := &traces[i]
		left := slices.ContainsFunc(s.Left, func(l DrillLeft) bool {
			return l.Drill == t.run && l.Snapshot == "" && l.Group == "" && l.Folder == "" && !l.Removed
		})
		unseen := slices.ContainsFunc(s.Unseen, func(u DrillUnseen) bool {
			return u.Pool == "" || slices.ContainsFunc(t.Places, func(p replay.Pool) bool { return p.String() == u.Pool })
		})
		if ledger.now().After(t.Until) && !left && !unseen {
			cleared(ctx, ledger, t.run)
		}
	}
}

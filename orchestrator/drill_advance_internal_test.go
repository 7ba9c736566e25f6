package orchestrator

import (
	"strings"
	"testing"

	"github.com/drover-io/drover/replay"
)

// TestAdvance: replay has to move where the primary has written, and only there.
func TestAdvance(t *testing.T) {
	at := func(tag, entry uint64) []replay.Position { return []replay.Position{{Tag: tag, Entry: entry}} }
	journal := func(own, peer []replay.Position) *replay.Image {
		return &replay.Image{Mode: replay.ModeJournal, Journal: &replay.Journal{Clients: []replay.JournalClient{
			{Committed: own}, {ID: "b-uuid", Committed: peer},
		}}}
	}
	shots := func(ids ...uint64) *replay.Image {
		image := &replay.Image{Mode: replay.ModeSnapshot}
		for _, id := range ids {
			image.Snapshots = append(image.Snapshots, replay.Snapshot{ID: id, Mirror: &replay.MirrorSnapshot{PrimaryID: id, Complete: true}})
		}
		return image
	}
	was := &replayed{written: replayPoint{1, 10}, held: replayPoint{1, 8}}
	carried := &replayed{written: replayPoint{0, 10}, held: replayPoint{0, 10}}
	for name, c := range map[string]struct {
		was             *replayed
		primary, copied *replay.Image
		why             string
		idle            bool
	}{
		"advanced":             {was, journal(at(1, 14), at(1, 12)), &replay.Image{}, "", false},
		"in another tag":       {was, journal(at(2, 1), at(2, 0)), &replay.Image{}, "", false},
		"stands":               {was, journal(at(1, 14), at(1, 8)), &replay.Image{}, "not advanced", false},
		"nothing written":      {was, journal(at(1, 10), at(1, 8)), &replay.Image{}, "", true},
		"not registered":       {was, &replay.Image{Journal: &replay.Journal{}}, &replay.Image{}, "cannot be seen", false},
		"no copy":              {was, journal(at(1, 14), at(1, 12)), nil, "cannot be seen", false},
		"did not come up":      {nil, nil, nil, "", true},
		"snapshot advanced":    {carried, shots(10, 12), shots(10, 12), "", false},
		"snapshot stands":      {carried, shots(10, 12), shots(10), "not advanced", false},
		"no snapshot since":    {carried, shots(10), shots(10), "", true},
		"no snapshot is whole": {carried, shots(10, 12), shots(), "cannot be seen", false},
	} {
		s := &stand{evidence: replay.Evidence{Sites: []replay.SiteEvidence{
			{Site: "a", Image: c.primary}, {Site: "b", Image: c.copied, Pool: replay.PoolMirroring{UUID: "b-uuid"}},
		}}}
		i := &drillImage{was: c.was}
		why, idle := i.advance(s, "a", "b")
		if idle != c.idle || (c.why == "") != (why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, idle %v", name, why, idle)
		}
	}
}

package orchestrator

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/replay"
)

// diverge lets both sites write an image of their own: a three times, ten
// seconds apart, and b once; then a minute passes.
func (s *split) diverge(ref replay.ImageRef) {
	s.common(ref)
	s.promote(ref)
	for i := range 3 {
		time.Sleep(10 * time.Second)
		s.write("a", ref, uint64(i)*8192, "after-a")
	}
	time.Sleep(10 * time.Second)
	s.write("b", ref, 1<<20, "after-b")
	time.Sleep(time.Minute)
}

// common writes something that both sites come to hold.
func (s *split) common(ref replay.ImageRef) {
	time.Sleep(time.Minute)
	s.write("a", ref, 0, "common")
	if ref.Name == "snap" {
		_, err := s.world.Site("a").CreateMirrorSnapshot(s.t.Context(), ref)
		s.must(err)
	}
	time.Sleep(time.Minute)
}

func (s *split) lines(e *SplitEvidence, want string) {
	s.t.Helper()
	if got := strings.Join(e.Lines(), "\n"); got != strings.TrimSpace(want) {
		s.t.Errorf("got\n%s\nwant\n%s", got, strings.TrimSpace(want))
	}
}

func TestSplitEvidenceOfJournals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		ref := s.image("vm")
		s.diverge(ref)
		s.must(s.world.Attach("a", ref, replay.ImageUser{Client: "client.7", Address: "10.0.0.7:0/7", Locks: true}, true))
		e := s.evidence(ref, false)
		s.lines(e, `
rbd/vm: split-brain: a and b: both are primary
  last common point: b had replayed the journal of a to tag 1 entry 0
  a: primary since a time that is not known, 8.0 MiB, 0 snapshots
    wrote since: 3 journal entries, 321 bytes of journal; last at 2000-01-01 00:02:31 UTC (the journal of a after what b has committed of it)
    clients: client.7 at 10.0.0.7:0/7 (holds the lock)
  b: primary since 2000-01-01 00:02:01 UTC, 8.0 MiB, 0 snapshots
    wrote since: 1 journal entry, 107 bytes of journal; last at 2000-01-01 00:02:41 UTC (the journal of b since it was promoted)
    clients: none
  keep a: loses what b wrote at 2000-01-01 00:02:41 UTC: 1 journal entry, 107 bytes of journal
  keep b: loses what a wrote from 2000-01-01 00:02:11 UTC to 2000-01-01 00:02:31 UTC: 3 journal entries, 321 bytes of journal (at most 20s of writes)
`)
		if e.Recommended != "" || e.Choices[0].Nothing || *e.Choices[1].Entries != 3 || *e.Choices[1].Seconds != 20 {
			t.Errorf("%+v", e.Choices)
		}
		deep := s.evidence(ref, true)
		if len(deep.Heads) != 1 || deep.Heads[0].Bytes != 4*4096 || deep.Heads[0].Ranges != 4 || deep.Heads[0].Share != 4.0/2048 {
			t.Errorf("%+v", deep.Heads)
		}
		if deep.Hash != e.Hash || *deep.Choices[0].Differing != 4*4096 || len(deep.Sites[0].Writes.Extents) != 4 {
			t.Errorf("deep: %+v", deep.Choices)
		}
		if _, err := json.Marshal(deep); err != nil {
			t.Error(err)
		}
	})
}

func TestSplitEvidenceOfSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		ref := s.image("snap")
		s.diverge(ref)
		s.must(s.world.Site("a").Demote(t.Context(), ref))
		s.lines(s.evidence(ref, true), `
rbd/snap: split-brain: b and a: a was primary until mirror snapshot 3, which b never had
  last common point: mirror snapshot 2 of a, which b holds, taken 2000-01-01 00:01:01 UTC
  a: demoted since 2000-01-01 00:03:41 UTC, 8.0 MiB, 0 snapshots
    wrote since: an amount that is not known, now different in 4 places (16.0 KiB, 0.2 % of the image) (since mirror snapshot 2 of a, which b holds; mirror snapshots do not tell how much was written)
    clients: rbd-mirror at 127.0.0.1:0/1
  b: primary since 2000-01-01 00:02:01 UTC, 8.0 MiB, 0 snapshots
    wrote since: an amount that is not known, now different in 4 places (16.0 KiB, 0.2 % of the image) (since mirror snapshot 2 of a, which b holds; mirror snapshots do not tell how much was written)
    clients: none
  compared now: a and b differ in 4 places, 16.0 KiB, 0.2 % of the image
  keep a: loses what b wrote from 2000-01-01 00:02:01 UTC until now: at most 16.0 KiB in 4 places (at most 1m40s of writes)
  keep b: loses what a wrote from 2000-01-01 00:01:01 UTC to 2000-01-01 00:03:41 UTC: at most 16.0 KiB in 4 places (at most 2m40s of writes)
`)
	})
}

// A promotion alone loses nothing, and the evidence says so.
func TestSplitEvidenceWithoutWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		ref := s.image("vm")
		s.common(ref)
		s.promote(ref)
		time.Sleep(time.Second)
		e := s.evidence(ref, false)
		if e.State != replay.SplitBrain || !e.Choices[0].Nothing || !e.Choices[1].Nothing || e.Recommended != "" {
			t.Errorf("%s\n%+v", strings.Join(e.Lines(), "\n"), e.Choices)
		}
	})
}

func TestSplitEvidenceWithASiteAway(t *testing.T) {
	for name, lose := range map[string]func(s *split){
		"gone":   func(s *split) { s.world.Vanish("a") },
		"frozen": func(s *split) { s.world.Freeze("a") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSplit(t, splitPlan)
				ref := s.image("vm")
				s.diverge(ref)
				lose(s)
				sites := s.open()
				defer s.close(sites)
				began := time.Now()
				e, err := splitEvidence(t.Context(), s.plan, sites, ref, true)
				s.must(err)
				if took := time.Since(began); took > 2*answerTime(s.plan) {
					t.Errorf("took %v", took)
				}
				a, b := e.Sites[0], e.Sites[1]
				if e.State != replay.Unknown || a.Reachable || a.Fault == nil || !b.Reachable || *b.Writes.Entries != 1 {
					t.Errorf("%s", strings.Join(e.Lines(), "\n"))
				}
				if len(e.Choices) != 1 || e.Choices[0].Keep != "b" || e.Choices[0].Nothing || e.Choices[0].Bytes != nil {
					t.Errorf("%+v", e.Choices)
				}
				s.world.Vanish("b")
				s.world.Vanish("a")
				if _, err := splitEvidence(t.Context(), s.plan, sites, ref, false); !errors.Is(err, ErrUnreachable) {
					t.Errorf("no site: %v", err)
				}
			})
		})
	}
}

func TestStrandedEvidence(t *testing.T) {
	for _, name := range []string{"vm", "snap"} {
		for _, c := range []struct {
			what    string
			strand  func(s *split, ref replay.ImageRef)
			keep    string
			nothing map[string]bool
		}{
			{"in good order", func(s *split, ref replay.ImageRef) {
				s.must(s.world.Site("a").Demote(s.t.Context(), ref))
			}, "a", map[string]bool{"a": true, "b": true}},
			{"behind", func(s *split, ref replay.ImageRef) {
				s.world.StopDaemon("b")
				s.write("a", ref, 8192, "late")
				s.must(s.world.Site("a").Demote(s.t.Context(), ref))
			}, "a", map[string]bool{"a": true, "b": false}},
			{"both had been primary", func(s *split, ref replay.ImageRef) {
				s.diverge(ref)
				s.must(s.world.Site("a").Demote(s.t.Context(), ref))
				s.must(s.world.Site("b").Demote(s.t.Context(), ref))
			}, "", map[string]bool{"a": false, "b": false}},
			{"after a switchover", func(s *split, ref replay.ImageRef) {
				s.must(s.world.Site("a").Demote(s.t.Context(), ref))
				time.Sleep(10 * time.Second)
				s.must(s.world.Site("b").Promote(s.t.Context(), ref, false))
				time.Sleep(10 * time.Second)
				s.world.StopDaemon("a")
				s.write("b", ref, 8192, "late")
				s.must(s.world.Site("b").Demote(s.t.Context(), ref))
			}, "b", map[string]bool{"a": false, "b": true}},
		} {
			t.Run(name+" "+c.what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSplit(t, splitPlan)
					ref := s.image(name)
					s.common(ref)
					c.strand(s, ref)
					time.Sleep(10 * time.Second)
					e := s.evidence(ref, false)
					text := strings.Join(e.Lines(), "\n")
					want := replay.Stranded
					if c.keep == "" {
						want = replay.SplitBrain
					}
					if e.State != want || e.Recommended != c.keep {
						t.Errorf("%s, recommended %q\n%s", e.State, e.Recommended, text)
					}
					if c.keep != "" && e.Choices[0].Keep != c.keep {
						t.Errorf("first choice %s\n%s", e.Choices[0].Keep, text)
					}
					for _, choice := range e.Choices {
						if choice.Nothing != c.nothing[choice.Keep] {
							t.Errorf("keep %s loses nothing: %v\n%s", choice.Keep, choice.Nothing, text)
						}
					}
				})
			})
		}
	}
}

// The hash of a choice stands while the kept side is written, and falls when
// the other one is, or when anybody changes a role.
func TestEvidenceHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		ref := s.image("vm")
		s.diverge(ref)
		first := s.evidence(ref, false)
		time.Sleep(time.Hour)
		if again := s.evidence(ref, false); again.Hash != first.Hash || again.Choices[0].Hash != first.Choices[0].Hash {
			t.Error("the hash changes by looking")
		}
		if first.Choices[0].Hash == first.Choices[1].Hash || first.Choices[0].Hash == first.Hash || len(first.Hash) != 64 {
			t.Errorf("hashes %q %q %q", first.Hash, first.Choices[0].Hash, first.Choices[1].Hash)
		}
		s.write("a", ref, 0, "more")
		written := s.evidence(ref, false)
		if written.Choices[0].Hash != first.Choices[0].Hash || written.Choices[1].Hash == first.Choices[1].Hash || written.Hash == first.Hash {
			t.Error("what a wrote counts only where b is kept")
		}
		s.must(s.world.Site("a").Demote(t.Context(), ref))
		if demoted := s.evidence(ref, false); demoted.Choices[0].Hash == first.Choices[0].Hash {
			t.Error("the demotion of the kept side does not count")
		}
	})
}

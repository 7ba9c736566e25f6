package daemon

import (
	"slices"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
)

// answer is the person who chooses, after a while and when all else is well, the
// copy at a.
func (s *storm) answer() {
	if r := s.resync; r != nil {
		s.resynced(r)
		return
	}
	if !s.calm() {
		return
	}
	for _, m := range s.asked() {
		at, known := s.words[m.ID]
		if !known {
			at = time.Now().Add(s.between(10*time.Second, 20*time.Minute))
		}
		if s.words[m.ID] = at; time.Now().Before(at) {
			continue
		}
		s.words[m.ID] = time.Now().Add(2 * time.Minute)
		press := notify.Press{
			Plan: m.Plan, Channel: m.channel, IncidentID: m.ID, User: "U1", Action: notify.Choose,
			Kind: m.Asks.Kind, Subject: m.Asks.Subject, Option: "a", Evidence: m.Asks.Evidence, At: s.clock(),
		}
		for _, h := range s.hosts {
			if !h.acts(m.Plan) {
				continue
			}
			if _, err := h.now.d.press(press); err == nil {
				s.resync = &resyncing{since: time.Now()}
				for _, f := range s.troubles {
					if f.kind == "split" && f.to.IsZero() && slices.Contains(m.Worst, f.image.String()) {
						s.resync.ref = f.image
					}
				}
				return
			}
		}
	}
}

// asked are the newest messages of the incidents that ask.
func (s *storm) asked() []heard {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := map[string]heard{}
	var ids []string
	for _, m := range s.heard {
		if m.channel != "log" {
			continue
		}
		if _, known := newest[m.ID]; !known {
			ids = append(ids, m.ID)
		}
		newest[m.ID] = m
	}
	var out []heard
	for _, id := range ids {
		if m := newest[id]; m.Kind != alert.Resolved && m.Asks != nil {
			out = append(out, m)
		}
	}
	return out
}

// resynced looks whether the resync has come to its end.
func (s *storm) resynced(r *resyncing) {
	if time.Since(r.since) > 15*time.Minute {
		s.t.Fatalf("at %v: the resync of %s does not end", s.since(), r.ref)
	}
	if len(s.world.Primaries(r.ref)) != 1 {
		return
	}
	for _, f := range s.troubles {
		if f.kind == "split" && f.image == r.ref && f.to.IsZero() {
			f.to = time.Now()
		}
	}
	if time.Since(r.since) > 5*time.Minute {
		s.resync = nil
	}
}

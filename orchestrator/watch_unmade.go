package orchestrator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// unmadeNamed is up to how many copies are named that could not be compared.
const unmadeNamed = 20

// unmade is what a verification could not compare.
type unmade struct {
	Copies []unmadeCopy `json:"copies,omitempty"`
	More   int          `json:"more,omitempty"` // beside those
	Why    string       `json:"why"`            // of the first
	// Firm: another try has failed as well, though the image was well. What a site that
	// is away, a split-brain or a lag keeps from being compared is told of as that.
	Firm bool `json:"firm,omitempty"`
}

// unmadeCopy is one copy; without a site it is not known which has one.
type unmadeCopy struct {
	Image     replay.ImageRef `json:"image"`
	Secondary string          `json:"secondary,omitempty"`
}

// unmadeOf is what a verification that has ended could not compare; nil: it could all. The
// images that are well are named first: they are what is told of and tried again.
func unmadeOf(report *VerifyReport, err error, seen *StatusReport) *unmade {
	if err != nil {
		return &unmade{Why: oneLine(err.Error())}
	}
	var u unmade
	var lagging, rest []unmadeCopy
	well, replaying := wellCopies(seen), copiesIn(seen, replay.Replaying)
	for i := range report.Images {
		r := &report.Images[i]
		if r.Comparison != nil {
			continue
		}
		c := unmadeCopy{Image: r.Ref, Secondary: r.Secondary}
		if !well[c] {
			rest = append(rest, c)
			continue
		}
		if u.Why == "" {
			u.Why = r.Ref.String() + ": " + r.Error
		}
		if !replaying[c] {
			lagging = append(lagging, c)
			continue
		}
		u.Copies = append(u.Copies, c)
	}
	u.add(lagging)
	u.add(rest)
	for i := range report.Images {
		if r := &report.Images[i]; u.Why == "" && r.Comparison == nil {
			u.Why = r.Ref.String() + ": " + r.Error
		}
	}
	// A site that cannot be read is why for all of its images, also those that nobody
	// knows of.
	if len(report.Faults) > 0 {
		f := &report.Faults[0]
		u.Why = f.Site + ": " + f.What
		if f.Pool != "" {
			u.Why = "pool " + f.Pool + " at " + u.Why
		}
	}
	if u.Why == "" {
		return nil
	}
	u.Why = oneLine(u.Why)
	return &u
}

// add names more copies, as far as there is room, and counts the rest.
func (u *unmade) add(copies []unmadeCopy) {
	for _, c := range copies {
		if !slices.Contains(u.Copies, c) {
			u.Copies = append(u.Copies, c)
		}
	}
	if over := len(u.Copies) - unmadeNamed; over > 0 {
		u.Copies, u.More = u.Copies[:unmadeNamed:unmadeNamed], u.More+over
	}
}

// with adds what a retry has left aside.
func (u *unmade) with(more *unmade) *unmade {
	switch {
	case more == nil:
		return u
	case u == nil:
		return more
	}
	u.add(more.Copies)
	u.More = max(u.More, more.More)
	return u
}

// left is what of it was not compared since either, by whomever; nil: nothing. seen is what
// the last check saw, from which it is told of how many more; nil: that is not known.
func (u *unmade) left(p *proofs, since time.Time, seen *StatusReport) *unmade {
	if u == nil || len(u.Copies) == 0 {
		return u
	}
	out := &unmade{More: u.More, Why: u.Why, Firm: u.Firm}
	for _, c := range u.Copies {
		if !p.comparedSince(c.Image, c.Secondary, since) {
			out.Copies = append(out.Copies, c)
		}
	}
	if seen != nil && u.More > 0 {
		out.More = min(u.More, max(0, p.uncompared(seen, since)-len(out.Copies)))
	}
	if len(out.Copies)+out.More == 0 {
		return nil
	}
	return out
}

// uncompared is how many copies were not compared since.
func (p *proofs) uncompared(seen *StatusReport, since time.Time) (n int) {
	for i := range seen.Images {
		for k := range seen.Images[i].Copies {
			if !p.comparedSince(seen.Images[i].Ref, seen.Images[i].Copies[k].Site, since) {
				n++
			}
		}
	}
	return n
}

// well are the copies that can be compared, as a check saw them: they follow a primary
// that answers, and are in nobody's hands. With an image without a site it means any copy.
type well map[unmadeCopy]bool

func wellCopies(seen *StatusReport) well {
	return copiesIn(seen, replay.Replaying, replay.Lagging)
}

// copiesIn are those of the copies that are in one of some states.
func copiesIn(seen *StatusReport, states ...replay.State) well {
	out := well{}
	if seen == nil {
		return out
	}
	silent := func(site string) bool { return slices.Contains(seen.Summary.Silent, site) }
	for i := range seen.Images {
		image := &seen.Images[i]
		if image.Primary == "" || silent(image.Primary) || image.Halt != "" || image.Run != "" {
			continue
		}
		for k := range image.Copies {
			c := &image.Copies[k]
			if slices.Contains(states, c.State) && !silent(c.Site) {
				out[unmadeCopy{image.Ref, c.Site}], out[unmadeCopy{Image: image.Ref}] = true, true
			}
		}
	}
	return out
}

// anyWell reports whether something of it could be compared by now, as the last check
// saw it.
func (u *unmade) anyWell(seen *StatusReport) bool {
	well := wellCopies(seen)
	return len(u.Copies) == 0 || seen == nil || slices.ContainsFunc(u.Copies, func(c unmadeCopy) bool { return well[c] })
}

// again reports whether something that could not be compared before could not be this
// time either, though it was well, or was known for that. It was well where it was replaying
// as it should in all that was seen (nil: that is not known): what lags may take longer to
// bring a snapshot over than is waited for.
func (u *unmade) again(before *unmade, seen ...*StatusReport) bool {
	if before == nil {
		return false
	}
	if len(u.Copies) == 0 {
		return len(before.Copies) == 0 || before.Firm
	}
	var looks []well
	for _, s := range seen {
		if s != nil {
			looks = append(looks, copiesIn(s, replay.Replaying))
		}
	}
	return slices.ContainsFunc(u.Copies, func(c unmadeCopy) bool {
		known := slices.Contains(before.Copies, c) || before.More > 0
		return known && (before.Firm || !slices.ContainsFunc(looks, func(w well) bool { return !w[c] }))
	})
}

func (u *unmade) words() string {
	if len(u.Copies)+u.More == 0 {
		return "the last verification could not be made: " + u.Why
	}
	var names []string
	for _, c := range u.Copies {
		name := c.Image.String()
		if c.Secondary != "" {
			name += " at " + c.Secondary
		}
		names = append(names, name)
	}
	if u.More > 0 {
		names = append(names, fmt.Sprintf("%d more", u.More))
	}
	return "the last verification could not compare " + strings.Join(names, ", ") + ": " + u.Why
}

// comparedSince reports whether an image's copy at a site, or at any, was compared since.
func (p *proofs) comparedSince(ref replay.ImageRef, site string, since time.Time) bool {
	for key, v := range p.last {
		if key.ref == ref && (site == "" || slices.Contains(key.sites[:], site)) && !v.At.Before(since) {
			return true
		}
	}
	return false
}

// compared is when all copies of an image had been compared as they are now; zero: one
// never was, or was made anew since. That one differs is told, and is no reason to look
// at it before those of which nothing is known.
func (p *proofs) compared(t *verifyTarget) (oldest time.Time) {
	for i, secondary := range t.secondaries {
		v, some := p.last[proofKeyOf(t.ref, t.primary, secondary)]
		if !some || p.anew[t.ref].After(v.At) {
			return time.Time{}
		}
		if i == 0 || v.At.Before(oldest) {
			oldest = v.At
		}
	}
	return oldest
}

// uncompared are the targets that were not compared since, those first that have waited
// the longest: a verification that is cut short again and again comes to each.
func (t *tenure) uncompared(all []*verifyTarget, since time.Time) []*verifyTarget {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := map[*verifyTarget]time.Time{}
	var out []*verifyTarget
	for _, target := range all {
		if at[target] = t.proofs.compared(target); at[target].Before(since) {
			out = append(out, target)
		}
	}
	slices.SortStableFunc(out, func(a, b *verifyTarget) int { return at[a].Compare(at[b]) })
	return out
}

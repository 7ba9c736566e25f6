package orchestrator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// CopyProof is what the last comparison of a copy with its primary has shown.
type CopyProof struct {
	Result ProofResult `json:"result"`
	// At is the moment at which both were compared; nil without a result.
	At *time.Time `json:"at,omitempty"`
	// Identical is when they were last proven identical; nil: never.
	Identical *time.Time `json:"identical_at,omitempty"`
	// Stale: that is longer ago than two turns of the plan's schedule, or was before
	// the copy was made anew.
	Stale bool `json:"stale,omitempty"`
}

// ProofResult is the outcome of a copy's last comparison.
type ProofResult string

// The outcomes.
const (
	ProofIdentical ProofResult = "identical"
	ProofDiffers   ProofResult = "differs"
	ProofNever     ProofResult = "never"   // it was never compared
	ProofUnknown   ProofResult = "unknown" // what is recorded could not be read
)

// proofs are the last comparisons of all copies, by what is recorded. They hold for
// both directions: whichever of two sites is primary, the two were compared.
type proofs struct {
	last, identical map[proofKey]VerifiedCopy
	anew            map[replay.ImageRef]time.Time // when copies of an image were begun last
	whole           bool                          // all sites' records were read
}

// proofKey is an image at two sites, in order of name.
type proofKey struct {
	ref   replay.ImageRef
	sites [2]string
}

func proofKeyOf(ref replay.ImageRef, site, other string) proofKey {
	if site > other {
		site, other = other, site
	}
	return proofKey{ref, [2]string{site, other}}
}

func newProofs() *proofs {
	return &proofs{last: map[proofKey]VerifiedCopy{}, identical: map[proofKey]VerifiedCopy{}, anew: map[replay.ImageRef]time.Time{}}
}

// read takes in what is recorded, and answers with what is news, in order of time.
func (p *proofs) read(entries []Entry) (news []VerifiedCopy) {
	for i := range entries {
		switch entries[i].Kind {
		case EntryTransition:
			var c ProtectionChange
			if json.Unmarshal(entries[i].Body, &c) == nil {
				p.moved(&c)
			}
		case EntryVerified:
			var v VerifiedCopy
			if json.Unmarshal(entries[i].Body, &v) == nil && p.add(v) {
				news = append(news, v)
			}
		}
	}
	slices.SortStableFunc(news, func(a, b VerifiedCopy) int { return a.At.Compare(b.At) })
	return news
}

// add takes in a comparison, unless a later one of the same copy is known.
func (p *proofs) add(v VerifiedCopy) (news bool) {
	key := proofKeyOf(v.Image, v.Primary, v.Secondary)
	if was, some := p.last[key]; !some || v.At.After(was.At) {
		p.last[key], news = v, true
	}
	if was, some := p.identical[key]; v.Identical && (!some || v.At.After(was.At)) {
		p.identical[key], news = v, true
	}
	return news
}

// moved notes when an image's copy is made anew.
func (p *proofs) moved(c *ProtectionChange) {
	switch c.To {
	case replay.Syncing, replay.Resyncing, ResyncRequested, replay.Enabling, replay.SplitBrain:
		if c.At.After(p.anew[c.Image]) {
			p.anew[c.Image] = c.At
		}
	}
}

// of is the proof of a copy.
func (p *proofs) of(plan *plans.Plan, image *ImageStatus, site string, now time.Time) CopyProof {
	key := proofKeyOf(image.Ref, image.Primary, site)
	last, some := p.last[key]
	if !some && image.Primary == "" {
		// Nobody is primary, or nobody can see who: it was compared with somebody.
		for k, v := range p.last {
			if k.ref == image.Ref && slices.Contains(k.sites[:], site) && (!some || v.At.After(last.At)) {
				key, last, some = k, v, true
			}
		}
	}
	switch {
	case !some && !p.whole:
		return CopyProof{Result: ProofUnknown}
	case !some:
		return CopyProof{Result: ProofNever}
	}
	out := CopyProof{Result: ProofDiffers, At: &last.At}
	if last.Identical {
		out.Result = ProofIdentical
	}
	if v, ever := p.identical[key]; ever {
		out.Identical = &v.At
		out.Stale = p.anew[image.Ref].After(v.At) || cameTwice(plan, v.At, now)
	}
	return out
}

// cameTwice reports whether the plan's schedule has come around twice since.
func cameTwice(plan *plans.Plan, at, now time.Time) bool {
	if plan.Verification.Schedule == "" {
		return false
	}
	times, err := plans.CronSchedule(plan.Verification.Schedule, plan.Verification.TimeZone)
	if err != nil {
		return false // a plan with such a line is refused
	}
	return now.After(times.Next(times.Next(at)))
}

// tell fills in the proofs of all copies; nil proofs: nothing could be read.
func (p *proofs) tell(plan *plans.Plan, report *StatusReport) {
	if p == nil {
		p = &proofs{}
	}
	for i := range report.Images {
		image := &report.Images[i]
		for k := range image.Copies {
			proof := p.of(plan, image, image.Copies[k].Site, report.At)
			image.Copies[k].Compared = &proof
		}
	}
}

// readProofs reads what is recorded of comparisons; nil where no site's records can
// be read.
func readProofs(ctx context.Context, plan *plans.Plan, sites *Sites) *proofs {
	p := newProofs()
	book, err := openHistory(ctx, plan, sites)
	if err != nil {
		if !errors.Is(err, errNoPlace) {
			return nil
		}
		p.whole = true
		return p
	}
	p.read(book.Entries())
	p.whole = allRead(book)
	return p
}

// allRead reports whether a book was read at all sites that have a place for it.
func allRead(book *Book) bool {
	for _, err := range book.Faults() {
		if !errors.Is(err, replay.ErrNotFound) {
			return false
		}
	}
	return true
}

// RecordVerified records in the plan's history what a verification has found, so that
// status and daemon know of it.
func RecordVerified(ctx context.Context, plan *plans.Plan, sites *Sites, report *VerifyReport) (err error) {
	var entries []Entry
	for i := range report.Images {
		if report.Images[i].Comparison == nil {
			continue
		}
		_, e, err := verifiedEntry(sites.now(), &report.Images[i])
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil
	}
	book, err := openHistory(ctx, plan, sites)
	if err != nil {
		return err
	}
	defer func() { err = replay.OneLine(err, book.Close(ctx)) }()
	if err := book.Append(ctx, entries...); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// verifiedEntry is the entry of the outcome for one copy.
func verifiedEntry(now time.Time, r *VerifiedImage) (VerifiedCopy, Entry, error) {
	at := now.UTC()
	if r.Taken != nil {
		at = r.Taken.UTC()
	}
	v := VerifiedCopy{
		Image: r.Ref, Primary: r.Primary, Secondary: r.Secondary, At: at,
		Identical: r.Identical, Differing: r.Differing, Next: r.Next,
	}
	e, err := bodied(EntryVerified, now.UTC(), v)
	return v, e, err
}

// inOrder are the last comparisons, in order of image.
func (p *proofs) inOrder() []VerifiedCopy {
	out := make([]VerifiedCopy, 0, len(p.last))
	for _, v := range p.last {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b VerifiedCopy) int {
		return cmp.Or(a.Image.Compare(b.Image), cmp.Compare(a.Secondary, b.Secondary), cmp.Compare(a.Primary, b.Primary))
	})
	return out
}

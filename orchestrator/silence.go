package orchestrator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

// longestSilence is how long a silence may last: one that outlives the work that
// it is for hides the next fault.
const longestSilence = 31 * 24 * time.Hour

// Silence records that nobody shall be told of some signals for a while, and
// answers with the silence. One without a reason, or that lasts longer than a
// month, is refused ([ErrRefused]).
func (b *Book) Silence(ctx context.Context, s alert.Silence) (alert.Silence, error) {
	if s.From.IsZero() {
		s.From = b.now().UTC()
	}
	_, pattern := path.Match(s.Match.Image, "")
	switch {
	case strings.TrimSpace(s.Reason) == "":
		return s, refusal("say why", "a silence is for a reason")
	case !s.Until.After(s.From):
		return s, refusal("say until when", "a silence that ends before it begins")
	case s.Until.Sub(s.From) > longestSilence:
		return s, refusal("give it a month at most", "a silence of %s hides the next fault too", s.Until.Sub(s.From).Round(time.Hour))
	case pattern != nil:
		return s, refusal("write * for any text and ? for any character", "%q is no pattern", s.Match.Image)
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand
	s.ID, s.By = "silence-"+hex.EncodeToString(id[:]), b.by
	s.From, s.Until = s.From.Truncate(time.Second), s.Until.Truncate(time.Second)
	return s, b.appendBody(ctx, Entry{Kind: EntrySilence}, s)
}

// expiry is how the end of a silence before its time is recorded.
type expiry struct {
	ID string `json:"id"`
}

// ExpireSilence ends a silence now. One that is over is no error; an unknown one
// is refused ([ErrRefused]).
func (b *Book) ExpireSilence(ctx context.Context, id string) error {
	silences, over := b.silences()
	if over[id] {
		return nil
	}
	if !slices.ContainsFunc(silences, func(s alert.Silence) bool { return s.ID == id }) {
		return refusal("drover silence list FILE shows them", "no silence is called %q", id)
	}
	return b.appendBody(ctx, Entry{Kind: EntryExpire}, expiry{id})
}

// Silences are those that are not over at a time, those to come included, in the
// order in which they were made.
func (b *Book) Silences(now time.Time) []alert.Silence {
	silences, over := b.silences()
	return slices.DeleteFunc(silences, func(s alert.Silence) bool { return over[s.ID] || !now.Before(s.Until) })
}

// silences are all that were made, and which of them were ended before their
// time.
func (b *Book) silences() (all []alert.Silence, over map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	over = map[string]bool{}
	for _, e := range b.standing[EntryExpire] {
		var x expiry
		if json.Unmarshal(e.Body, &x) == nil {
			over[x.ID] = true
		}
	}
	for _, e := range b.standing[EntrySilence] {
		var s alert.Silence
		if json.Unmarshal(e.Body, &s) == nil {
			all = append(all, s)
		}
	}
	return all, over
}

package orchestrator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Halt is a stop of all changes to images, until a person clears it. It covers
// every image of the groups that its images belong to.
type Halt struct {
	ID       string            `json:"id"`
	Images   []replay.ImageRef `json:"images"`
	Group    string            `json:"group,omitempty"`
	Reason   string            `json:"reason"`
	Evidence json.RawMessage   `json:"evidence,omitempty"`
	By       string            `json:"by,omitempty"`
	At       time.Time         `json:"at"`
	Run      string            `json:"run,omitempty"`
	// Paused are the schedules that its images had of their own, and that its end
	// puts back; GoesOn are those of pools, which it cannot pause. See [SetHalt].
	Paused []PausedSchedule `json:"paused,omitempty"`
	GoesOn []PausedSchedule `json:"goes_on,omitempty"`

	// Split is what [HaltSplit] has gathered as evidence, for people.
	Split *SplitEvidence `json:"-"`
}

// haltClear is the body of the entry that clears a halt.
type haltClear struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	// See [Cleared].
	Deferred []deferral       `json:"deferred,omitempty"`
	Missing  []PausedSchedule `json:"missing,omitempty"`
}

// haltView is what the entries say of halts. It holds for as many entries as it
// was made from.
type haltView struct {
	halts, clears int // entries
	open          []Halt
	cleared       map[string]bool // by id
	deferred      []deferral      // by all clears
	byImage       map[replay.ImageRef]*Halt
	byGroup       map[string]*Halt
	all           *Halt // a halt that cannot be read; it covers all images
}

// haltsNow brings the view up to date. b.mu is held.
func (b *Book) haltsNow() *haltView {
	halts, clears := b.standing[EntryHalt], b.standing[EntryClear]
	if v := &b.halts; v.cleared != nil && v.halts == len(halts) && v.clears == len(clears) {
		return v
	}
	v := haltView{
		halts: len(halts), clears: len(clears), cleared: map[string]bool{},
		byImage: map[replay.ImageRef]*Halt{}, byGroup: map[string]*Halt{},
	}
	for _, e := range clears {
		var c haltClear
		if json.Unmarshal(e.Body, &c) == nil {
			v.cleared[c.ID] = true
			v.deferred = append(v.deferred, c.Deferred...)
		}
	}
	var unread []string
	for _, e := range halts {
		h, err := readHalt(e)
		if v.cleared[h.ID] {
			continue
		}
		if i := slices.IndexFunc(v.open, func(o Halt) bool { return o.ID == h.ID }); i >= 0 {
			v.open[i].add(&h)
			continue
		}
		v.open = append(v.open, h)
		if err != nil {
			unread = append(unread, h.ID)
		}
	}
	for i := range v.open {
		h := &v.open[i]
		if v.all == nil && slices.Contains(unread, h.ID) {
			v.all = h
		}
		for _, ref := range h.Images {
			claimHalt(v.byImage, ref, h)
		}
		for _, group := range h.groups(b.plan) {
			claimHalt(v.byGroup, group, h)
		}
	}
	b.halts = v
	return &b.halts
}

// add takes into a halt what a further entry of the same halt tells.
func (h *Halt) add(more *Halt) {
	if len(h.Evidence) == 0 {
		h.Evidence = more.Evidence
	}
	h.Paused = append(h.Paused, without(more.Paused, h.Paused)...)
	h.GoesOn = append(h.GoesOn, without(more.GoesOn, h.GoesOn)...)
}

// without are the schedules that are not among others.
func without(all, others []PausedSchedule) []PausedSchedule {
	return slices.DeleteFunc(slices.Clone(all), func(s PausedSchedule) bool { return slices.Contains(others, s) })
}

// supplement records schedules that were found after a halt was recorded, as a
// further entry of the same halt; where all of them are in it already, nothing.
func (b *Book) supplement(ctx context.Context, h Halt, paused, goesOn []PausedSchedule) error {
	paused, goesOn = without(paused, h.Paused), without(goesOn, h.GoesOn)
	if len(paused)+len(goesOn) == 0 {
		return nil
	}
	h.Paused, h.GoesOn, h.Evidence = paused, goesOn, nil
	return b.appendBody(ctx, Entry{Kind: EntryHalt, At: b.now().UTC(), By: b.by, Run: h.Run}, h)
}

// testify records the evidence of a halt that was recorded without, as a further
// entry of it.
func (b *Book) testify(ctx context.Context, h Halt) error {
	h.Paused, h.GoesOn = nil, nil
	return b.appendBody(ctx, Entry{Kind: EntryHalt, At: b.now().UTC(), By: b.by, Run: h.Run}, h)
}

// keeps is why nothing is done to an image that the halt covers ([ErrHalted]).
func (h *Halt) keeps(ref replay.ImageRef) error {
	return &Hinted{Err: fmt.Errorf("%w: %s: %s", ErrHalted, ref, h.Reason), Hint: "drover halt list FILE"}
}

// claimHalt notes the first halt that covers something.
func claimHalt[K comparable](of map[K]*Halt, key K, h *Halt) {
	if of[key] == nil {
		of[key] = h
	}
}

// readHalt reads a halt. One that cannot be read still is one: its id is the
// entry's key.
func readHalt(e Entry) (Halt, error) {
	var h Halt
	err := json.Unmarshal(e.Body, &h)
	if err == nil && h.ID == "" {
		err = fmt.Errorf("the halt of entry %s has no id", e.Key)
	}
	if err != nil {
		h = Halt{ID: e.Key, Reason: fmt.Sprintf("a halt that cannot be read (%v); it covers all images", err)}
	}
	h.By, h.At, h.Run = e.By, e.At, e.Run
	return h, err
}

// groups are the groups that a halt covers.
func (h *Halt) groups(plan *plans.Plan) []string {
	var groups []string
	if h.Group != "" {
		groups = append(groups, h.Group)
	}
	for _, ref := range h.Images {
		if g := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); g != nil && !slices.Contains(groups, g.Name) {
			groups = append(groups, g.Name)
		}
	}
	return groups
}

// Halts lists the halts that nobody has cleared, the oldest first.
func (b *Book) Halts() []Halt {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.haltsNow().open)
}

// Halted returns the oldest halt that covers an image, by itself or by its
// group; nil when there is none.
func (b *Book) Halted(ref replay.ImageRef) *Halt {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.haltsNow()
	found := v.all
	consider := func(h *Halt) {
		if h != nil && (found == nil || h.At.Before(found.At)) {
			found = h
		}
	}
	consider(v.byImage[ref])
	if len(v.byGroup) > 0 {
		if g := b.plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); g != nil {
			consider(v.byGroup[g.Name])
		}
	}
	if found == nil {
		return nil
	}
	h := *found
	return &h
}

// Halt records a halt, and gives it an id where it has none. Where an open halt
// names all of its images and its group already, it does nothing.
func (b *Book) Halt(ctx context.Context, h Halt) error {
	if len(h.Images) == 0 && h.Group == "" {
		return refusal("name an image or a group", "a halt of nothing")
	}
	for _, open := range b.Halts() {
		if open.names(h) {
			return nil
		}
	}
	if h.ID == "" {
		var id [4]byte
		_, _ = rand.Read(id[:]) // never fails: crypto/rand
		h.ID = "halt-" + hex.EncodeToString(id[:])
	}
	if h.At.IsZero() {
		h.At = b.now().UTC()
	}
	if h.By == "" {
		h.By = b.by
	}
	return b.appendBody(ctx, Entry{Kind: EntryHalt, At: h.At, By: h.By, Run: h.Run}, h)
}

// names reports whether a halt names all that another does.
func (h *Halt) names(other Halt) bool {
	if h.Group != other.Group {
		return false
	}
	named := make(map[replay.ImageRef]bool, len(h.Images))
	for _, ref := range h.Images {
		named[ref] = true
	}
	return !slices.ContainsFunc(other.Images, func(ref replay.ImageRef) bool { return !named[ref] })
}

// ClearHalt clears a halt, for a reason that is recorded. One that is cleared
// already is no error; an unknown one is refused ([ErrRefused]), with a list of
// those that are open. What the halt has paused is left so: see [EndHalt].
func (b *Book) ClearHalt(ctx context.Context, id, reason string) error {
	if err := b.clearable(id, reason); err != nil {
		return err
	}
	return b.clearHalt(ctx, haltClear{ID: id, Reason: reason})
}

// clearHalt records the end of a halt, unless it is recorded.
func (b *Book) clearHalt(ctx context.Context, c haltClear) error {
	b.mu.Lock()
	cleared := b.haltsNow().cleared[c.ID]
	b.mu.Unlock()
	if cleared {
		return nil
	}
	return b.appendBody(ctx, Entry{Kind: EntryClear}, c)
}

// clearable is nil for a halt that is open, or was.
func (b *Book) clearable(id, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return refusal("say why it may be cleared", "a halt is cleared for a reason")
	}
	b.mu.Lock()
	v := b.haltsNow()
	cleared := v.cleared[id]
	var known []string
	for i := range v.open {
		known = append(known, v.open[i].ID)
	}
	b.mu.Unlock()
	switch {
	case cleared, slices.Contains(known, id):
		return nil
	case len(known) == 0:
		return refusal("there is nothing to clear", "no halt %q: none is open", id)
	}
	return refusal("name one of these: "+strings.Join(known, ", "), "no halt %q", id)
}

// appendBody appends an entry with a body.
func (b *Book) appendBody(ctx context.Context, e Entry, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("record a %s: %w", e.Kind, err)
	}
	e.Body = raw
	return b.Append(ctx, e)
}

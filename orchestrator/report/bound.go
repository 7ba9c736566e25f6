package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrTooLarge says that a report does not fit even without all that may be left out.
var ErrTooLarge = errors.New("the report is too large")

// How much is kept of a text when room is short, in bytes.
const (
	goodTail  = 512 // of an output, before anything else is left out
	shortText = 240
	tinyText  = 60
)

// Bound gives a report of which [Encode] makes at most limit bytes: itself where it
// fits, or a copy that leaves out no more than it must, and says in its notes what.
// First the longest outputs lose their beginnings, then good steps their notes, then
// what went well is put together by name, then texts are cut. The verdict, the
// objectives, what was achieved, and the name of each check that did not pass stay
// whatever the limit; ErrTooLarge where these alone are too much.
func Bound(r *Report, limit int) (*Report, error) {
	b := &binding{from: r, limit: limit}
	b.r = *complete(r)
	b.r.Images, b.r.Checks, b.r.Steps = slices.Clone(b.r.Images), slices.Clone(b.r.Checks), slices.Clone(b.r.Steps)
	b.r.Left, b.r.Notes = slices.Clone(r.Left), slices.Clone(r.Notes)
	for _, leaveOut := range b.ways() {
		fits, err := b.fits()
		if err != nil {
			return nil, err
		}
		if fits {
			break
		}
		b.said = append(b.said, "")
		leaveOut()
		if last := len(b.said) - 1; b.said[last] == "" {
			b.said = b.said[:last]
		}
	}
	fits, err := b.fits()
	switch {
	case err != nil:
		return nil, err
	case !fits:
		return nil, fmt.Errorf("%w: report %s does not fit into %d bytes, though all was left out but its verdict and the checks that did not pass",
			ErrTooLarge, r.ID, limit)
	case len(b.said) == 0:
		return r, nil
	}
	return b.told(), nil
}

// binding is a report that is being made to fit.
type binding struct {
	from  *Report
	r     Report
	limit int
	said  []string // what was left out, one a way
}

// ways are what can be left out, in the order in which it is missed least.
func (b *binding) ways() []func() {
	return []func(){
		func() { b.outputs(goodTail, nil) },
		b.goodNotes,
		b.goodSteps,
		func() { b.outputs(0, func(c *Check) bool { return c.Verdict == Passed }) },
		b.goodChecks,
		b.goodImages,
		func() { b.dropImages(func(i *Image) bool { return i.Verdict == Passed && i.Lost == "" }) },
		func() { b.outputs(0, nil) },
		func() { b.cutTexts(shortText) },
		b.badSteps,
		b.badChecks,
		func() { b.cutTexts(tinyText) },
		func() { b.dropImages(func(*Image) bool { return true }) },
		b.groups,
		b.notes,
		b.left,
		b.rest,
	}
}

// sayf replaces what is said of the way that is being gone.
func (b *binding) sayf(format string, args ...any) {
	b.said[len(b.said)-1] = "To save room, " + fmt.Sprintf(format, args...) + "."
}

// told is the report with what was left out among its notes.
func (b *binding) told() *Report {
	r := b.r
	r.Notes = append(slices.Clone(b.r.Notes), b.said...)
	return &r
}

func (b *binding) fits() (bool, error) {
	data, err := Encode(b.told())
	return err == nil && len(data) <= b.limit, err
}

// most sets the largest n from least on with which the report fits, or least.
func (b *binding) most(least, largest int, set func(n int)) {
	for least < largest {
		n := least + (largest-least+1)/2
		set(n)
		if fits, err := b.fits(); fits && err == nil {
			least = n
		} else {
			largest = n - 1
		}
	}
	set(least)
}

// outputs cuts the longest outputs to one length, of all checks or of some.
func (b *binding) outputs(least int, of func(*Check) bool) {
	whole := make([]string, len(b.r.Checks))
	longest := least
	for i := range b.r.Checks {
		if c := &b.r.Checks[i]; of == nil || of(c) {
			whole[i] = c.Output
			longest = max(longest, len(c.Output))
		}
	}
	if longest == least {
		return
	}
	b.most(least, longest, func(n int) {
		cut := 0
		for i := range whole {
			if len(whole[i]) > n {
				b.r.Checks[i].Output = lastBytes(whole[i], n)
				cut++
			} else if whole[i] != "" {
				b.r.Checks[i].Output = whole[i]
			}
		}
		if n == 0 {
			b.sayf("the output of %s is left out", many(cut, "check"))
			return
		}
		b.sayf("the output of %s is cut to its last %d bytes", many(cut, "check"), n)
	})
}

// lastBytes is the end of a text, at most so many bytes, in whole characters.
func lastBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	for text != "" && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}

// firstBytes is its beginning, with a mark where it is cut.
func firstBytes(text string, limit int) string {
	const mark = "…"
	if len(text) <= limit {
		return text
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

func (b *binding) goodNotes() {
	n := 0
	for i := range b.r.Steps {
		if s := &b.r.Steps[i]; s.OK && s.Note != "" {
			s.Note = ""
			n++
		}
	}
	if n > 0 {
		b.sayf("the notes of %s that went well are left out", many(n, "step"))
	}
}

func (b *binding) goodSteps() { b.foldSteps(true, "that went well") }

func (b *binding) badSteps() { b.foldSteps(false, "that failed") }

// foldSteps makes one of the steps with the same name at the same site.
func (b *binding) foldSteps(ok bool, which string) {
	type key struct{ name, site string }
	steps, n := folded(b.r.Steps, func(s *Step) (any, bool) {
		return key{s.Name, s.Site}, s.OK == ok
	}, func(into, s *Step) {
		into.Count = into.count() + s.count()
		into.Of = ofMany(into.Of, ok)
		into.Began, into.Seconds = joined(into.Began, into.Seconds, s.Began, s.Seconds)
	})
	if b.r.Steps = steps; n > 0 {
		b.sayf("%s %s are put together by name and site", many(n, "step"), which)
	}
}

func (b *binding) goodChecks() {
	b.foldChecks(func(v Verdict) bool { return v == Passed }, "that passed")
}

func (b *binding) badChecks() {
	b.foldChecks(func(v Verdict) bool { return v != Passed }, "that did not pass")
}

// foldChecks makes one of the checks with the same name and verdict. The first of
// those that did not pass lends its reason.
func (b *binding) foldChecks(which func(Verdict) bool, words string) {
	type key struct {
		name, how, per string
		verdict        Verdict
	}
	checks, n := folded(b.r.Checks, func(c *Check) (any, bool) {
		return key{c.Name, c.How, c.Per, c.Verdict}, which(c.Verdict)
	}, func(into, c *Check) {
		into.Count = into.count() + c.count()
		into.Of = ofMany(into.Of, into.Verdict == Passed)
		into.Began, into.Seconds = joined(into.Began, into.Seconds, c.Began, c.Seconds)
	})
	if b.r.Checks = checks; n > 0 {
		b.sayf("%s %s are put together by name", many(n, "check"), words)
	}
}

// ofMany is of what many are that are put together: what went well is of nothing in
// particular; of the others the first is still told.
func ofMany(first string, good bool) string {
	const andMore = " and more"
	if good {
		return ""
	}
	return strings.TrimSuffix(first, andMore) + andMore
}

// folded is a list in which those of one key are one, and how many went into such.
func folded[T any](all []T, keyOf func(*T) (any, bool), join func(into, one *T)) ([]T, int) {
	at := make(map[any]int)
	var kept []T
	n := 0
	alone := make(map[int]bool)
	for i := range all {
		key, fold := keyOf(&all[i])
		j, known := at[key]
		if !fold || !known {
			if fold {
				at[key] = len(kept)
				alone[len(kept)] = true
			}
			kept = append(kept, all[i])
			continue
		}
		if alone[j] {
			alone[j] = false
			n++
		}
		join(&kept[j], &all[i])
		n++
	}
	return some(kept), n
}

// joined is from the first beginning to the last end of two.
func joined(began time.Time, seconds float64, other time.Time, otherSeconds float64) (time.Time, float64) {
	if began.IsZero() {
		return other, otherSeconds
	}
	if other.IsZero() {
		return began, seconds
	}
	first := began
	if other.Before(first) {
		first = other
	}
	end := max(began.Sub(first).Seconds()+length(seconds), other.Sub(first).Seconds()+length(otherSeconds))
	return first, end
}

// goodImages keeps of images that passed what a list shows.
func (b *binding) goodImages() {
	n := 0
	for i := range b.r.Images {
		image := &b.r.Images[i]
		if image.Verdict != Passed {
			continue
		}
		b.r.Images[i] = Image{Image: image.Image, Verdict: Passed, RPOSeconds: image.RPOSeconds, Lost: image.Lost}
		n++
	}
	if n > 0 {
		b.sayf("the details of %s that passed are left out", many(n, "image"))
	}
}

// dropImages leaves images out, as many as it must, the last of them first.
func (b *binding) dropImages(which func(*Image) bool) {
	all, already := b.r.Images, b.r.MoreImages
	can := 0
	for i := range all {
		if which(&all[i]) {
			can++
		}
	}
	if can == 0 {
		return
	}
	b.most(0, can, func(n int) {
		b.r.Images, b.r.MoreImages = []Image{}, already
		seen := 0
		for i := range all {
			if which(&all[i]) {
				if seen++; seen > n {
					b.r.MoreImages.add(all[i].Verdict, 1)
					continue
				}
			}
			b.r.Images = append(b.r.Images, all[i])
		}
		b.sayf("%s are not listed", many(can-n, "image"))
	})
}

// cutTexts cuts what explains, and what a name says beside the check's own.
func (b *binding) cutTexts(limit int) {
	cut := 0
	shorten := func(text *string) {
		if len(*text) > limit {
			*text = firstBytes(*text, limit)
			cut++
		}
	}
	shorten(&b.r.Why)
	shorten(&b.r.Reason)
	for i := range b.r.Images {
		shorten(&b.r.Images[i].Why)
		shorten(&b.r.Images[i].Lost)
	}
	for i := range b.r.Checks {
		shorten(&b.r.Checks[i].Why)
		shorten(&b.r.Checks[i].How)
		shorten(&b.r.Checks[i].Of)
	}
	for i := range b.r.Steps {
		shorten(&b.r.Steps[i].Note)
	}
	if cut > 0 {
		b.sayf("%s are cut to %d bytes", many(cut, "text"), limit)
	}
}

func (b *binding) groups() {
	all := b.r.Groups
	if len(all) == 0 {
		return
	}
	b.most(0, len(all), func(n int) {
		b.r.Groups = all[:n:n]
		b.sayf("%s are not listed", many(len(all)-n, "group"))
	})
}

func (b *binding) notes() {
	all := b.r.Notes
	if len(all) == 0 {
		return
	}
	b.most(0, len(all), func(n int) {
		b.r.Notes = all[:n:n]
		b.sayf("%s are left out", many(len(all)-n, "other note"))
	})
}

func (b *binding) left() {
	all := b.r.Left
	if len(all) == 0 {
		return
	}
	b.most(0, len(all)-1, func(n int) {
		b.r.Left = append(slices.Clone(all[:n]), fmt.Sprintf("%d more, not listed to save room", len(all)-n))
		b.sayf("%s that could not be cleaned up are not listed", many(len(all)-n, "thing"))
	})
}

// rest is all that remains besides the verdict and the checks.
func (b *binding) rest() {
	b.r.Steps, b.r.Versions, b.r.Why, b.r.Reason = []Step{}, map[string]string{}, firstBytes(b.r.Why, tinyText), ""
	for i := range b.r.Checks {
		b.r.Checks[i].Why = ""
	}
	b.said = []string{""}
	b.sayf("only the verdict and the checks that did not pass are kept")
}

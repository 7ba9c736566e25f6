package view

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// LossSummary adds up what a failover gives up.
type LossSummary struct {
	// Images that would lose something, as far as is known.
	Images int `json:"images"`
	// Unknown: images of which it is not known.
	Unknown int   `json:"unknown"`
	Entries int64 `json:"entries"` // known to be lost
	Bytes   int64 `json:"bytes"`
	// Seconds is the longest known.
	Seconds float64 `json:"seconds"`
}

// imageLoss is what one image loses.
type imageLoss struct {
	ref  string
	loss *orchestrator.Loss
}

// unknown: nothing bounds what is lost.
func (l imageLoss) unknown() bool {
	return l.loss.Entries == nil && l.loss.Bytes == nil && l.loss.Seconds == nil
}

// none: it is known that nothing is lost.
func (l imageLoss) none() bool {
	return !l.unknown() && value(l.loss.Entries) == 0 && value(l.loss.Bytes) == 0 && value(l.loss.Seconds) == 0
}

func value[N int64 | float64](n *N) N {
	if n == nil {
		return 0
	}
	return *n
}

// lossesOf are the losses of a run's images, the worst first: not known at all,
// then by time, size and number of writes.
func lossesOf(run *orchestrator.Run) []imageLoss {
	var out []imageLoss
	for i := range run.Units {
		for _, image := range run.Units[i].Images {
			if image.Loss != nil {
				out = append(out, imageLoss{image.Ref.String(), image.Loss})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b imageLoss) int {
		if a.unknown() != b.unknown() {
			if a.unknown() {
				return -1
			}
			return 1
		}
		return cmp.Or(
			cmp.Compare(value(b.loss.Seconds), value(a.loss.Seconds)),
			cmp.Compare(value(b.loss.Bytes), value(a.loss.Bytes)),
			cmp.Compare(value(b.loss.Entries), value(a.loss.Entries)),
		)
	})
	return out
}

func sumLosses(losses []imageLoss) *LossSummary {
	var s LossSummary
	for _, l := range losses {
		switch {
		case l.unknown():
			s.Unknown++
		case !l.none():
			s.Images++
		}
		s.Entries += value(l.loss.Entries)
		s.Bytes += value(l.loss.Bytes)
		s.Seconds = max(s.Seconds, value(l.loss.Seconds))
	}
	return &s
}

// losses lists what would be lost, the worst first.
func (v *Prepared) losses(w io.Writer, p Palette) error {
	all := lossesOf(&v.Run)
	if len(all) == 0 {
		return nil
	}
	bad := slices.DeleteFunc(slices.Clone(all), imageLoss.none)
	if len(bad) == 0 {
		return putf(w, "%s\n\n", p.Good("Nothing that was written before this look would be lost."))
	}
	s := v.Summary.Loss
	if err := putf(w, "%s\n", p.Bad(s.text())); err != nil {
		return err
	}
	g := grid{header: []string{"image", "writes", "bytes", "time", "known from"}, right: map[int]bool{1: true, 2: true, 3: true}}
	for i, l := range bad {
		if i == manyRows {
			break
		}
		g.rows = append(g.rows, []string{l.ref, entries(l.loss), bytesLost(l.loss), timeLost(l.loss), oneLine(l.loss.Why)})
	}
	if err := g.write(w, p); err != nil {
		return err
	}
	if more := len(bad) - manyRows; more > 0 {
		if err := putf(w, "and %d more; -o json has all\n", more); err != nil {
			return err
		}
	}
	if fine := len(all) - len(bad); fine > 0 {
		if err := putf(w, "%s would lose nothing.\n", Count(fine, "other image")); err != nil {
			return err
		}
	}
	return put(w, "\n")
}

// text is the sum in one line.
func (s *LossSummary) text() string {
	if s.Images == 0 {
		return fmt.Sprintf("What would be lost is not known, of %s.", Count(s.Unknown, "image"))
	}
	text := fmt.Sprintf("Would be lost: %s, %s", Count(int(s.Entries), "write"), Bytes(s.Bytes))
	if s.Seconds > 0 {
		text += ", up to " + seconds(s.Seconds)
	}
	text += fmt.Sprintf(", of %s", Count(s.Images, "image"))
	if s.Unknown > 0 {
		text += fmt.Sprintf("; of %s more it is not known", Count(s.Unknown, "image"))
	}
	return text + "."
}

const unknown = "unknown"

func entries(l *orchestrator.Loss) string {
	if l.Entries == nil {
		return unknown
	}
	return fmt.Sprint(*l.Entries)
}

func bytesLost(l *orchestrator.Loss) string {
	if l.Bytes == nil {
		return unknown
	}
	return Bytes(*l.Bytes)
}

func timeLost(l *orchestrator.Loss) string {
	if l.Seconds == nil {
		return unknown
	}
	return seconds(*l.Seconds)
}

func seconds(s float64) string { return Span(time.Duration(s * float64(time.Second))) }

// lossText is a loss in one line.
func lossText(l *orchestrator.Loss) string {
	if l == nil {
		return "nothing"
	}
	one := imageLoss{loss: l}
	switch {
	case one.unknown():
		return unknown
	case one.none():
		return "nothing"
	}
	var parts []string
	if l.Entries != nil {
		parts = append(parts, Count(int(*l.Entries), "write"))
	}
	if l.Bytes != nil {
		parts = append(parts, Bytes(*l.Bytes))
	}
	if l.Seconds != nil {
		parts = append(parts, seconds(*l.Seconds))
	}
	return strings.Join(parts, ", ")
}

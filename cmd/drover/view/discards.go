package view

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/drover-io/drover/orchestrator"
)

// DiscardSummary adds up what a run discarded or gave up.
type DiscardSummary struct {
	// What only the discarded copies held; see [LossSummary].
	LossSummary
	Copies    int    `json:"copies"` // that were discarded or given up
	Kept      int    `json:"kept"`   // of them, those of which a copy is kept
	KeptBytes uint64 `json:"kept_bytes"`
	// Later: copies of which it is known what they held when they were looked at,
	// but not what was written there afterwards.
	Later int `json:"later_unknown,omitempty"`
}

func sumDiscards(all []orchestrator.Discard) *DiscardSummary {
	if len(all) == 0 {
		return nil
	}
	s := &DiscardSummary{Copies: len(all)}
	losses := make([]imageLoss, len(all))
	for i := range all {
		losses[i] = heldBy(&all[i])
		if all[i].LaterUnknown() && !losses[i].unknown() {
			s.Later++
		}
		if k := all[i].Kept; k != nil {
			s.Kept++
			s.KeptBytes += k.Bytes
		}
	}
	s.LossSummary = *sumLosses(losses)
	return s
}

// heldBy is what only a discarded copy held.
func heldBy(d *orchestrator.Discard) imageLoss {
	if d.Held == nil {
		return imageLoss{d.Image.String(), &orchestrator.Loss{}}
	}
	return imageLoss{d.Image.String(), d.Held}
}

// discardHeader are the columns of what was discarded.
var discardHeader = []string{"image", "copy at", "is", "only there: writes", "bytes", "time", "differed", "kept in", "until"}

// discardRow is one of them.
func discardRow(d *orchestrator.Discard) []string {
	held := heldBy(d).loss
	differed := "not compared"
	if held.Ranges != nil && held.RangeBytes != nil {
		differed = fmt.Sprintf("%s in %s", Bytes(*held.RangeBytes), Count(int(*held.Ranges), "place"))
	}
	place, until := "nowhere else", "-"
	switch {
	case d.Kept != nil:
		place, until = d.Kept.Place(), stamp(d.Kept.Until)
	case d.State == orchestrator.DiscardGivenUp, d.State == orchestrator.DiscardMayBeGivenUp:
		place = "itself, at " + d.Site
	}
	return []string{d.Image.String(), d.Site, discardWords(d.State), entries(held), bytesLost(held), timeLost(held), differed, place, until}
}

func discardWords(s orchestrator.DiscardState) string {
	switch s {
	case orchestrator.DiscardDone:
		return "discarded"
	case orchestrator.DiscardAsked:
		return "asked for"
	case orchestrator.DiscardGivenUp:
		return "given up"
	case orchestrator.DiscardMayBeGivenUp:
		return "may be given up"
	}
	return string(s)
}

// text is the sum in one line.
func (s *DiscardSummary) text() string {
	known := s.Copies - s.Unknown
	text := "In all, only there: "
	switch {
	case known == 0:
		text += "how much is not known"
	case s.Images == 0:
		text += "nothing"
	default:
		text += fmt.Sprintf("%s, %s", Count(int(s.Entries), "write"), Bytes(s.Bytes))
		if s.Seconds > 0 {
			text += ", up to " + seconds(s.Seconds)
		}
	}
	text += ", of " + copies(s.Copies)
	if s.Unknown > 0 && known > 0 {
		text += fmt.Sprintf("; of %d of them it is not known", s.Unknown)
	}
	if s.Later > 0 {
		text += fmt.Sprintf("; what was written to %d of them after the look is not known", s.Later)
	}
	if s.Kept == 0 {
		return text + ". Nothing of it is kept elsewhere."
	}
	return fmt.Sprintf("%s. Kept: %s, %s.", text, copies(s.Kept), Bytes(s.KeptBytes))
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", n)
}

// discards lists what a run discarded or gave up, and the sum.
func discards(w io.Writer, p Palette, all []orchestrator.Discard) error {
	if len(all) == 0 {
		return nil
	}
	if err := putf(w, "%s\n", p.Strong("Discarded or given up:")); err != nil {
		return err
	}
	g := grid{header: discardHeader, right: map[int]bool{3: true, 4: true, 5: true}}
	for i := range all {
		if i == manyRows {
			break
		}
		g.rows = append(g.rows, discardRow(&all[i]))
	}
	if err := g.write(w, p); err != nil {
		return err
	}
	if n := len(all) - manyRows; n > 0 {
		if err := putf(w, "and %d more: -o json shows all\n", n); err != nil {
			return err
		}
	}
	for _, line := range lostSnapshots(all) {
		if err := putf(w, "%s\n", line); err != nil {
			return err
		}
	}
	return putf(w, "%s\n", sumDiscards(all).text())
}

// lostSnapshots names the user snapshots that went with copies.
func lostSnapshots(all []orchestrator.Discard) (lines []string) {
	for i := range all {
		d := &all[i]
		if names := heldBy(d).loss.Snapshots; len(names) > 0 {
			lines = append(lines, fmt.Sprintf("With the copy of %s at %s went %s, and no kept copy holds them: %s", d.Image, d.Site, Count(len(names), "snapshot"), strings.Join(names, ", ")))
		}
	}
	return lines
}

// discards writes the same as a section of a report; every one of them.
func (m *markdown) discards(all []orchestrator.Discard) {
	if len(all) == 0 {
		return
	}
	m.section("What was discarded or given up")
	m.columns(append(slices.Clone(discardHeader), "known from")...)
	for i := range all {
		m.row(append(discardRow(&all[i]), heldBy(&all[i]).loss.Why)...)
	}
	m.linef("")
	for _, line := range lostSnapshots(all) {
		m.linef("%s", line)
	}
	m.linef("%s", sumDiscards(all).text())
}

// kept lists copies that are kept, with the command that makes an image of each.
func kept(w io.Writer, p Palette, title string, all []orchestrator.Preserved, file string) error {
	if len(all) == 0 {
		return nil
	}
	if err := putf(w, "%s\n", p.Strong(title+":")); err != nil {
		return err
	}
	for i := range all {
		c := &all[i]
		if err := putf(w, "  %s: %s of data, size %s, until %s\n    %s\n", c.Place(), Bytes(c.Bytes), Bytes(c.Size), stamp(c.Until), restoring(c, file)); err != nil {
			return err
		}
	}
	return nil
}

// restoring is the command that makes a new image of a kept copy.
func restoring(c *orchestrator.Preserved, file string) string {
	return FillIn("drover preserved restore FILE "+c.ID+" "+c.Image.Name+"-restored", file)
}

// kept writes the same as a section of a report.
func (m *markdown) kept(all []orchestrator.Preserved) {
	if len(all) == 0 {
		return
	}
	m.section("Kept copies")
	m.columns("kept in", "data", "size", "until", "to restore it")
	for i := range all {
		c := &all[i]
		m.row(c.Place(), Bytes(c.Bytes), Bytes(c.Size), stamp(c.Until), "`"+restoring(c, m.file)+"`")
	}
}

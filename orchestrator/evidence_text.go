package orchestrator

import (
	"fmt"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// evidenceTime is how evidence writes times, in UTC.
const evidenceTime = "2006-01-02 15:04:05 UTC"

// Lines are the evidence for a person, a line each: what is the case, what each
// side did, and what each choice loses.
func (e *SplitEvidence) Lines() []string {
	title := e.Image.String()
	if e.Group != "" {
		title += " (group " + e.Group + ")"
	}
	lines := []string{fmt.Sprintf("%s: %s: %s", title, e.State, e.Why)}
	if e.Common != nil {
		line := "  last common point: " + e.Common.Text
		if e.Common.At != nil {
			line += ", taken " + e.Common.At.Format(evidenceTime)
		}
		lines = append(lines, line)
	} else {
		lines = append(lines, "  last common point: not known")
	}
	for i := range e.Sites {
		lines = append(lines, e.Sites[i].lines()...)
	}
	for i := range e.Heads {
		lines = append(lines, e.Heads[i].line())
	}
	for i := range e.Choices {
		lines = append(lines, e.Choices[i].line())
	}
	switch {
	case e.Recommended != "":
		lines = append(lines, "  recommended: keep "+e.Recommended)
	case e.State == replay.Stranded:
		lines = append(lines, "  no side can be recommended: it is not proven which one was written last")
	}
	return lines
}

func (s *SideEvidence) lines() []string {
	switch {
	case !s.Reachable:
		return []string{fmt.Sprintf("  %s: does not answer, so nothing is known of it: %s", s.Site, replay.WithoutSite(s.Site, s.Fault.Error()))}
	case !s.Present:
		return []string{fmt.Sprintf("  %s: has no such image", s.Site)}
	case !s.mirrored():
		return []string{fmt.Sprintf("  %s: has an image of this name that is not mirrored", s.Site)}
	}
	lines := []string{fmt.Sprintf("  %s: %s, %s, %s", s.Site, s.standing(), sizeText(s.Size), plural(uint64(s.Snapshots), "snapshot", "snapshots"))}
	lines = append(lines, "    "+s.wrote())
	return append(lines, "    "+s.usedBy())
}

// standing is the side's role and since when.
func (s *SideEvidence) standing() string {
	text := string(s.Role)
	switch {
	case s.Demoted && s.led():
		text = "demoted"
	case s.Demoted:
		text += ", has replayed a demotion"
	}
	switch {
	case s.Since == nil && s.led():
		return text + " since a time that is not known"
	case s.Since == nil:
		return text
	case s.SinceBefore:
		return text + " since " + s.Since.Format(evidenceTime) + " or earlier"
	}
	return text + " since " + s.Since.Format(evidenceTime)
}

// wrote is what the side wrote since the common point.
func (s *SideEvidence) wrote() string {
	w := &s.Writes
	if w.None {
		return "wrote nothing of its own: " + w.Why
	}
	var parts []string
	bound := ""
	if w.AtLeast {
		bound = "at least "
	}
	if w.Entries != nil {
		parts = append(parts, bound+plural(*w.Entries, "journal entry", "journal entries"))
	}
	if w.Bytes != nil {
		parts = append(parts, bound+sizeText(*w.Bytes)+" of journal")
	}
	if len(parts) == 0 {
		parts = append(parts, "an amount that is not known")
	}
	if w.Ranges != nil && w.RangeBytes != nil && w.Share != nil {
		parts = append(parts, fmt.Sprintf("now different in %s (%s, %.2g %% of the image)",
			plural(*w.Ranges, "place", "places"), sizeText(*w.RangeBytes), *w.Share*100))
	}
	text := "wrote since: " + strings.Join(parts, ", ")
	if s.LastWrite != nil {
		text += "; last at " + s.LastWrite.Format(evidenceTime)
	}
	if w.Why != "" {
		text += " (" + w.Why + ")"
	}
	return text
}

// usedBy names the clients that hold or watch the image.
func (s *SideEvidence) usedBy() string {
	if !s.ClientsKnown {
		return "clients: not known"
	}
	var names []string
	for _, u := range s.Clients {
		name := u.Client + " at " + u.Address
		switch {
		case u.Mirror:
			name = "rbd-mirror at " + u.Address
		case u.Locks:
			name += " (holds the lock)"
		case u.Kernel:
			name += " (kernel)"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "clients: none"
	}
	return "clients: " + strings.Join(names, ", ")
}

func (h *HeadComparison) line() string {
	switch {
	case h.Fault != nil:
		return fmt.Sprintf("  %s and %s could not be compared: %s", h.A, h.B, h.Fault.What)
	case h.Ranges == 0:
		return fmt.Sprintf("  compared now: %s and %s hold the same", h.A, h.B)
	}
	return fmt.Sprintf("  compared now: %s and %s differ in %s, %s, %.2g %% of the image",
		h.A, h.B, plural(h.Ranges, "place", "places"), sizeText(h.Bytes), h.Share*100)
}

func (c *Choice) line() string {
	text := "  keep " + c.Keep + ": "
	if c.Refused != "" {
		return text + "not possible: " + c.Refused
	}
	text += "loses " + c.Loses
	if c.Seconds != nil && *c.Seconds > 0 {
		text += fmt.Sprintf(" (at most %s of writes)", time.Duration(*c.Seconds*float64(time.Second)).Round(time.Second))
	}
	return text
}

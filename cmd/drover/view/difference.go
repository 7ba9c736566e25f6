package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/drover-io/drover/orchestrator"
)

// Difference is what `drover plan diff` and `--dry-run` say.
type Difference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	*orchestrator.Difference
	Summary DifferenceSummary `json:"summary"`
}

// DifferenceSummary counts what is in a difference.
type DifferenceSummary struct {
	Changes     int `json:"changes"`
	Drift       int `json:"drift"`
	Destructive int `json:"destructive"`
	Errors      int `json:"errors"`
	Warnings    int `json:"warnings"`
}

// NewDifference makes a difference ready to be shown.
func NewDifference(d *orchestrator.Difference) *Difference {
	v := &Difference{APIVersion: "drover/v1", Kind: "Difference", Difference: d}
	v.Summary.Changes, v.Summary.Drift = len(d.Changes), d.Drift()
	for i := range d.Changes {
		if d.Changes[i].Destructive {
			v.Summary.Destructive++
		}
	}
	for i := range d.Notices {
		switch d.Notices[i].Severity {
		case orchestrator.SeverityError:
			v.Summary.Errors++
		case orchestrator.SeverityWarning:
			v.Summary.Warnings++
		}
	}
	return v
}

// Table writes what a person has to see before saying yes: first what stands
// in the way, then each change with its command, then the count.
func (v *Difference) Table(w io.Writer, p Palette) error {
	if err := notices(w, p, v.Notices); err != nil {
		return err
	}
	drift := false
	for _, part := range []struct {
		heading string
		drift   bool
	}{{"Changed behind the plan's back, to be put right:", true}, {"Changes:", false}} {
		heading := part.heading
		for i := range v.Changes {
			c := &v.Changes[i]
			if c.Drift != part.drift {
				continue
			}
			drift = drift || c.Drift
			if heading != "" && (part.drift || drift) {
				if err := putf(w, "%s\n", p.Strong(heading)); err != nil {
					return err
				}
			}
			heading = ""
			if err := change(w, p, c); err != nil {
				return err
			}
		}
	}
	return put(w, v.count(p))
}

func notices(w io.Writer, p Palette, all []orchestrator.Notice) error {
	for i := range all {
		n := &all[i]
		mark, paint := "i", p.Faint
		switch n.Severity {
		case orchestrator.SeverityError:
			mark, paint = "✗", p.Bad
		case orchestrator.SeverityWarning:
			mark, paint = "!", p.Warn
		}
		if err := putf(w, "%s %s%s\n", paint(mark), place(n.Site, n.Object()), n.What); err != nil {
			return err
		}
		if n.Next != "" {
			if err := putf(w, "  next: %s\n", n.Next); err != nil {
				return err
			}
		}
	}
	if len(all) > 0 {
		return put(w, "\n")
	}
	return nil
}

func change(w io.Writer, p Palette, c *orchestrator.Change) error {
	mark, paint := "+", p.Good
	switch {
	case c.Destructive || takesAway(c.Kind):
		mark, paint = "-", p.Bad
	case c.Drift:
		mark, paint = "~", p.Warn
	}
	if err := putf(w, "%s %s%s\n", paint(mark), place(c.Site, c.Object()), c.What); err != nil {
		return err
	}
	if c.Command == "" {
		return nil
	}
	for _, line := range strings.Split(c.Command, "\n") {
		if err := putf(w, "    %s\n", p.Faint("$ "+line)); err != nil {
			return err
		}
	}
	return nil
}

func (v *Difference) count(p Palette) string {
	if v.Summary.Changes == 0 {
		if v.Summary.Errors > 0 {
			return "No changes that could be made; see above.\n"
		}
		if elsewhere(v.Notices) {
			return "No changes: what differs, apply leaves alone; see above.\n"
		}
		return p.Good("No changes: the sites are as the plan says.") + "\n"
	}
	text := Count(v.Summary.Changes, "change")
	if v.Summary.Drift > 0 {
		text += fmt.Sprintf(", %d of them drift", v.Summary.Drift)
	}
	if v.Summary.Destructive > 0 {
		text += ", " + p.Bad(fmt.Sprintf("%d destructive", v.Summary.Destructive))
	}
	return "\n" + text + ".\n"
}

// elsewhere reports whether an image is primary where the plan does not want it.
func elsewhere(all []orchestrator.Notice) bool {
	for i := range all {
		if all[i].Code == orchestrator.NoticeWrongPrimary {
			return true
		}
	}
	return false
}

// place says where something is: "site-b rbd/image-1: ".
func place(site, object string) string {
	where := strings.TrimSpace(site + " " + object)
	if where == "" {
		return ""
	}
	return where + ": "
}

func takesAway(k orchestrator.Kind) bool {
	switch k {
	case orchestrator.KindPeerRemove, orchestrator.KindScheduleRemove, orchestrator.KindUnmirror,
		orchestrator.KindRemoveCopy, orchestrator.KindPoolDisable, orchestrator.KindDaemonStop:
		return true
	}
	return false
}

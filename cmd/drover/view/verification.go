package view

import (
	"fmt"
	"io"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// Verification writes the outcome of `drover verify`.
func Verification(w io.Writer, p Palette, r *orchestrator.VerifyReport) error {
	g := grid{
		header: []string{"image", "primary", "secondary", "result", "size", "allocated", "read", "time", "sha256"},
		right:  map[int]bool{4: true, 5: true, 6: true, 7: true},
	}
	for i := range r.Images {
		g.rows = append(g.rows, verifiedRow(p, &r.Images[i]))
	}
	if err := g.write(w, p); err != nil {
		return err
	}
	if err := unread(w, p, r); err != nil {
		return err
	}
	if err := uncompared(w, p, r); err != nil {
		return err
	}
	if err := differences(w, p, r); err != nil {
		return err
	}
	for _, l := range r.Leftovers {
		what := "is still there"
		if l.Removed {
			what = "of an earlier run was removed"
		}
		if err := putf(w, "%s%s %s (%s)\n", place(l.Site, l.Ref.String()), l.Snapshot, what, l.Note); err != nil {
			return err
		}
	}
	return put(w, "\n"+verifiedCount(p, r))
}

func verifiedRow(p Palette, v *orchestrator.VerifiedImage) []string {
	row := []string{v.Ref.String(), dash(v.Primary), dash(v.Secondary), p.Bad("not compared"), "-", "-", "-", "-", "-"}
	if v.Comparison == nil {
		return row
	}
	c := v.Comparison
	result := "identical"
	if n := len(v.Rechecks); n > 0 {
		result = fmt.Sprintf("identical (%d looks)", n+1)
	}
	row[3] = p.Good(result)
	if !v.Identical {
		row[3] = p.Bad("different")
	}
	row[4], row[5], row[6] = Bytes(c.A.Size), Bytes(c.A.Allocated), Bytes(c.A.BytesRead+c.B.BytesRead)
	row[7] = Span(time.Duration((v.AwaitSeconds + v.CompareSeconds) * float64(time.Second)))
	row[8] = c.A.Digest.String()[:12]
	return row
}

// unread says which sites and pools could not be read, and what to do.
func unread(w io.Writer, p Palette, r *orchestrator.VerifyReport) error {
	for i := range r.Faults {
		f := &r.Faults[i]
		text := p.Bad("✗ ") + place(f.Site, f.Pool) + "could not be read: " + indent(f.What) + "\n"
		if f.Next != "" {
			text += "  next: " + indent(f.Next) + "\n"
		}
		if err := put(w, text); err != nil {
			return err
		}
	}
	return nil
}

// uncompared says of each copy that could not be compared why, and what to do.
func uncompared(w io.Writer, p Palette, r *orchestrator.VerifyReport) error {
	for i := range r.Images {
		v := &r.Images[i]
		if v.Comparison != nil {
			continue
		}
		text := p.Bad("✗ ") + place(v.Secondary, v.Ref.String()) + "not compared: " + indent(v.Error) + "\n"
		if v.Next != "" {
			text += "  next: " + indent(v.Next) + "\n"
		}
		if err := put(w, text); err != nil {
			return err
		}
	}
	return nil
}

// differences says of each copy that differs where, and what to do.
func differences(w io.Writer, p Palette, r *orchestrator.VerifyReport) error {
	for i := range r.Images {
		v := &r.Images[i]
		if v.Comparison == nil || v.Identical {
			continue
		}
		c := v.Comparison
		text := fmt.Sprintf("%s%s%s holds %s, %s holds %s; ", p.Bad("✗ "), place("", v.Ref.String()), v.Primary, c.A.Digest.String(), v.Secondary, c.B.Digest.String())
		if c.A.Size != c.B.Size {
			text += fmt.Sprintf("sizes %d and %d; ", c.A.Size, c.B.Size)
		}
		if c.FirstDifference != nil {
			text += fmt.Sprintf("first difference at byte %d; ", *c.FirstDifference)
		}
		text += Count(int(c.DifferentChunks), "chunk") + " of 4 MiB differ"
		if n := len(v.Rechecks); n > 0 {
			text += fmt.Sprintf(" (%s still differ after %d more looks)", Bytes(v.Rechecks[n-1].Different), n)
		}
		if err := putf(w, "%s\n  next: %s\n", text, v.Next); err != nil {
			return err
		}
	}
	return nil
}

func verifiedCount(p Palette, r *orchestrator.VerifyReport) string {
	s := r.Summary
	text := fmt.Sprintf("%s compared: %s", Count(s.Compared, "copy"), p.Good(fmt.Sprintf("%d identical", s.Identical)))
	if s.Compared != 1 {
		text = fmt.Sprintf("%d copies compared: %s", s.Compared, p.Good(fmt.Sprintf("%d identical", s.Identical)))
	}
	if s.Different > 0 {
		text += ", " + p.Bad(fmt.Sprintf("%d different", s.Different))
	}
	if s.Failed > 0 {
		text += "; " + p.Bad(fmt.Sprintf("%d not compared", s.Failed))
	}
	return fmt.Sprintf("%s; %s read in %s.\n", text, Bytes(s.BytesRead), Span(time.Duration(r.Seconds*float64(time.Second))))
}

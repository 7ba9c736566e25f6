package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// StatusOptions says what of a status is shown.
type StatusOptions struct {
	OnlyProblems bool // leave out the images that are well
	CatchUp      bool // tell when copies will have caught up, which takes several looks
}

// Status writes the outcome of `drover status`: problems first, each with its
// next step; then the sites; then the images, the worst first.
func Status(w io.Writer, p Palette, r *orchestrator.StatusReport, o StatusOptions) error {
	if err := put(w, statusHead(p, r)); err != nil {
		return err
	}
	for i := range r.Problems {
		if err := put(w, statusProblem(p, &r.Problems[i])); err != nil {
			return err
		}
	}
	if len(r.Problems) > 0 {
		if err := put(w, "\n"); err != nil {
			return err
		}
	}
	if err := statusSites(w, p, r); err != nil {
		return err
	}
	if err := put(w, "\n"); err != nil {
		return err
	}
	return statusImages(w, p, r, o)
}

// StatusAgain writes one status of several: over the last one on a terminal,
// below it elsewhere.
func StatusAgain(w io.Writer, p Palette, r *orchestrator.StatusReport, o StatusOptions, redraw, first bool) error {
	before := ""
	switch {
	case redraw:
		before = "\x1b[H\x1b[2J" // home, clear
	case !first:
		before = "\n"
	}
	if err := put(w, before); err != nil {
		return err
	}
	return Status(w, p, r, o)
}

func statusHead(p Palette, r *orchestrator.StatusReport) string {
	s := r.Summary
	well := p.Good(fmt.Sprintf("%d well", s.Healthy))
	text := fmt.Sprintf("%s  %s: %s", p.Strong("Plan "+r.Plan), Count(s.Images, "image"), well)
	if s.Critical > 0 {
		text += ", " + p.Bad(fmt.Sprintf("%d critical", s.Critical))
	}
	if s.Warning > 0 {
		text += ", " + p.Warn(fmt.Sprintf("%d with warnings", s.Warning))
	}
	if len(s.Silent) > 0 {
		text += "; " + p.Bad("no answer from "+strings.Join(s.Silent, ", "))
	}
	return fmt.Sprintf("%s  %s\n\n", text, p.Faint("(at "+r.At.UTC().Format("2006-01-02 15:04:05 UTC")+")"))
}

func statusProblem(p Palette, problem *orchestrator.StatusProblem) string {
	mark, paint := "i", p.Faint
	switch problem.Severity {
	case replay.SeverityCritical:
		mark, paint = "✗", p.Bad
	case replay.SeverityWarning:
		mark, paint = "!", p.Warn
	}
	where := ""
	switch {
	case problem.Images == 1:
		where = problem.Examples[0] + ": "
	case problem.Images > 1:
		where = fmt.Sprintf("%s (%s", Count(problem.Images, "image"), strings.Join(problem.Examples, ", "))
		if more := problem.Images - len(problem.Examples); more > 0 {
			where += fmt.Sprintf(" and %d more", more)
		}
		where += "): "
	}
	text := fmt.Sprintf("%s %s%s\n", paint(mark), where, problem.What)
	if problem.Next != "" {
		text += fmt.Sprintf("  next: %s\n", problem.Next)
	}
	return text
}

func statusSites(w io.Writer, p Palette, r *orchestrator.StatusReport) error {
	g := grid{header: []string{"site", "answers", "ceph", "rbd-mirror"}}
	for i := range r.Sites {
		s := &r.Sites[i]
		if !s.Reachable {
			g.rows = append(g.rows, []string{s.Name, p.Bad("no"), "-", "unknown"})
			continue
		}
		daemons := make([]string, len(s.Daemons))
		for k, d := range s.Daemons {
			daemons[k] = daemon(p, d)
		}
		text := strings.Join(daemons, "; ")
		switch {
		case text != "":
		case s.Error != "":
			text = p.Warn("unknown: " + s.Error)
		default:
			text = "none"
		}
		g.rows = append(g.rows, []string{s.Name, p.Good("yes"), dash(s.Release), text})
	}
	return g.write(w, p)
}

func daemon(p Palette, d orchestrator.DaemonStatus) string {
	text := d.Client
	if d.Host != "" {
		text += " on " + d.Host
	}
	if d.Version != "" {
		text += " (" + d.Version + ")"
	}
	if len(d.Serves) == 0 {
		return text + ", " + p.Warn("serves no pool of the plan")
	}
	text += ", serves " + strings.Join(d.Serves, ", ")
	if len(d.Callouts) > 0 {
		text += ", " + p.Warn(Count(len(d.Callouts), "complaint"))
	}
	return text
}

func statusImages(w io.Writer, p Palette, r *orchestrator.StatusReport, o StatusOptions) error {
	sites := make([]string, len(r.Sites))
	for i := range r.Sites {
		sites[i] = r.Sites[i].Name
	}
	g := grid{
		header: append([]string{"image", "state"}, append(slices.Clone(sites), "mode", "entries", "bytes", "seconds", "rpo", "synced to", "proven identical")...),
		right:  map[int]bool{len(sites) + 3: true, len(sites) + 4: true, len(sites) + 5: true},
	}
	if o.CatchUp {
		g.header = append(g.header, "caught up in")
	}
	hidden := 0
	for i := range r.Images {
		image := &r.Images[i]
		if o.OnlyProblems && image.Healthy {
			hidden++
			continue
		}
		g.rows = append(g.rows, imageRows(p, r.At, image, sites, o)...)
	}
	if len(g.rows) > 0 {
		if err := g.write(w, p); err != nil {
			return err
		}
	}
	if hidden > 0 {
		return putf(w, "Not shown, as they are well: %s.\n", Count(hidden, "image"))
	}
	if len(r.Images) == 0 {
		return put(w, "The plan covers no image.\n")
	}
	return nil
}

// imageRows are one row for an image with up to one copy, and one for each
// copy where there are several.
func imageRows(p Palette, now time.Time, image *orchestrator.ImageStatus, sites []string, o StatusOptions) [][]string {
	head := []string{image.Ref.String(), state(p, image.State)}
	for _, site := range sites {
		head = append(head, role(p, image.Roles[site]))
	}
	head = append(head, dash(string(image.Mode)))
	if len(image.Copies) == 0 {
		row := append(head, "-", "-", "-", rpo(p, image), "-", "-")
		if o.CatchUp {
			row = append(row, "-")
		}
		return [][]string{row}
	}
	rows := make([][]string, len(image.Copies))
	for i := range image.Copies {
		c := &image.Copies[i]
		cells := slices.Clone(head)
		objective := rpo(p, image)
		if len(image.Copies) > 1 {
			cells[1] = state(p, c.State)
			if i > 0 {
				cells[0], objective = "  at "+c.Site, ""
				for k := 2; k < len(cells); k++ {
					cells[k] = ""
				}
			}
		}
		rows[i] = append(cells, lagEntries(c), lagBytes(c), lagSeconds(p, c), objective, syncedTo(now, c), compared(p, now, c))
		if o.CatchUp {
			rows[i] = append(rows[i], catchUp(p, c))
		}
	}
	return rows
}

func state(p Palette, s replay.State) string {
	switch s {
	case replay.Replaying:
		return p.Good(string(s))
	case replay.SplitBrain, replay.Stranded, replay.Unprotected, replay.Degraded:
		return p.Bad(string(s))
	}
	return p.Warn(string(s))
}

func role(p Palette, role string) string {
	switch role {
	case string(replay.RolePrimary):
		return p.Strong(role)
	case string(replay.RoleSecondary):
		return role
	}
	return p.Warn(dash(role))
}

func lagEntries(c *orchestrator.CopyStatus) string {
	if c.Lag.Entries == nil {
		return "-"
	}
	return fmt.Sprint(*c.Lag.Entries)
}

func lagBytes(c *orchestrator.CopyStatus) string {
	if c.Lag.Bytes == nil {
		return "-"
	}
	return Bytes(*c.Lag.Bytes)
}

// lagSeconds is the lag in time; an upper bound has a mark.
func lagSeconds(p Palette, c *orchestrator.CopyStatus) string {
	switch {
	case c.Lag.Seconds == nil:
		return p.Warn("unknown")
	case c.Lag.Exact:
		return Span(*c.Lag.Seconds)
	}
	return "≤" + Span(*c.Lag.Seconds)
}

// compared is when a copy was last proven identical, or that it was not.
func compared(p Palette, now time.Time, c *orchestrator.CopyStatus) string {
	proof := c.Compared
	if proof == nil {
		return "-"
	}
	text := ""
	if proof.Identical != nil {
		text = Span(max(now.Sub(*proof.Identical).Round(time.Second), 0)) + " ago"
		if proof.Stale {
			text += p.Warn(", stale")
		}
	}
	switch {
	case proof.Result == orchestrator.ProofDiffers && text == "":
		return p.Bad("differs")
	case proof.Result == orchestrator.ProofDiffers:
		return p.Bad("differs") + ", was " + text
	case text == "":
		return p.Warn(string(proof.Result))
	}
	return text
}

// catchUp is how long a copy will take until it lacks nothing, or that it never will.
func catchUp(p Palette, c *orchestrator.CopyStatus) string {
	switch {
	case c.FallsBehind:
		return p.Warn("falls behind")
	case c.CatchUpSeconds == nil:
		return "-"
	case *c.CatchUpSeconds == 0:
		return Span(0)
	}
	return "~" + Span(max(time.Duration(*c.CatchUpSeconds*float64(time.Second)).Round(time.Second), time.Second))
}

func rpo(p Palette, image *orchestrator.ImageStatus) string {
	if image.Objective == nil {
		return "-"
	}
	text := Span(time.Duration(*image.Objective * float64(time.Second)))
	switch {
	case image.Met == nil:
		return text + p.Warn(" unknown")
	case *image.Met:
		return text + p.Good(" met")
	}
	return text + p.Bad(" exceeded")
}

// syncedTo is the time whose writes a copy holds, or how far its first sync
// has come.
func syncedTo(now time.Time, c *orchestrator.CopyStatus) string {
	if c.SyncPercent != nil && c.State != replay.Replaying {
		return fmt.Sprintf("%.0f %% copied", *c.SyncPercent)
	}
	if c.SyncedTo == nil {
		return "-"
	}
	if at := c.SyncedTo.UTC(); at.YearDay() != now.UTC().YearDay() || at.Year() != now.UTC().Year() {
		return at.Format("2006-01-02 15:04:05")
	}
	return c.SyncedTo.UTC().Format("15:04:05")
}

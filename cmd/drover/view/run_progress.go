package view

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// The pace of a run's progress.
const (
	runRedraw  = 200 * time.Millisecond
	runSummary = 10 * time.Second // between summary lines off a terminal
	longStep   = 5 * time.Second  // a step that takes longer is named
)

// RunProgress shows how far a run is. On a terminal: a bar for each wave, drawn
// again and again at the bottom, with what went wrong above it. Elsewhere: a
// line as each image or group comes to its end, and a summary now and then.
type RunProgress struct {
	w     io.Writer
	drawn bool
	p     Palette
	width func() int // columns of the terminal
	file  string     // the plan's, for commands that a person may type

	mu      sync.Mutex
	run     *orchestrator.Run
	began   time.Time
	waves   []*waveProgress
	running map[string]*runningStep // by step id
	failed  map[string]bool         // units of which a failing step was told
	count   map[orchestrator.UnitOutcome]int
	total   int
	waiting string // for a person
	lines   int    // of the frame that is on the screen
	closed  bool
	stop    chan struct{}
	ended   sync.WaitGroup
}

type waveProgress struct {
	name        string
	done, total int
	began       time.Time
	took        time.Duration // once it is over
	over        bool
}

type runningStep struct {
	text  string
	began time.Time
	image string
	// Bytes that are copied or compared, where it tells.
	done, whole uint64
}

// NewRunProgress begins to show progress on w; width tells the columns of the
// terminal, and is asked only when it is drawn.
func NewRunProgress(w io.Writer, drawn bool, p Palette, width func() int, file string) *RunProgress {
	r := &RunProgress{
		w: w, drawn: drawn, p: p, width: width, file: file, began: time.Now(),
		running: map[string]*runningStep{}, failed: map[string]bool{}, count: map[orchestrator.UnitOutcome]int{},
		stop: make(chan struct{}),
	}
	every := runSummary
	if drawn {
		every = runRedraw
	}
	r.ended.Go(func() { r.tick(every) })
	return r
}

func (r *RunProgress) tick(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.mu.Lock()
			if r.drawn {
				r.draw()
			} else if r.total > 0 {
				fmt.Fprintln(r.w, r.summary(time.Now()))
			}
			r.mu.Unlock()
		case <-r.stop:
			return
		}
	}
}

// Close ends it; what is printed afterwards is not overdrawn.
func (r *RunProgress) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	if r.drawn {
		r.erase()
	}
	r.mu.Unlock()
	close(r.stop)
	r.ended.Wait()
}

// Tell takes one event of the run.
func (r *RunProgress) Tell(e orchestrator.RunEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	switch e.Kind {
	case orchestrator.RunBegins:
		r.run, r.total = e.Run, e.Total
		r.print(fmt.Sprintf("run %s: %s", e.Run.ID, Count(e.Total, "image")))
	case orchestrator.RunWaveBegin:
		r.waves = append(r.waves, &waveProgress{name: e.Wave, total: e.Total, began: e.At})
		if e.Wave != "" && !r.drawn { // else its bar tells
			r.print(fmt.Sprintf("wave %s: %s", e.Wave, Count(e.Total, "image")))
		}
	case orchestrator.RunWaveEnd:
		if w := r.wave(e.Wave); w != nil {
			w.over, w.took = true, e.At.Sub(w.began)
		}
	case orchestrator.RunStepBegin:
		s := &runningStep{text: stepText(e.Step), began: e.At}
		if e.Step.Image != nil {
			s.image = e.Step.Image.String()
		}
		r.running[e.Step.ID] = s
	case orchestrator.RunCopies:
		for _, s := range r.running {
			if s.image == e.Note {
				s.done, s.whole = e.Done, e.Whole
			}
		}
	case orchestrator.RunStepEnd:
		r.stepEnd(e)
	case orchestrator.RunUnitEnd:
		r.unitEnd(e)
	case orchestrator.RunWaits:
		r.waiting = FillIn(e.Note, r.file)
		r.print(r.p.Warn("waits for a person: ") + r.waiting)
	case orchestrator.RunNotes:
		r.print(r.p.Faint(indent(FillIn(e.Note, r.file))))
	}
}

func stepText(s *orchestrator.Step) string {
	if s.Image != nil {
		return s.Image.String() + ": " + s.What
	}
	return s.What
}

func (r *RunProgress) stepEnd(e orchestrator.RunEvent) {
	delete(r.running, e.Step.ID)
	if e.Step.Kind == orchestrator.StepManual || e.Step.Kind == orchestrator.StepStopDaemon {
		r.waiting = ""
	}
	switch e.Phase {
	case orchestrator.PhaseFailed, orchestrator.PhaseUnknown:
		r.failed[e.Step.Unit] = e.Step.Unit != ""
		cause := ""
		if e.Err != nil {
			cause = ": " + indent(FillIn(e.Err.Error(), r.file))
		}
		r.print(fmt.Sprintf("%s %s: %s after %s%s", r.p.Bad("✗"), stepText(e.Step), e.Phase, Span(e.Took), cause))
	default:
		if e.Step.Unit == "" { // something that is done once in the run
			r.print(fmt.Sprintf("%s %s (%s)", r.p.Good("✓"), stepText(e.Step), Span(e.Took)))
		}
	}
}

func (r *RunProgress) unitEnd(e orchestrator.RunEvent) {
	images := len(e.Unit.Images)
	r.count[e.Outcome] += images
	if w := r.wave(e.Wave); w != nil && e.Outcome != orchestrator.UnitNotBegun {
		w.done += images
	}
	if r.drawn && e.Outcome == orchestrator.UnitMoved {
		return // the bar tells
	}
	name := e.Unit.Name
	if e.Unit.Group != "" {
		name = "group " + e.Unit.Group
	}
	line := fmt.Sprintf("%s %s: %s (%s)", outcomeMark(r.p, e.Outcome), name, e.Outcome, Span(e.Took))
	if e.Err != nil && !r.failed[e.Unit.Name] {
		line += ": " + indent(FillIn(e.Err.Error(), r.file))
	}
	r.print(line)
}

func (r *RunProgress) wave(name string) *waveProgress {
	for _, w := range r.waves {
		if w.name == name {
			return w
		}
	}
	return nil
}

// print writes a line that stays, above what is drawn.
func (r *RunProgress) print(line string) {
	if r.drawn {
		r.erase()
	}
	fmt.Fprintln(r.w, line)
	if r.drawn {
		r.draw()
	}
}

// erase takes the frame off the screen. The cursor stands below it.
func (r *RunProgress) erase() {
	if r.lines > 0 {
		fmt.Fprintf(r.w, "\x1b[%dA\x1b[J", r.lines)
	}
	r.lines = 0
}

func (r *RunProgress) draw() {
	if r.closed {
		return
	}
	r.erase()
	frame := r.frame(time.Now(), r.width())
	for _, line := range frame {
		fmt.Fprintln(r.w, line)
	}
	r.lines = len(frame)
}

// frame is what is drawn: waves, then the clock and what takes long. No line
// is longer than the terminal is wide, since one that wraps could not be erased.
func (r *RunProgress) frame(now time.Time, width int) []string {
	if r.total == 0 {
		return nil
	}
	var lines []string
	over := 0
	for _, w := range r.waves {
		if w.over && w.done == w.total && len(r.waves) > 4 {
			over++ // room for those that matter
			continue
		}
		lines = append(lines, w.line(now, len(r.waves) > 1, width))
	}
	if over > 0 {
		lines = append([]string{Count(over, "wave") + " done"}, lines...)
	}
	lines = append(lines, clip(r.clock(now), width))
	if text := r.longest(now); text != "" {
		lines = append(lines, clip(text, width))
	}
	if r.waiting != "" {
		lines = append(lines, r.p.Warn(clip("waits for a person: "+r.waiting, width)))
	}
	return lines
}

const barLength = 20

func (w *waveProgress) line(now time.Time, several bool, width int) string {
	label := "images"
	switch {
	case w.name != "":
		label = "wave " + w.name
	case several:
		label = "in no wave"
	}
	full := 0
	if w.total > 0 {
		full = barLength * w.done / w.total
	}
	bar := strings.Repeat("█", full) + strings.Repeat("░", barLength-full)
	return clip(fmt.Sprintf("%-16s %s  %d of %s  %s", label, bar, w.done, Count(w.total, "image"), w.times(now)), width)
}

// times are how long a wave has taken, and how much longer it may take.
func (w *waveProgress) times(now time.Time) string {
	if w.over {
		return Span(w.took)
	}
	elapsed := now.Sub(w.began)
	if w.done == 0 || w.done >= w.total {
		return Span(elapsed)
	}
	left := time.Duration(float64(elapsed) / float64(w.done) * float64(w.total-w.done))
	return fmt.Sprintf("%s, about %s left", Span(elapsed), Span(left))
}

// clock is how long the run's images have been on their way, which is what a
// recovery time objective counts: from the word that was given, also where
// another process takes the run up.
func (r *RunProgress) clock(now time.Time) string {
	began := r.began
	if r.run != nil {
		began = r.run.Began
	}
	text := fmt.Sprintf("RTO clock %s  %d of %d moved", Span(now.Sub(began)), r.count[orchestrator.UnitMoved], r.total)
	for _, o := range []orchestrator.UnitOutcome{orchestrator.UnitReturned, orchestrator.UnitStuck, orchestrator.UnitUntouched} {
		if n := r.count[o]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, o)
		}
	}
	return text
}

// longest names the step that runs longest, if that is long.
func (r *RunProgress) longest(now time.Time) string {
	var found *runningStep
	for _, s := range r.running {
		if found == nil || s.began.Before(found.began) || s.began.Equal(found.began) && s.text < found.text {
			found = s
		}
	}
	if found == nil || now.Sub(found.began) < longStep {
		return ""
	}
	share := ""
	if found.whole > 0 {
		share = fmt.Sprintf(", %d%% of %s", 100*min(found.done, found.whole)/found.whole, Bytes(found.whole))
	}
	return fmt.Sprintf("%s (%s%s)", found.text, Span(now.Sub(found.began)), share)
}

// summary is the state of the run in one line.
func (r *RunProgress) summary(now time.Time) string {
	parts := []string{r.clock(now)}
	for _, w := range r.waves {
		if !w.over {
			label := ""
			if w.name != "" {
				label = "wave " + w.name + " "
			}
			parts = append(parts, fmt.Sprintf("%s%d of %d, %s", label, w.done, w.total, w.times(now)))
		}
	}
	if text := r.longest(now); text != "" {
		parts = append(parts, "longest: "+text)
	}
	if r.waiting != "" {
		parts = append(parts, "waits for a person: "+r.waiting)
	}
	return strings.Join(parts, "; ")
}

// clip cuts a line to a number of columns.
func clip(line string, width int) string {
	runes := []rune(line)
	if width <= 1 || len(runes) < width {
		return line
	}
	return string(runes[:width-2]) + "…"
}

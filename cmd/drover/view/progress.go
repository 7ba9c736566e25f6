package view

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// The pace of progress. What is done within two seconds shows no bar at all.
const (
	progressDelay = 2 * time.Second
	plainInterval = 5 * time.Second
	redrawEvery   = 100 * time.Millisecond
)

// Unit is what a bar counts.
type Unit string

// The units of bars.
const (
	UnitBytes  Unit = "bytes"
	UnitImages Unit = "images"
	UnitSteps  Unit = "steps"
)

// Progress shows how far long work is: on a terminal bars, which appear after
// two seconds; elsewhere plain lines, never redrawn. It is safe for concurrent
// use.
type Progress struct {
	w        io.Writer
	terminal bool

	mu     sync.Mutex
	bars   map[string]*bar
	closed bool
	pw     progress.Writer // drawing; nil before the delay and off a terminal
	drawn  chan struct{}   // closed when the drawing has ended
	timer  *time.Timer
}

type bar struct {
	label       string
	unit        Unit
	done, total int64
	finished    bool
	began       time.Time
	printed     time.Time
	late        *time.Timer // tells of one that only waits
	tracker     *progress.Tracker
}

// NewProgress begins to show progress on w.
func NewProgress(w io.Writer, terminal bool, colour Palette) *Progress {
	p := &Progress{w: w, terminal: terminal, bars: map[string]*bar{}}
	if terminal {
		p.timer = time.AfterFunc(progressDelay, func() { p.draw(colour) })
	}
	return p
}

// Wait begins a bar of this label without an amount: something is waited for.
func (p *Progress) Wait(label string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.bars[label] != nil {
		return
	}
	b := p.begin(label, UnitSteps)
	if !p.terminal {
		b.late = time.AfterFunc(progressDelay, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if !p.closed && !b.finished {
				fmt.Fprintln(p.w, b.label)
			}
		})
	}
}

func (p *Progress) begin(label string, unit Unit) *bar {
	b := &bar{label: label, unit: unit, began: time.Now()}
	p.bars[label] = b
	if p.pw != nil {
		p.track(b)
	}
	return b
}

// Set moves the bar of this label, which begins with its first Set. A total
// below one means that it is not known yet.
func (p *Progress) Set(label string, unit Unit, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	b := p.bars[label]
	if b == nil {
		b = p.begin(label, unit)
	}
	b.done, b.total = done, total
	switch {
	case b.tracker != nil:
		b.tracker.UpdateTotal(total)
		b.tracker.SetValue(done)
	case !p.terminal:
		p.plain(b)
	}
}

// Finish ends the bar of this label, for good or ill.
func (p *Progress) Finish(label string, good bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.bars[label]
	if b == nil || b.finished {
		return
	}
	b.finished = true
	if b.late != nil {
		b.late.Stop()
	}
	switch {
	case b.tracker == nil:
	case good:
		b.tracker.MarkAsDone()
	default:
		b.tracker.MarkAsErrored()
	}
}

// Print writes a line that stays, above the bars.
func (p *Progress) Print(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pw != nil {
		p.pw.Log("%s", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

// Close ends the drawing; what is printed afterwards is not overdrawn.
func (p *Progress) Close() {
	p.mu.Lock()
	p.closed = true
	pw, drawn := p.pw, p.drawn
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	if pw != nil {
		pw.Stop()
		<-drawn
		p.mu.Lock()
		p.pw = nil
		p.mu.Unlock()
	}
}

func (p *Progress) draw(colour Palette) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	pw := progress.NewWriter()
	pw.SetOutputWriter(p.w)
	pw.SetAutoStop(false)
	pw.SetUpdateFrequency(redrawEvery)
	pw.SetTrackerLength(24)
	pw.SetTrackerPosition(progress.PositionRight)
	pw.SetSortBy(progress.SortByNone)
	style := progress.StyleBlocks
	style.Visibility.ETA = true
	style.Visibility.Speed = true
	if colour.On {
		style.Colors = progress.StyleColorsExample
	}
	pw.SetStyle(style)
	p.pw, p.drawn = pw, make(chan struct{})
	for _, b := range p.bars {
		if !b.finished {
			p.track(b)
		}
	}
	drawn := p.drawn
	go func() {
		defer close(drawn)
		pw.Render()
	}()
}

func (p *Progress) track(b *bar) {
	units := progress.UnitsDefault
	if b.unit == UnitBytes {
		units = progress.UnitsBytes
	}
	b.tracker = &progress.Tracker{Message: b.label, Total: b.total, Units: units}
	b.tracker.SetValue(b.done)
	p.pw.AppendTracker(b.tracker)
}

// plain prints a bar as a line, now and then.
func (p *Progress) plain(b *bar) {
	now := time.Now()
	if now.Sub(b.began) < progressDelay || now.Sub(b.printed) < plainInterval {
		return
	}
	b.printed = now
	fmt.Fprintf(p.w, "%s: %s\n", b.label, b.text())
}

func (b *bar) text() string {
	amount := func(n int64) string {
		if b.unit == UnitBytes {
			return Bytes(n)
		}
		return fmt.Sprint(n)
	}
	if b.total < 1 {
		return amount(b.done)
	}
	text := fmt.Sprintf("%s of %s", amount(b.done), amount(b.total))
	if b.unit != UnitBytes {
		text += " " + string(b.unit)
	}
	return fmt.Sprintf("%s (%d %%)", text, 100*b.done/b.total)
}

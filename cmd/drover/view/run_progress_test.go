package view_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// page is a buffer that may be read while it is written to.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// travel tells of a run of three images in two waves, one of which is returned.
func travel(p *view.RunProgress) {
	ref := replay.Pool{Name: "rbd"}.Image
	unit := func(name, wave string) *orchestrator.RunUnit {
		image := ref(name)
		return &orchestrator.RunUnit{Name: image.String(), Wave: wave, Images: []orchestrator.RunImage{{Ref: image}}}
	}
	tell := func(e orchestrator.RunEvent) {
		e.At = time.Now()
		p.Tell(e)
	}
	run := &orchestrator.Run{ID: "switchover-1", Began: time.Now()}
	one, two, three := unit("vm-1", "first"), unit("vm-2", "first"), unit("vm-3", "")
	step := func(u *orchestrator.RunUnit, kind orchestrator.StepKind, what string) *orchestrator.Step {
		return &orchestrator.Step{ID: string(kind) + "/" + u.Name, Kind: kind, Unit: u.Name, Image: &u.Images[0].Ref, What: what}
	}
	tell(orchestrator.RunEvent{Kind: orchestrator.RunBegins, Run: run, Total: 3})
	manual := &orchestrator.Step{ID: "hook/before-run/users", Kind: orchestrator.StepManual, What: "by hand: tell the users"}
	tell(orchestrator.RunEvent{Kind: orchestrator.RunStepBegin, Step: manual})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunWaits, Note: "tell the users (then: drover runs approve FILE switchover-1 hook/before-run/users)"})
	time.Sleep(3 * time.Second)
	tell(orchestrator.RunEvent{Kind: orchestrator.RunStepEnd, Step: manual, Phase: orchestrator.PhaseDone, Took: 3 * time.Second})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunWaveBegin, Wave: "first", Total: 2})
	prove, fails := step(one, orchestrator.StepProve, "prove it"), step(two, orchestrator.StepProve, "prove it")
	tell(orchestrator.RunEvent{Kind: orchestrator.RunStepBegin, Step: prove, Unit: one})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunStepBegin, Step: fails, Unit: two})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunCopies, Note: two.Name, Done: 3 << 20, Whole: 8 << 20})
	time.Sleep(9 * time.Second)
	tell(orchestrator.RunEvent{Kind: orchestrator.RunStepEnd, Step: prove, Phase: orchestrator.PhaseDone, Took: 9 * time.Second})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunUnitEnd, Unit: one, Wave: "first", Outcome: orchestrator.UnitMoved, Took: 9 * time.Second})
	time.Sleep(9500 * time.Millisecond)
	tell(orchestrator.RunEvent{Kind: orchestrator.RunStepEnd, Step: fails, Phase: orchestrator.PhaseFailed, Err: errors.New("no proof came"), Took: 18 * time.Second})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunUnitEnd, Unit: two, Wave: "first", Outcome: orchestrator.UnitReturned, Err: errors.New("no proof came"), Took: 18 * time.Second})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunWaveEnd, Wave: "first", Total: 2})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunWaveBegin, Total: 1})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunNotes, Note: "hook mark: done"})
	tell(orchestrator.RunEvent{Kind: orchestrator.RunUnitEnd, Unit: three, Outcome: orchestrator.UnitUntouched, Err: errors.New("before the group: hook x: it failed")})
	time.Sleep(time.Second)
}

// Off a terminal: a line as each image comes to its end, failures at once, and
// a summary every ten seconds.
func TestPlainRunProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b page
		p := view.NewRunProgress(&b, false, view.Palette{}, func() int { return 80 }, "plan.yaml")
		travel(p)
		p.Close()
		p.Close()
		p.Tell(orchestrator.RunEvent{Kind: orchestrator.RunNotes, Note: "late"})
		golden(t, "run-progress.txt", b.String())
	})
}

// screen is what a terminal shows after control sequences: lines can be erased
// from the cursor on, which can be moved up.
func screen(t *testing.T, text string) []string {
	t.Helper()
	var lines []string
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			up, rest, found := strings.Cut(text[2:], "A\x1b[J")
			if !found || len(up) > 2 {
				t.Fatalf("an unknown control sequence: %q", text[:10])
			}
			n := 0
			for _, digit := range up {
				n = 10*n + int(digit-'0')
			}
			if n > len(lines) {
				t.Fatalf("%d lines up, and there are %d", n, len(lines))
			}
			lines, text = lines[:len(lines)-n], rest
		default:
			line, rest, _ := strings.Cut(text, "\n")
			lines, text = append(lines, line), rest
		}
	}
	return lines
}

// On a terminal the frame is at the bottom, is drawn over, names what takes
// long, and is gone in the end; what went wrong stays.
func TestDrawnRunProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b page
		const width = 60
		p := view.NewRunProgress(&b, true, view.Palette{}, func() int { return width }, "plan.yaml")
		done, began := make(chan struct{}), time.Now()
		var frames []string
		go func() {
			defer close(done)
			travel(p)
		}()
		for _, at := range []time.Duration{2 * time.Second, 9 * time.Second, 15 * time.Second} {
			time.Sleep(at + 50*time.Millisecond - time.Since(began))
			synctest.Wait()
			frames = append(frames, strings.Join(screen(t, b.String()), "\n"))
		}
		<-done
		p.Close()
		frames = append(frames, strings.Join(screen(t, b.String()), "\n"))
		all := strings.Join(frames, "\n----\n") + "\n"
		for line := range strings.Lines(all) {
			if strings.ContainsAny(line, "█░") && len([]rune(line)) > width {
				t.Errorf("a line that wraps: %q", line)
			}
		}
		golden(t, "run-progress-drawn.txt", all)
	})
}

// Command demo shows Drover's main job from one plan file: two clusters become
// mirrored, data arrives at the other site and is proven identical, a second
// apply finds nothing to do, and destroy takes the way back. It runs the real
// drover program against two real Ceph clusters that it boots itself, or, with
// -sim, against simulated ones.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	drover := flag.String("drover", "bin/drover", "path of the drover program")
	simulated := flag.Bool("sim", false, "use simulated clusters (drover must be built with -tags sim)")
	example := flag.String("plan", "examples/one-way.yaml", "the example plan to apply")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *drover, *example, *simulated); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called; nothing else is deferred here
	}
}

// stage is the pair of clusters that the demo plays on.
type stage interface {
	// Boot makes the clusters and the plan file, and answers with the plan's path.
	Boot(ctx context.Context, example string) (plan string, err error)
	// Env is what drover needs in its environment.
	Env() []string
	// Write puts data into the image at the primary, telling how by hand.
	Write(ctx context.Context, out io.Writer) error
	// Replaying waits until the secondary reports that it replays, and shows it.
	Replaying(ctx context.Context, out io.Writer) error
	// Roles tells the image's role at both sites, by another way than Drover's.
	Roles(ctx context.Context, out io.Writer) error
	// Close ends the clusters and removes what they left.
	Close() error
}

const image = "image-1"

func run(ctx context.Context, drover, example string, simulated bool) (err error) {
	drover, err = filepath.Abs(drover)
	if err != nil {
		return err
	}
	var s stage = &realStage{}
	if simulated {
		fmt.Println("Ceph cannot be had on this machine: this demo runs on SIMULATED clusters.")
		s = &simStage{}
	}
	t := teller{out: os.Stdout, drover: drover, began: time.Now()}
	t.chapter("Two clusters")
	plan, err := s.Boot(ctx, example)
	defer func() { err = errors.Join(err, s.Close()) }()
	if err != nil {
		return err
	}
	t.env = append(os.Environ(), s.Env()...)

	steps := []struct {
		title string
		do    func() error
	}{
		{"The plan: what is wanted, in one YAML file", func() error { return t.show(plan) }},
		{"Is the plan sound?", func() error { return t.run(ctx, "plan", "validate", plan) }},
		{"What differs between the plan and both sites? Nothing is touched yet", func() error { return t.run(ctx, "plan", "diff", plan) }},
		{"Apply: pools, peers, image, features, mirroring, rbd-mirror", func() error { return t.run(ctx, "plan", "apply", "--yes", "--wait", "replaying", plan) }},
		{"Data is written at the primary", func() error { return s.Write(ctx, t.out) }},
		{"Status: roles, replay and lag, seen from both sites", func() error { return t.saying(ctx, "replaying", "status", plan) }},
		{"The same, as Ceph tells it", func() error { return s.Replaying(ctx, t.out) }},
		{"Verify: both copies are hashed and proven identical", func() error { return t.run(ctx, "verify", plan) }},
		{"Roles, asked of the clusters themselves", func() error { return s.Roles(ctx, t.out) }},
		{"A second apply has nothing to do", func() error {
			return t.saying(ctx, "No changes", "plan", "apply", "--yes", plan)
		}},
		{"Destroy: the way back out; the data stay", func() error { return t.run(ctx, "plan", "destroy", "--yes", plan) }},
	}
	for _, step := range steps {
		t.chapter(step.title)
		if err := step.do(); err != nil {
			// What apply started outlives the demo unless it is taken down.
			t.chapter("That failed; taking down what was set up")
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			return errors.Join(fmt.Errorf("%s: %w", step.title, err), t.run(undo, "plan", "destroy", "--yes", plan))
		}
	}
	t.chapter("Cleaning up")
	fmt.Fprintf(t.out, "All of it took %s.\n", time.Since(t.began).Round(time.Second))
	return nil
}

// teller says what happens and runs drover so that a person can follow.
type teller struct {
	out    io.Writer
	drover string
	env    []string
	began  time.Time
	count  int
}

func (t *teller) chapter(title string) {
	t.count++
	fmt.Fprintf(t.out, "\n== %d. %s (%s)\n", t.count, title, time.Since(t.began).Round(time.Second))
}

func (t *teller) run(ctx context.Context, args ...string) error {
	return t.saying(ctx, "", args...)
}

// saying is run, but fails unless drover's result holds the words.
func (t *teller) saying(ctx context.Context, words string, args ...string) error {
	fmt.Fprintf(t.out, "$ drover %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, t.drover, args...)
	cmd.Env = t.env
	var said strings.Builder
	cmd.Stdout = io.MultiWriter(t.out, &said)
	cmd.Stderr = t.out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Run(); err != nil {
		return err
	}
	if !strings.Contains(said.String(), words) {
		return fmt.Errorf("drover %s does not say %q", strings.Join(args, " "), words)
	}
	return nil
}

func (t *teller) show(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "$ cat %s\n%s", file, text)
	return nil
}

// placePlan writes the example plan into folder with its paths replaced; each
// path must be there, so that the demo notices when the example changes.
func placePlan(example, folder string, paths map[string]string) (string, error) {
	text, err := os.ReadFile(example)
	if err != nil {
		return "", err
	}
	plan := string(text)
	for from, to := range paths {
		if !strings.Contains(plan, from) {
			return "", fmt.Errorf("%s does not name %s", example, from)
		}
		plan = strings.ReplaceAll(plan, from, to)
	}
	file := filepath.Join(folder, filepath.Base(example))
	return file, os.WriteFile(file, []byte(plan), 0o600)
}

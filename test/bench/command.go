package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-io/drover/test/lab"
)

// spent is what one run of a program cost.
type spent struct {
	wall   time.Duration
	memory float64 // peak, MB
}

// droverRun runs drover and answers with its cost.
func (b *bench) droverRun(ctx context.Context, args ...string) (spent, error) {
	cmd := exec.CommandContext(ctx, b.drover, args...)
	var out bytes.Buffer // what it says of errors; its results are of no interest
	cmd.Stderr = &out
	began := time.Now()
	err := cmd.Run()
	cost := spent{wall: time.Since(began)}
	if err != nil {
		return cost, fmt.Errorf("drover %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		cost.memory = float64(usage.Maxrss) / 1024
	}
	return cost, nil
}

// best is the cheapest of n runs.
func (b *bench) best(ctx context.Context, n int, args ...string) (spent, error) {
	var least spent
	for i := range n {
		cost, err := b.droverRun(ctx, args...)
		if err != nil {
			return least, err
		}
		if i == 0 || cost.wall < least.wall {
			cost.memory = max(cost.memory, least.memory)
			least = cost
		}
		least.memory = max(cost.memory, least.memory)
	}
	return least, nil
}

// clock times one thing.
func clock(do func() error) (time.Duration, error) {
	began := time.Now()
	err := do()
	return time.Since(began), err
}

// median is the middle of what was timed.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// inWords lists what was timed.
func inWords(times []time.Duration) string {
	words := make([]string, len(times))
	for i, t := range times {
		words[i] = t.Round(time.Millisecond).String()
	}
	return strings.Join(words, ", ")
}

// each runs one rbd command after another, as a shell loop does.
func each(ctx context.Context, site *lab.Site, names []string, args func(name string) []string) error {
	for _, name := range names {
		if _, err := site.Rbd(ctx, args(name)...); err != nil {
			return err
		}
	}
	return nil
}

// both does the same at both sites at once.
func (b *bench) both(ctx context.Context, do func(context.Context, *lab.Site) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, site := range []*lab.Site{b.a, b.b} {
		g.Go(func() error { return do(ctx, site) })
	}
	return g.Wait()
}

// mirroredPool makes a pool at both sites and sets up one-way image mirroring
// from a to b, so that only images remain to be done.
func (b *bench) mirroredPool(ctx context.Context, pool string) error {
	for _, site := range []*lab.Site{b.a, b.b} {
		if err := site.CreatePool(ctx, pool); err != nil {
			return err
		}
		if _, err := site.Rbd(ctx, "mirror", "pool", "enable", "--site-name", site.Name, pool, "image"); err != nil {
			return err
		}
	}
	token, err := b.a.Rbd(ctx, "mirror", "pool", "peer", "bootstrap", "create", pool)
	if err != nil {
		return err
	}
	file := filepath.Join(b.folder, "token")
	if err := os.WriteFile(file, token, 0o600); err != nil {
		return err
	}
	_, err = b.b.Rbd(ctx, "mirror", "pool", "peer", "bootstrap", "import", "--direction", "rx-only", pool, file)
	return err
}

// plan writes a one-way plan over all images of a pool; daemon is site-b's.
func (b *bench) plan(pool, daemon string) (string, error) {
	text := fmt.Sprintf(`version: 1
name: bench
primary: site-a
sites:
  - {name: site-a, conf: %s}
  - {name: site-b, conf: %s, daemon: %s}
pools:
  - name: %s
    images: [{glob: "*"}]
`, b.a.Conf(), b.b.Conf(), daemon, pool)
	file := filepath.Join(b.folder, pool+".yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// What a plan says of site-b's rbd-mirror: that it is the lab's, or that Drover
// runs it.
const labMirror = "{}"

func (b *bench) ownMirror(pool string) string {
	return fmt.Sprintf("{run: process, keyring: %s, directory: %s}",
		b.b.Keyring("client.rbd-mirror.site-b"), filepath.Join(b.folder, "run-"+pool))
}

// names are n image names.
func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("image-%04d", i)
	}
	return out
}

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
	"golang.org/x/sync/errgroup"

	"github.com/drover-io/drover/test/lab"
)

// drilled are the images of a drill: half of them in journal mode, half in snapshot
// mode.
const drilled = 100

// drillRounds is how often Drover's drill is timed; the median counts. The script, which
// takes minutes, is timed once.
const drillRounds = 3

// drillScript drills images one after another with rbd, as people do it.
//
//go:embed drill.sh
var drillScript string

// measureDrill brings all images of a pool up as clones at the secondary, reads them,
// and removes everything again: with a drill, and with a script of rbd commands, while
// one and the same rbd-mirror replays. Then it measures the lag of replay with a drill
// at work and without.
func measureDrill(ctx context.Context, b *bench) (rows []Row, err error) {
	const pool = "drill"
	plan, byJournal, err := b.drillPool(ctx, pool)
	if err != nil {
		return nil, err
	}
	// Drover's rbd-mirror must not outlive this, whatever comes.
	defer func() { err = errors.Join(err, b.leaveMirror(context.WithoutCancel(ctx), plan)) }()
	script := filepath.Join(b.folder, "drill.sh")
	if err := os.WriteFile(script, []byte(drillScript), 0o600); err != nil {
		return nil, err
	}
	var drover []time.Duration
	for range drillRounds {
		cost, err := b.droverRun(ctx, "drill", plan)
		if err != nil {
			return nil, err
		}
		drover = append(drover, cost.wall)
	}
	peer, err := clock(func() error { return b.shell(ctx, script, pool) })
	if err != nil {
		return nil, err
	}
	lag, err := b.lagOfDrills(ctx, plan, pool, byJournal)
	if err != nil {
		return nil, err
	}
	work := fmt.Sprintf("drill of %d images", drilled)
	return []Row{
		ratio(work, "peer", median(drover), peer, 1.0/3, fmt.Sprintf(
			"peer: a script of rbd commands, one image after another: snapshot, mirror snapshot, wait, clone, export, remove, wait; both with the rbd-mirror that Drover runs; Drover's time is the median of %s, the script is timed once", inWords(drover))),
		lag,
	}, nil
}

// shell carries the script out.
func (b *bench) shell(ctx context.Context, script, pool string) error {
	cmd := exec.CommandContext(ctx, "sh", "-eu", script, pool)
	cmd.Env = append(os.Environ(),
		"A=-c "+b.a.Conf()+" --id admin --keyring "+b.a.Keyring("client.admin"),
		"B=-c "+b.b.Conf()+" --id admin --keyring "+b.b.Keyring("client.admin"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the script: %w\n%s", err, out)
	}
	return nil
}

// drillPool makes the images, protects them, and waits until all replay. It answers
// with the plan and the names of those in journal mode.
func (b *bench) drillPool(ctx context.Context, pool string) (plan string, byJournal []string, err error) {
	for _, site := range []*lab.Site{b.a, b.b} {
		if err := site.CreatePool(ctx, pool); err != nil {
			return "", nil, err
		}
	}
	if err := b.stopMirror(); err != nil {
		return "", nil, err
	}
	images := names(drilled)
	byJournal = images[:drilled/2]
	for i, name := range images[drilled/2:] {
		images[drilled/2+i] = "by-snapshot-" + name
	}
	if err := createBare(ctx, b.a, pool, images, 8<<20, b.parallel); err != nil {
		return "", nil, err
	}
	if err := fillBare(ctx, b.a, pool, images, b.parallel); err != nil {
		return "", nil, err
	}
	text := fmt.Sprintf(`version: 1
name: %[1]s
primary: site-a
sites:
  - {name: site-a, conf: %[2]s}
  - {name: site-b, conf: %[3]s, daemon: %[4]s}
pools:
  - name: %[1]s
    images:
      - {glob: "image-*"}
      - {glob: "by-snapshot-*", mode: snapshot, schedules: [{every: 1h}]}
drills:
  - name: bench
    checks: [{name: readable, builtin: readable}]
`, pool, b.a.Conf(), b.b.Conf(), b.ownMirror(pool))
	plan = filepath.Join(b.folder, pool+".yaml")
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		return "", nil, err
	}
	if _, err := b.droverRun(ctx, "plan", "apply", "--yes", "--wait", "none", plan); err != nil {
		return "", nil, err
	}
	return plan, byJournal, b.await(ctx, b.b, pool, "replaying", drilled)
}

// fillBare writes the first MiB of images.
func fillBare(ctx context.Context, site *lab.Site, pool string, images []string, parallel int) error {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i*i>>8 + i)
	}
	return withPool(site, pool, func(ioctx *rados.IOContext) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for _, name := range images {
			g.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				img, err := rbd.OpenImage(ioctx, name, rbd.NoSnapshot)
				if err != nil {
					return fmt.Errorf("open %s: %w", name, err)
				}
				_, err = img.WriteAt(data, 0)
				return errors.Join(err, img.Close())
			})
		}
		return g.Wait()
	})
}

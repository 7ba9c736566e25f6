package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// measureMany looks at many images that replay: status, an apply with nothing
// to do, and the memory of both.
func measureMany(ctx context.Context, b *bench) ([]Row, error) {
	const pool = "many"
	plan, first, err := b.manyReplaying(ctx, pool)
	if err != nil {
		return nil, err
	}
	b.many = plan
	status, err := b.best(ctx, 3, "status", "-o", "json", plan)
	if err != nil {
		return nil, err
	}
	idle, err := b.best(ctx, 3, "plan", "apply", "--yes", plan)
	if err != nil {
		return nil, err
	}

	sample := names(b.images)[:min(b.sample, b.images)]
	scale := func(d time.Duration) time.Duration {
		return time.Duration(float64(d) * float64(b.images) / float64(len(sample)))
	}
	loop, err := clock(func() error {
		return b.inTurn(func(site *lab.Site) error {
			return each(ctx, site, sample, func(n string) []string { return []string{"mirror", "image", "status", pool + "/" + n} })
		})
	})
	if err != nil {
		return nil, err
	}
	loop = scale(loop)
	infos, err := clock(func() error {
		return b.inTurn(func(site *lab.Site) error {
			return each(ctx, site, sample, func(n string) []string { return []string{"info", pool + "/" + n} })
		})
	})
	if err != nil {
		return nil, err
	}
	verbose, err := clock(func() error {
		return b.inTurn(func(site *lab.Site) error {
			_, err := site.Rbd(ctx, "mirror", "pool", "status", "--verbose", pool)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	verbose += scale(infos)
	writes, windows, err := b.idleWrites(ctx, plan)
	if err != nil {
		return nil, err
	}

	work := fmt.Sprintf("status of %d images", b.images)
	scaled := fmt.Sprintf("peer timed on %d images, scaled", len(sample))
	return []Row{
		ratio(work, "peer", status.wall, loop, 1.0/100, "peer: loop of rbd mirror image status, both sites; "+scaled),
		ratio(work, "peer", status.wall, verbose, 0, "peer: rbd mirror pool status --verbose + rbd info, both sites; "+scaled),
		limit(work, "s", status.wall.Seconds(), 1.5, "whole command, best of 3"),
		ratio(fmt.Sprintf("apply, nothing to do, %d images", b.images), "status", idle.wall, status.wall, 2, "against drover status; best of 3"),
		none(fmt.Sprintf("writes by an apply with nothing to do, %d images", b.images), "writes", writes,
			fmt.Sprintf("objects written and monitors' keys changed at both sites while no rbd-mirror runs; least of %d of up to %d windows", windows, writeWindows)),
		limit(fmt.Sprintf("peak memory, status of %d images", b.images), "MB", status.memory, 150, "resident set"),
		limit(fmt.Sprintf("peak memory, first apply of %d images", b.images), "MB", first.memory, 150, "resident set"),
		limit(fmt.Sprintf("peak memory, idle apply of %d images", b.images), "MB", idle.memory, 150, "resident set"),
	}, nil
}

// manyReplaying makes images, protects them with Drover and waits until all of
// them replay at the secondary.
func (b *bench) manyReplaying(ctx context.Context, pool string) (plan string, first spent, err error) {
	if err := b.mirroredPool(ctx, pool); err != nil {
		return "", first, err
	}
	if err := createBare(ctx, b.a, pool, names(b.images), 8<<20, b.parallel); err != nil {
		return "", first, err
	}
	plan, err = b.plan(pool, labMirror)
	if err != nil {
		return "", first, err
	}
	if first, err = b.droverRun(ctx, "plan", "apply", "--yes", "--wait", "none", plan); err != nil {
		return "", first, err
	}
	if err := b.b.StartMirror(ctx); err != nil {
		return "", first, err
	}
	began := time.Now()
	for {
		n, err := b.replaying(ctx, pool)
		if err != nil {
			return "", first, err
		}
		fmt.Fprintf(os.Stderr, "bench: %d of %d images replay after %s\n", n, b.images, time.Since(began).Round(time.Second))
		if n == b.images {
			return plan, first, nil
		}
		select {
		case <-ctx.Done():
			return "", first, ctx.Err()
		case <-time.After(10 * time.Second):
		}
		if time.Since(began) > 40*time.Minute {
			return "", first, fmt.Errorf("only %d of %d images replay after 40 minutes", n, b.images)
		}
	}
}

func (b *bench) replaying(ctx context.Context, pool string) (int, error) {
	out, err := b.b.Rbd(ctx, "mirror", "pool", "status", "--format", "json", pool)
	if err != nil {
		return 0, err
	}
	var s struct {
		Summary struct {
			States map[string]int `json:"states"`
		} `json:"summary"`
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return 0, err
	}
	return s.Summary.States["replaying"], nil
}

// inTurn does the same at one site after the other, as a person's loop does.
func (b *bench) inTurn(do func(*lab.Site) error) error {
	for _, site := range []*lab.Site{b.a, b.b} {
		if err := do(site); err != nil {
			return err
		}
	}
	return nil
}

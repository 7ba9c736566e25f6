package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// measureVerify proves one large, sparse image identical at both sites.
func measureVerify(ctx context.Context, b *bench) ([]Row, error) {
	const pool, name, size, every = "large", "disk", 4 << 30, 10
	const rounds = 3
	if err := b.mirroredPool(ctx, pool); err != nil {
		return nil, err
	}
	if err := b.stopMirror(); err != nil {
		return nil, err
	}
	if err := createSparse(ctx, b.a, pool, name, size, every); err != nil {
		return nil, err
	}
	plan, err := b.plan(pool, b.ownMirror(pool))
	if err != nil {
		return nil, err
	}
	if _, err := b.droverRun(ctx, "plan", "apply", "--yes", "--wait", "replaying", plan); err != nil {
		return nil, err
	}
	// The first verification also waits out what is left of the first sync.
	if _, err := b.droverRun(ctx, "verify", plan); err != nil {
		return nil, err
	}
	var drover time.Duration
	for i := range rounds {
		// One verification does not come on the heels of another: what the last one
		// has left to replay is over.
		time.Sleep(5 * time.Second)
		cost, err := b.droverRun(ctx, "verify", plan)
		if err != nil {
			return nil, err
		}
		if i == 0 || cost.wall < drover {
			drover = cost.wall
		}
	}
	var peer time.Duration
	for i := range rounds {
		took, err := clock(func() error {
			return b.both(ctx, func(ctx context.Context, s *lab.Site) error {
				line := fmt.Sprintf("rbd -c %s --id drover --keyring %s export --no-progress %s/%s - | sha256sum",
					s.Conf(), s.Keyring("client.drover"), pool, name)
				if out, err := exec.CommandContext(ctx, "sh", "-c", line).CombinedOutput(); err != nil {
					return fmt.Errorf("%s: %w\n%s", line, err, out)
				}
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
		if i == 0 || took < peer {
			peer = took
		}
	}
	rows := []Row{
		ratio("verify 4 GiB, a tenth allocated", "peer", drover, peer, 1.0/3,
			"peer: rbd export - | sha256sum at both sites at once; Drover takes, awaits and removes a snapshot besides, its rbd-mirror looking for journal events every second; best of 3 each"),
	}
	return rows, b.leaveMirror(ctx, plan)
}

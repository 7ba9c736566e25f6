package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// handedOver are the images of a switchover and of a failover.
const handedOver = 100

// measureSwitchover moves caught-up journal images to the other site: with
// drover, and with what people use today, each with a pool of its own.
func measureSwitchover(ctx context.Context, b *bench) ([]Row, error) {
	const byDrover, byPeer = "switch-drover", "switch-peer"
	if _, err := b.twoWay(ctx, byDrover, handedOver); err != nil {
		return nil, err
	}
	if _, err := b.twoWay(ctx, byPeer, handedOver); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := b.a.Rbd(ctx, "mirror", "pool", "demote", byPeer); err != nil {
		return nil, err
	}
	if err := b.promoteAll(ctx, byPeer); err != nil {
		return nil, err
	}
	peer := time.Since(began)

	plan, err := b.takeMirror(ctx, byDrover)
	if err != nil {
		return nil, err
	}
	began = time.Now()
	ended, whole, err := b.lastPrimary(ctx, "switchover", "--yes", "--to", "site-b", "-o", "json", plan)
	if err != nil {
		return nil, err
	}
	if err := b.leaveMirror(ctx, plan); err != nil {
		return nil, err
	}
	work := fmt.Sprintf("switchover of %d journal images", handedOver)
	const note = "peer: rbd mirror pool demote, then rbd mirror pool promote repeated until all are primary; every 5 s, as Ceph ships it, its rbd-mirror looks for journal events; the one that Drover runs does every second"
	return []Row{
		ratio(work+", to last image primary", "peer", ended.Sub(began), peer, 0.7, "from the program's start; "+note),
		ratio(work+", whole command", "peer", whole, peer, 0, "checks, proofs, records; "+note),
	}, nil
}

// measureFailover promotes by force: drover with the old site off, the peer with
// both sites up, which is the easier thing.
func measureFailover(ctx context.Context, b *bench) ([]Row, error) {
	const byDrover, byPeer = "fail-drover", "fail-peer"
	if _, err := b.twoWay(ctx, byPeer, handedOver); err != nil {
		return nil, err
	}
	peer, err := clock(func() error {
		_, err := b.b.Rbd(ctx, "mirror", "pool", "promote", "--force", byPeer)
		return err
	})
	if err != nil {
		return nil, err
	}
	// The split pool is none of the daemons' business any more.
	for _, site := range []*lab.Site{b.a, b.b} {
		if _, err := site.Ceph(ctx, "osd", "pool", "delete", byPeer, byPeer, "--yes-i-really-really-mean-it"); err != nil {
			return nil, err
		}
	}
	if _, err := b.twoWay(ctx, byDrover, handedOver); err != nil {
		return nil, err
	}
	// Drover itself has to run the daemon that it stops.
	plan, err := b.takeMirror(ctx, byDrover)
	if err != nil {
		return nil, err
	}
	if err := b.a.Vanish(); err != nil {
		return nil, err
	}
	args := []string{"failover", "--to", "site-b", "--reason", "bench", "-o", "json", plan}
	hash, err := b.shown(ctx, append(slices.Clone(args), "--dry-run", "-o", "table"))
	if err != nil {
		return nil, err
	}
	began := time.Now()
	report, err := b.report(ctx, append(slices.Clone(args), "--yes", "--approved", hash))
	if err != nil {
		return nil, err
	}
	whole := time.Since(began)
	verified, err := b.lastStep(ctx, report, "verify", plan)
	if err != nil {
		return nil, err
	}
	work := fmt.Sprintf("failover of %d journal images, old site off", handedOver)
	const note = "peer: rbd mirror pool promote --force with both sites up"
	err = errors.Join(b.a.Return(ctx), b.a.StartMirror(ctx))
	return []Row{
		ratio(work+", from the confirmed prompt", "peer", verified.Sub(report.Ended.Add(-report.Took)), peer, 1.5, "daemon stopped, all promoted, recorded and verified; "+note),
		ratio(work+", to the run's end", "peer", report.Took, peer, 0, "with the daemon started again; "+note),
		ratio(work+", whole command", "peer", whole, peer, 0, "with the look at the sites that precedes it, which waits for the silent one; "+note),
	}, err
}

// measureFirstSync asks for a switchover of images most of which are still in
// their first sync: the trap of the bulk demote.
func measureFirstSync(ctx context.Context, b *bench) ([]Row, error) {
	const pool, fit, all = "first-sync", 150, 400
	if _, err := b.twoWay(ctx, pool, fit); err != nil {
		return nil, err
	}
	plan, err := b.writeTwoWay(pool, labMirror)
	if err != nil {
		return nil, err
	}
	if err := createBare(ctx, b.a, pool, names(all)[fit:], 8<<20, b.parallel); err != nil {
		return nil, err
	}
	if _, err := b.droverRun(ctx, "plan", "apply", "--yes", "--wait", "none", plan); err != nil {
		return nil, err
	}
	began := time.Now()
	err = exec.CommandContext(ctx, b.drover, "switchover", "--yes", "--to", "site-b", plan).Run()
	took := time.Since(began)
	var refused *exec.ExitError
	if !errors.As(err, &refused) || refused.ExitCode() != 13 {
		return nil, fmt.Errorf("the switchover was not refused: %w", err)
	}
	moved, err := b.report(ctx, []string{"switchover", "--yes", "--only-ready", "--to", "site-b", "-o", "json", plan})
	if err != nil {
		return nil, err
	}
	here, err := b.primaries(ctx, b.a, pool)
	if err != nil {
		return nil, err
	}
	there, err := b.primaries(ctx, b.b, pool)
	if err != nil {
		return nil, err
	}
	work := fmt.Sprintf("switchover of %d images, %d of them enabled just before", all, all-fit)
	return []Row{
		limit(work+": refused", "s", took.Seconds(), 2, "exit 13; the peer leaves 247 of 400 without a primary"),
		none(work+": images without a primary", "images", int64(all-here-there), fmt.Sprintf(
			"with --only-ready: %d moved in %s, %d left where they are", there, moved.Took.Round(time.Millisecond), here)),
	}, nil
}

// takeMirror has Drover run the rbd-mirror of site-b, and waits until it replays a
// pool.
func (b *bench) takeMirror(ctx context.Context, pool string) (plan string, err error) {
	if err := b.stopMirror(); err != nil {
		return "", err
	}
	plan, err = b.writeTwoWay(pool, b.ownMirror(pool))
	if err != nil {
		return "", err
	}
	if _, err := b.droverRun(ctx, "plan", "apply", "--yes", plan); err != nil {
		return "", err
	}
	return plan, b.await(ctx, b.b, pool, "replaying", handedOver)
}

// stopMirror ends the lab's own rbd-mirror of site-b, where it runs.
func (b *bench) stopMirror() error {
	if !b.b.Running(lab.Mirror) {
		return nil
	}
	return b.b.StopMirror()
}

// leaveMirror ends it again.
func (b *bench) leaveMirror(ctx context.Context, plan string) error {
	_, err := b.droverRun(ctx, "plan", "destroy", "--yes", plan)
	return err
}

// twoWay makes a pool of journal images that replay at site-b and would replay
// at site-a, and waits until the demoted side would link at once: rbd-mirror at
// site-a has to be registered in the copies' journals.
func (b *bench) twoWay(ctx context.Context, pool string, n int) (plan string, err error) {
	for _, site := range []*lab.Site{b.a, b.b} {
		if err := site.CreatePool(ctx, pool); err != nil {
			return "", err
		}
		if err := site.StartMirror(ctx); err != nil {
			return "", err
		}
	}
	if err := createBare(ctx, b.a, pool, names(n), 8<<20, b.parallel); err != nil {
		return "", err
	}
	plan, err = b.writeTwoWay(pool, labMirror)
	if err != nil {
		return "", err
	}
	if _, err := b.droverRun(ctx, "plan", "apply", "--yes", "--wait", "none", plan); err != nil {
		return "", err
	}
	if err := b.await(ctx, b.b, pool, "replaying", n); err != nil {
		return "", err
	}
	return plan, b.linked(ctx, pool, n)
}

func (b *bench) writeTwoWay(pool, daemon string) (string, error) {
	text := fmt.Sprintf(`version: 1
name: %[1]s
direction: two-way
primary: site-a
sites:
  - {name: site-a, conf: %[2]s}
  - {name: site-b, conf: %[3]s, daemon: %[4]s}
pools:
  - name: %[1]s
    images: [{glob: "*"}]
`, pool, b.a.Conf(), b.b.Conf(), daemon)
	file := filepath.Join(b.folder, pool+".yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// await waits until so many images of a pool are in a state at a site.
func (b *bench) await(ctx context.Context, site *lab.Site, pool, state string, n int) error {
	return poll(ctx, 10*time.Minute, func() (string, bool, error) {
		states, err := imageStates(ctx, site, pool)
		return fmt.Sprintf("%s at %s: %d of %d images are %s", pool, site.Name, states[state], n, state), states[state] >= n, err
	})
}

// linked waits until rbd-mirror at site-a is registered in every copy's journal.
func (b *bench) linked(ctx context.Context, pool string, n int) error {
	done := map[string]bool{}
	return poll(ctx, 10*time.Minute, func() (string, bool, error) {
		for _, name := range names(n) {
			if done[name] {
				continue
			}
			out, err := b.b.Rbd(ctx, "journal", "status", "--image", pool+"/"+name, "--format", "json")
			if err != nil {
				return "", false, err
			}
			var journal struct {
				Clients []json.RawMessage `json:"registered_clients"`
			}
			if err := json.Unmarshal(out, &journal); err != nil {
				return "", false, err
			}
			if len(journal.Clients) < 2 {
				break
			}
			done[name] = true
		}
		return fmt.Sprintf("%s: rbd-mirror at site-a is registered in %d of %d journals", pool, len(done), n), len(done) == n, nil
	})
}

// poll looks until it is done, and tells now and then how it stands.
func poll(ctx context.Context, limit time.Duration, look func() (string, bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		said, done, err := look()
		if err != nil || done {
			return err
		}
		fmt.Fprintln(os.Stderr, "bench:", said)
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %s: %s", limit, said)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * time.Second):
		}
	}
}

func imageStates(ctx context.Context, site *lab.Site, pool string) (map[string]int, error) {
	out, err := site.Rbd(ctx, "mirror", "pool", "status", "--format", "json", pool)
	if err != nil {
		return nil, err
	}
	var s struct {
		Summary struct {
			States map[string]int `json:"states"`
		} `json:"summary"`
	}
	return s.Summary.States, json.Unmarshal(out, &s)
}

// promoteAll does what a person does after a bulk demote: promotes the pool
// again and again until no image is refused.
func (b *bench) promoteAll(ctx context.Context, pool string) error {
	var last error
	for range 100 {
		if _, last = b.b.Rbd(ctx, "mirror", "pool", "promote", pool); last == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return last
}

// primaries counts the images of a pool that are primary at a site, as rbd
// itself tells of each.
func (b *bench) primaries(ctx context.Context, site *lab.Site, pool string) (n int, err error) {
	out, err := site.Rbd(ctx, "ls", "--format", "json", pool)
	if err != nil {
		return 0, err
	}
	var images []string
	if err := json.Unmarshal(out, &images); err != nil {
		return 0, err
	}
	for _, name := range images {
		out, err := site.Rbd(ctx, "info", "--format", "json", pool+"/"+name)
		if err != nil {
			return 0, err
		}
		if strings.Contains(string(out), `"primary":true`) {
			n++
		}
	}
	return n, nil
}

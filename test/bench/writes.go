package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/drover-io/drover/test/lab"
)

// writeWindows is how often an idle apply is looked at for writes at most.
const writeWindows = 10

// idleWrites counts what is written to both clusters while an apply finds
// nothing to do. The daemon, which writes at both sites, is stopped meanwhile;
// the managers' own rare writes are not to be told from Drover's, so that the
// least of several windows counts: one without any proves that Drover makes
// none.
func (b *bench) idleWrites(ctx context.Context, plan string) (writes int64, windows int, err error) {
	if err := b.b.StopMirror(); err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, b.b.StartMirror(ctx)) }()
	for windows < writeWindows {
		before, err := b.written(ctx)
		if err != nil {
			return 0, windows, err
		}
		if _, err := b.droverRun(ctx, "plan", "apply", "--yes", plan); err != nil {
			return 0, windows, err
		}
		after, err := b.written(ctx)
		if err != nil {
			return 0, windows, err
		}
		seen := after.since(before)
		if windows == 0 || seen < writes {
			writes = seen
		}
		windows++
		if writes == 0 {
			break
		}
	}
	return writes, windows, nil
}

// written is what has been written to the clusters so far.
type written struct {
	operations int64             // that wrote to objects, as the OSDs count them
	keys       map[string]string // that mirroring keeps at the monitors, by site and name
}

// since is how many writes lie between two looks.
func (w written) since(before written) int64 {
	n := w.operations - before.operations
	for key, value := range w.keys {
		if old, ok := before.keys[key]; !ok || old != value {
			n++
		}
		delete(before.keys, key)
	}
	return n + int64(len(before.keys))
}

func (b *bench) written(ctx context.Context) (written, error) {
	sum := written{keys: map[string]string{}}
	for _, s := range []*lab.Site{b.a, b.b} {
		var counters struct {
			OSD struct {
				Writes int64 `json:"op_w"`
				Both   int64 `json:"op_rw"`
			} `json:"osd"`
		}
		if err := answer(ctx, s, &counters, "tell", "osd.0", "perf", "dump"); err != nil {
			return sum, err
		}
		if counters.OSD.Writes == 0 {
			return sum, fmt.Errorf("the OSD of %s counts no writes at all", s.Name)
		}
		sum.operations += counters.OSD.Writes + counters.OSD.Both
		keys := map[string]string{}
		if err := answer(ctx, s, &keys, "config-key", "dump", "rbd/mirror/"); err != nil {
			return sum, err
		}
		for key, value := range keys {
			sum.keys[s.Name+" "+key] = value
		}
	}
	return sum, nil
}

// answer is what a ceph command says, as JSON.
func answer(ctx context.Context, s *lab.Site, into any, command ...string) error {
	out, err := s.Ceph(ctx, append(command, "--format", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("ceph %v at %s: %w", command, s.Name, err)
	}
	return nil
}

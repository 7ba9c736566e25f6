package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// simStage is two simulated clusters, kept in a file that each drover command
// opens in turn.
type simStage struct{ folder string }

func (s *simStage) world() string { return filepath.Join(s.folder, "world.json") }

func (s *simStage) Boot(_ context.Context, example string) (string, error) {
	folder, err := os.MkdirTemp("", "drover-demo-")
	if err != nil {
		return "", err
	}
	s.folder = folder
	err = s.open(func(w *sim.File) error {
		for _, site := range []string{"site-a", "site-b"} {
			w.AddSite(site)
			w.AddPool(site, "rbd")
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	fmt.Println("Two simulated clusters:", s.world())
	return placePlan(example, folder, nil)
}

func (s *simStage) Env() []string { return []string{"DROVER_SIM=" + s.world()} }

func (s *simStage) Write(_ context.Context, out io.Writer) error {
	const piece, pieces, apart = 64 << 10, 64, 16 << 20
	fmt.Fprintf(out, "%d pieces of 64 KiB, written all over rbd/%s at site-a\n", pieces, image)
	return s.open(func(w *sim.File) error {
		data := make([]byte, piece)
		for i := range uint64(pieces) {
			if _, err := rand.Read(data); err != nil {
				return err
			}
			if err := w.Write("site-a", ref, i*apart, data); err != nil {
				return err
			}
		}
		return nil
	})
}

var ref = replay.Pool{Name: "rbd"}.Image(image)

func (s *simStage) Replaying(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		var seen *replay.Report
		err := s.open(func(w *sim.File) error {
			reports, err := w.Site("site-b").Reports(ctx, ref.Pool)
			for i := range reports {
				if reports[i].MirrorUUID == "" {
					seen = &reports[i]
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		if seen != nil && seen.Up && seen.State == replay.ReportReplaying {
			fmt.Fprintf(out, "%s at site-b: up+%s, %s\n", ref, seen.State, seen.Description)
			return nil
		}
		select { // reports lag by up to half a minute
		case <-ctx.Done():
			return fmt.Errorf("not replaying in time: %+v", seen)
		case <-time.After(time.Second):
		}
	}
}

func (s *simStage) Roles(ctx context.Context, out io.Writer) error {
	return s.open(func(w *sim.File) error {
		for site, want := range map[string]replay.Role{"site-a": replay.RolePrimary, "site-b": replay.RoleSecondary} {
			i, err := w.Site(site).Image(ctx, ref)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s at %s: %s\n", ref, site, i.Role)
			if i.Role != want {
				return fmt.Errorf("%s at %s is %s, want %s", ref, site, i.Role, want)
			}
		}
		return nil
	})
}

func (s *simStage) Close() error {
	if s.folder == "" {
		return nil
	}
	return os.RemoveAll(s.folder)
}

// open holds the world while do works on it.
func (s *simStage) open(do func(*sim.File) error) error {
	w, err := sim.OpenFile(s.world())
	if err != nil {
		return err
	}
	return errors.Join(do(w), w.Close())
}

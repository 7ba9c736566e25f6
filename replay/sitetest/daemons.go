package sitetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

// daemons is about a site whose daemon does not run.
func (s *suite) daemons(t *testing.T) {
	ctx, pool := t.Context(), s.pool("one-way")
	serves := func(site replay.Site) (replay.MirrorDaemon, error) {
		all, err := site.MirrorDaemons(ctx)
		if err != nil {
			return replay.MirrorDaemon{}, err
		}
		for _, d := range all {
			for _, p := range d.Pools {
				if p.Pool.Name == pool.Name {
					return d, nil
				}
			}
		}
		return replay.MirrorDaemon{}, fmt.Errorf("none of %d daemons serves %s", len(all), pool)
	}
	var d replay.MirrorDaemon
	s.eventually(t, "the daemon is in the service map", func() (err error) {
		d, err = serves(s.B)
		return err
	})
	if d.ID == "" || d.Version == "" || d.Host == "" || d.Started.IsZero() {
		t.Fatalf("daemon %+v", d)
	}
	s.eventually(t, "the daemon is heard of again", func() error {
		again, err := serves(s.B)
		if err == nil && !again.Beacon.After(d.Beacon) {
			err = fmt.Errorf("last at %s", again.Beacon)
		}
		return err
	})
	i := s.protected(t, pool, "daemon", replay.ModeJournal)
	i.awaitReport(s.B, "replay", func(r replay.Report) bool { return r.Up && r.State == replay.ReportReplaying })

	ok(t, s.StopDaemon(ctx, s.B))
	i.awaitReport(s.B, "a daemon that is down", func(r replay.Report) bool { return !r.Up })
	s.eventually(t, "the daemon is out of the service map", func() error {
		if _, err := serves(s.B); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
	ok(t, i.Write(ctx, s.A, i.ref, 0, text(120, 5000)))
	s.settle(3 * time.Second)
	if got, err := i.read(s.B, "", 0, 5000); err != nil || string(got) == string(text(120, 5000)) {
		t.Fatalf("without a daemon the copy got the data (%v)", err)
	}
	ok(t, s.StartDaemon(ctx, s.B))
	i.awaitData(s.B, "", 0, text(120, 5000))
	s.eventually(t, "the new life of the daemon is in the service map", func() error {
		again, err := serves(s.B)
		if err == nil && again.ID == d.ID {
			err = errors.New("it has the old id")
		}
		return err
	})
	i.awaitReport(s.B, "replay", func(r replay.Report) bool { return r.Up && r.State == replay.ReportReplaying })
}

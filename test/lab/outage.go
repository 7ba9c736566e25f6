package lab

import (
	"context"
	"errors"
)

// Vanish ends all of a site's daemons in good order, so that nothing listens
// there any more: connections are refused. Return brings it back.
func (s *Site) Vanish() error {
	var errs []error
	for _, d := range stopOrder {
		if !s.Running(d) {
			continue
		}
		// A frozen one would not hear SIGTERM.
		errs = append(errs, s.goOn(d), s.StopDaemon(d))
	}
	return errors.Join(errs...)
}

// Return starts a vanished site again, with its data. Its rbd-mirror is not
// started: see StartMirror.
func (s *Site) Return(ctx context.Context) error {
	for _, d := range startOrder {
		if d == Mirror || s.Running(d) {
			continue
		}
		if err := s.start(d); err != nil {
			return err
		}
		if d == Mon {
			if err := s.awaitService(ctx, d); err != nil {
				return err
			}
		}
	}
	return errors.Join(s.awaitService(ctx, OSD), s.awaitService(ctx, Mgr))
}

// FreezeAll freezes every daemon of the site: connections stay open and
// nothing answers, as when a line goes dead.
func (s *Site) FreezeAll() error { return s.each(s.Freeze) }

// ThawAll lets every daemon of the site go on.
func (s *Site) ThawAll() error {
	if err := s.each(s.goOn); err != nil {
		return err
	}
	return s.wakeOSD()
}

func (s *Site) each(do func(Daemon) error) error {
	var errs []error
	for _, d := range stopOrder {
		if s.Running(d) {
			errs = append(errs, do(d))
		}
	}
	return errors.Join(errs...)
}

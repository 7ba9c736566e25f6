package ceph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/drover-io/drover/replay"
)

// MirrorSchedules lists the mirror snapshot schedules of the pool (or
// namespace) and of its images.
func (s *Site) MirrorSchedules(ctx context.Context, pool replay.Pool) ([]replay.MirrorSchedule, error) {
	out, err := s.schedule(ctx, opSchedules, "list", replay.MirrorSchedule{ImageRef: replay.ImageRef{Pool: pool}})
	if err != nil {
		return nil, err
	}
	schedules, err := decodeSchedules(out, pool)
	if err != nil {
		return nil, s.malformed(opSchedules, pool.String(), err)
	}
	return schedules, nil
}

// decodeSchedules reads the answer of the mgr, which lists a pool with all its
// namespaces, and keeps what is of the pool or namespace asked for.
func decodeSchedules(out []byte, pool replay.Pool) ([]replay.MirrorSchedule, error) {
	var levels map[string]struct {
		Name     string `json:"name"` // "pool/", "pool/image", "pool/ns/" or "pool/ns/image"
		Schedule []struct {
			Interval string  `json:"interval"`
			Start    *string `json:"start_time"`
		} `json:"schedule"`
	}
	if len(strings.TrimSpace(string(out))) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(out, &levels); err != nil {
		return nil, err
	}
	var schedules []replay.MirrorSchedule
	for _, level := range levels {
		rest, ok := strings.CutPrefix(level.Name, pool.String()+"/")
		if !ok || strings.Contains(rest, "/") {
			continue
		}
		for _, term := range level.Schedule {
			schedule := replay.MirrorSchedule{ImageRef: pool.Image(rest), Every: term.Interval}
			if term.Start != nil {
				schedule.Start = *term.Start
			}
			schedules = append(schedules, schedule)
		}
	}
	slices.SortFunc(schedules, func(a, b replay.MirrorSchedule) int {
		return cmp.Or(a.Compare(b.ImageRef), cmp.Compare(a.Every, b.Every), cmp.Compare(a.Start, b.Start))
	})
	return schedules, nil
}

// AddMirrorSchedule adds a schedule; one that exists is no error.
func (s *Site) AddMirrorSchedule(ctx context.Context, schedule replay.MirrorSchedule) error {
	_, err := s.schedule(ctx, opSchedule, "add", schedule)
	return err
}

// RemoveMirrorSchedule removes a schedule; one that is gone is no error.
func (s *Site) RemoveMirrorSchedule(ctx context.Context, schedule replay.MirrorSchedule) error {
	_, err := s.schedule(ctx, opUnplan, "remove", schedule)
	if gone(err) {
		return nil
	}
	return err
}

func (s *Site) schedule(ctx context.Context, op operation, verb string, schedule replay.MirrorSchedule) ([]byte, error) {
	level := schedule.String() // "pool/", "pool/image", "pool/ns/" or "pool/ns/image"
	command := map[string]any{
		"prefix":     "rbd mirror snapshot schedule " + verb,
		"level_spec": level,
	}
	if schedule.Every != "" {
		command["interval"] = schedule.Every
	}
	if schedule.Start != "" {
		command["start_time"] = schedule.Start
	}
	out, err := s.mgrCommand(ctx, op, level, command)
	return out, s.explainMgr(err)
}

// explainMgr tells a mgr whose module is missing from one that refuses a
// command.
func (s *Site) explainMgr(err error) error {
	var e *replay.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch {
	case isErrno(err, einval) && strings.Contains(e.Err.Error(), "No handler found"):
		e.Err = &cause{is: replay.ErrUnsupported, err: e.Err, say: "the mgr knows no such command: the module that answers it is not loaded"}
		e.Hint = "see ceph mgr module ls and the mgr's log (the mgr of Debian 13's Ceph 18.2 cannot load its Python modules, such as rbd_support)"
	case isErrno(err, eagain):
		e.Hint = "the mgr's module is starting: try again in a few seconds"
	}
	return err
}

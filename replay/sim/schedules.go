package sim

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/drover-io/drover/replay"
)

// schedule is one mirror snapshot schedule of a namespace or an image.
type schedule struct {
	Image string        `json:"image,omitempty"`
	Every time.Duration `json:"every"`
	Start string        `json:"start,omitempty"`
	Next  time.Time     `json:"next"`
}

// scheduler is the mgr module that keeps schedules.
const scheduler = "rbd_support"

var intervalForm = regexp.MustCompile(`^(\d+)([dhm]?)$`)

// startForms are those of ISO 8601 that a start time can have.
var startForms = []string{time.RFC3339, "15:04:05", "15:04", "15:04:05Z07:00", "15:04Z07:00"}

// parseInterval reads an interval as the mgr module does: minutes unless said
// otherwise.
func parseInterval(s string) (time.Duration, error) {
	m := intervalForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fail(einval, "invalid interval (%s)", s)
	}
	n, err := strconv.ParseInt(m[1], 10, 32)
	if err != nil || n == 0 {
		return 0, fail(einval, "invalid interval (%s)", s)
	}
	unit := map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "": time.Minute}[m[2]]
	return time.Duration(n) * unit, nil
}

// formatInterval writes an interval in the largest unit that fits.
func formatInterval(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		sign string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}} {
		if d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.sign)
		}
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

func (c *cluster) needScheduler() error {
	if slices.Contains(c.Lost, scheduler) {
		return fail(eopnotsupp, "no handler found for 'rbd mirror snapshot schedule': the mgr module %s is not there", scheduler)
	}
	return nil
}

// MirrorSchedules lists the schedules of a pool and of its images.
func (s *Site) MirrorSchedules(ctx context.Context, pool replay.Pool) (out []replay.MirrorSchedule, err error) {
	err = s.do(ctx, "MirrorSchedules", pool.String(), func(c *cluster) error {
		if err := c.needScheduler(); err != nil {
			return err
		}
		n, err := c.mustSpace(pool)
		if err != nil {
			return err
		}
		for _, k := range n.Schedules {
			if k.Image != "" && n.find(k.Image) == nil {
				continue // the module forgets images that are gone
			}
			out = append(out, replay.MirrorSchedule{
				ImageRef: pool.Image(k.Image), Every: formatInterval(k.Every), Start: k.Start,
			})
		}
		slices.SortStableFunc(out, func(a, b replay.MirrorSchedule) int { return a.Compare(b.ImageRef) })
		return nil
	})
	return out, err
}

// AddMirrorSchedule adds a schedule; one that is there already is no error.
func (s *Site) AddMirrorSchedule(ctx context.Context, m replay.MirrorSchedule) error {
	return s.schedule(ctx, "AddMirrorSchedule", m, func(n *namespace, every time.Duration) {
		now := s.w.state.Now
		n.Schedules = append(n.Schedules, &schedule{
			Image: m.Name, Every: every, Start: m.Start, Next: now.Truncate(every).Add(every),
		})
	})
}

// RemoveMirrorSchedule removes a schedule; one that is gone is no error.
func (s *Site) RemoveMirrorSchedule(ctx context.Context, m replay.MirrorSchedule) error {
	return s.schedule(ctx, "RemoveMirrorSchedule", m, func(*namespace, time.Duration) {})
}

// schedule takes out the schedule m and then lets put put it back or not.
func (s *Site) schedule(ctx context.Context, op string, m replay.MirrorSchedule, put func(*namespace, time.Duration)) error {
	object := m.Pool.String()
	if m.Name != "" {
		object = m.String()
	}
	return s.do(ctx, op, object, func(c *cluster) error {
		if err := c.needScheduler(); err != nil {
			return err
		}
		n, err := c.mustSpace(m.Pool)
		if err != nil {
			return err
		}
		if m.Name != "" && n.find(m.Name) == nil {
			return fail(enoent, "image %s does not exist", m.Name)
		}
		every, err := parseInterval(m.Every)
		if err != nil {
			return err
		}
		if m.Start != "" && !slices.ContainsFunc(startForms, func(form string) bool { _, err := time.Parse(form, m.Start); return err == nil }) {
			return fail(einval, "invalid start time (%s)", m.Start)
		}
		n.Schedules = slices.DeleteFunc(n.Schedules, func(k *schedule) bool {
			return k.Image == m.Name && k.Every == every && k.Start == m.Start
		})
		put(n, every)
		return nil
	})
}

// schedules visits all schedules that fire at all.
func (w *World) schedules(visit func(*namespace, *schedule)) {
	for _, c := range w.state.Sites {
		if c.Gone || c.Frozen || c.MgrDead || c.needScheduler() != nil {
			continue
		}
		for _, p := range c.Pools {
			for _, n := range p.Spaces {
				for _, k := range n.Schedules {
					visit(n, k)
				}
			}
		}
	}
}

// nextSchedule is when the next schedule fires.
func (w *World) nextSchedule() (at time.Time, any bool) {
	w.schedules(func(_ *namespace, k *schedule) {
		if !any || k.Next.Before(at) {
			at, any = k.Next, true
		}
	})
	return at, any
}

// fireSchedules takes the mirror snapshots that are due.
func (w *World) fireSchedules() {
	w.schedules(func(n *namespace, k *schedule) {
		if k.Next.After(w.state.Stepped) {
			return
		}
		k.Next = w.state.Stepped.Truncate(k.Every).Add(k.Every)
		if len(n.receivers()) == 0 {
			return
		}
		for _, i := range n.Images {
			if i.Mirror == nil || i.Mirror.Mode != replay.ModeSnapshot || i.role(n) != replay.RolePrimary {
				continue
			}
			own := slices.ContainsFunc(n.Schedules, func(o *schedule) bool { return o.Image == i.Name })
			if k.Image == i.Name || k.Image == "" && !own {
				w.mark(n, i, replay.SnapPrimary)
				w.quiet = false
			}
		}
	})
}

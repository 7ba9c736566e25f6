package plans

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Schedule is one mirror snapshot schedule, as the mgr module rbd_support
// takes it (pybind/mgr/rbd_support/schedule.py).
type Schedule struct {
	Every string `yaml:"every" required:"true" is:"interval" doc:"interval in whole minutes, hours or days: 5m, 1h, 1d"`
	Start string `yaml:"start" is:"start" doc:"start time, ISO 8601, such as 14:00:00-05:00"`
}

const (
	intervalPattern = `^[0-9]{1,7}[mhd]$`
	startPattern    = `^([01][0-9]|2[0-3]):[0-5][0-9](:00)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?$`
)

var (
	intervalRE = regexp.MustCompile(intervalPattern)
	startRE    = regexp.MustCompile(startPattern)
)

// Interval returns the schedule's interval; zero when it is not a valid one.
func (s Schedule) Interval() Duration {
	if !intervalRE.MatchString(s.Every) {
		return 0
	}
	last := len(s.Every) - 1
	n, err := strconv.Atoi(s.Every[:last])
	if err != nil {
		return 0
	}
	unit := time.Minute
	switch s.Every[last] {
	case 'h':
		unit = time.Hour
	case 'd':
		unit = 24 * time.Hour
	}
	if int64(n) > maxDuration/int64(unit) {
		return 0
	}
	return Duration(time.Duration(n) * unit)
}

// Canonical returns the schedule in the words in which rbd_support lists it:
// 60m becomes 1h, 14:00 becomes 14:00:00. Two schedules mean the same to Ceph
// when their canonical forms are equal.
func (s Schedule) Canonical() Schedule {
	out := s
	if minutes := int64(time.Duration(s.Interval()) / time.Minute); minutes > 0 {
		switch {
		case minutes%(24*60) == 0:
			out.Every = fmt.Sprintf("%dd", minutes/(24*60))
		case minutes%60 == 0:
			out.Every = fmt.Sprintf("%dh", minutes/60)
		default:
			out.Every = fmt.Sprintf("%dm", minutes)
		}
	}
	if startRE.MatchString(s.Start) {
		clock, zone := s.Start[:5], s.Start[5:]
		if len(zone) >= 3 && zone[:3] == ":00" {
			zone = zone[3:]
		}
		if zone == "Z" {
			zone = "+00:00"
		}
		out.Start = clock + ":00" + zone
	}
	return out
}

// Last returns the newest time of the schedule that has come, and Next the first one
// that has not, as the mgr counts them: from midnight (UTC) of 1 January 1970, or
// from the start time on that day, in steps of the interval. A start time's zone is
// taken at its word, which 16.2.15 does not: it adds the zone's offset where it would
// have to take it away (rbd_support/schedule.py, StartTime). Zero for a schedule that
// is not a valid one.
func (s Schedule) Last(now time.Time) time.Time {
	every := s.Interval().Std()
	if every <= 0 {
		return time.Time{}
	}
	passed := now.Sub(time.Unix(0, 0).Add(s.start())) % every
	if passed < 0 {
		passed += every
	}
	return now.Add(-passed).Round(0).UTC()
}

// Next is described at [Schedule.Last].
func (s Schedule) Next(now time.Time) time.Time {
	last := s.Last(now)
	if last.IsZero() {
		return last
	}
	return last.Add(s.Interval().Std())
}

// start is the start time as the time that has passed since midnight (UTC).
func (s Schedule) start() time.Duration {
	canonical := s.Canonical().Start
	for _, layout := range []string{"15:04:05Z07:00", "15:04:05"} {
		if at, err := time.Parse(layout, canonical); err == nil {
			at = at.UTC()
			return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
		}
	}
	return 0
}

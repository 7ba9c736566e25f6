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

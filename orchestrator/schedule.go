package orchestrator

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// hasSchedule reports whether an equal schedule is listed.
func hasSchedule(listed []replay.MirrorSchedule, wanted replay.MirrorSchedule) bool {
	return slices.ContainsFunc(listed, func(s replay.MirrorSchedule) bool { return sameSchedule(s, wanted) })
}

// sameSchedule compares schedules by their meaning: the mgr writes an interval
// in the largest unit that divides it (60m becomes 1h; rbd_support/schedule.py,
// Interval.to_string).
func sameSchedule(a, b replay.MirrorSchedule) bool {
	return a.ImageRef == b.ImageRef && interval(a.Every) == interval(b.Every) && sameStart(a.Start, b.Start)
}

// interval is the canonical form of a schedule's interval.
func interval(every string) string {
	if every == "" {
		return ""
	}
	unit := every[len(every)-1]
	n, err := strconv.Atoi(every[:len(every)-1])
	if err != nil || n <= 0 {
		return every
	}
	minutes := map[byte]int{'m': 1, 'h': 60, 'd': 24 * 60}[unit] * n
	switch {
	case minutes == 0:
		return every
	case minutes%(24*60) == 0:
		return strconv.Itoa(minutes/(24*60)) + "d"
	case minutes%60 == 0:
		return strconv.Itoa(minutes/60) + "h"
	default:
		return strconv.Itoa(minutes) + "m"
	}
}

// sameStart compares start times; those that cannot be read are compared as
// text.
func sameStart(a, b string) bool {
	if a == b {
		return true
	}
	x, okX := startTime(a)
	y, okY := startTime(b)
	return okX && okY && x.Equal(y)
}

func startTime(text string) (time.Time, bool) {
	text = strings.ToUpper(strings.TrimSpace(text))
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04",
		"15:04:05Z07:00", "15:04:05", "15:04Z07:00", "15:04",
	} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

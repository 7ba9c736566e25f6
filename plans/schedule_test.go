package plans

import (
	"testing"
	"time"
)

func TestScheduleTimes(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		out, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, c := range []struct{ every, start, now, last, next string }{
		{"5m", "", "2026-03-04T10:07:31Z", "2026-03-04T10:05:00Z", "2026-03-04T10:10:00Z"},
		{"5m", "", "2026-03-04T10:05:00Z", "2026-03-04T10:05:00Z", "2026-03-04T10:10:00Z"},
		{"5m", "00:02", "2026-03-04T10:06:59Z", "2026-03-04T10:02:00Z", "2026-03-04T10:07:00Z"},
		{"7m", "", "1970-01-01T00:15:00Z", "1970-01-01T00:14:00Z", "1970-01-01T00:21:00Z"},
		{"1h", "14:30", "2026-03-04T10:29:59.9Z", "2026-03-04T09:30:00Z", "2026-03-04T10:30:00Z"},
		{"1d", "14:00:00-05:00", "2026-03-04T18:59:00Z", "2026-03-03T19:00:00Z", "2026-03-04T19:00:00Z"},
		{"1d", "14:00+02:00", "2026-03-04T12:00:01+00:00", "2026-03-04T12:00:00Z", "2026-03-05T12:00:00Z"},
		{"1d", "23:00", "1970-01-01T01:00:00Z", "1969-12-31T23:00:00Z", "1970-01-01T23:00:00Z"},
		{"2d", "", "2026-03-04T00:00:00Z", "2026-03-04T00:00:00Z", "2026-03-06T00:00:00Z"},
		{"1h", "", "2026-03-04T10:07:31+05:30", "2026-03-04T04:00:00Z", "2026-03-04T05:00:00Z"},
	} {
		s := Schedule{Every: c.every, Start: c.start}
		now := at(c.now)
		if last, next := s.Last(now), s.Next(now); !last.Equal(at(c.last)) || !next.Equal(at(c.next)) {
			t.Errorf("every %s from %q at %s: last %s, next %s; want %s and %s", c.every, c.start, c.now, last, next, c.last, c.next)
		}
	}
	if s := (Schedule{Every: "soon"}); !s.Last(at("2026-03-04T10:00:00Z")).IsZero() || !s.Next(at("2026-03-04T10:00:00Z")).IsZero() {
		t.Error("a schedule without an interval has times")
	}
}

func TestSchedulesFor(t *testing.T) {
	one := []Schedule{{Every: "1m"}}
	plan := &Plan{Pools: []Pool{
		{Name: "rbd", Schedules: []Schedule{{Every: "5m"}}, Images: []Image{{Name: "own", Schedules: one}, {Glob: "*"}}},
		{Name: "rbd", Namespace: "inner", Images: []Image{{Glob: "*"}}},
		{Name: "rbd", Namespace: "other", Schedules: []Schedule{{Every: "7m"}}, Images: []Image{{Glob: "*"}}},
		{Name: "lone", Namespace: "inner", Images: []Image{{Glob: "*"}}},
	}}
	for i, want := range [][2]string{{"own", "1m"}, {"x", "5m"}} {
		if got := plan.SchedulesFor(&plan.Pools[0], want[0]); len(got) != 1 || got[0].Every != want[1] {
			t.Errorf("%d: %v", i, got)
		}
	}
	for i, want := range map[int]string{1: "5m", 2: "7m"} {
		if got := plan.SchedulesFor(&plan.Pools[i], "x"); len(got) != 1 || got[0].Every != want {
			t.Errorf("pool %d: %v, want %s", i, got, want)
		}
	}
	if got := plan.SchedulesFor(&plan.Pools[3], "x"); len(got) != 0 {
		t.Errorf("a namespace alone: %v", got)
	}
}

package plans

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a plan's time zones must mean the same on every host

	"github.com/robfig/cron/v3"
)

// cronFrom is where the search for a cron line's first time begins. It is
// fixed, so that a plan is not valid today and invalid tomorrow, and lies in a
// leap year, so that 29 February comes within the five years that robfig/cron
// looks ahead.
var cronFrom = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// cronLine says why a text is no cron line. That it can never fire is told
// apart by neverFires.
func cronLine(text string) string {
	_, err := parseCron(text, time.UTC)
	if err != nil {
		return "is not a cron line: " + err.Error()
	}
	return ""
}

// neverFires says whether a valid cron line names no time that ever comes,
// such as 30 February.
func neverFires(text string) bool {
	schedule, err := parseCron(text, time.UTC)
	return err == nil && schedule.Next(cronFrom).IsZero()
}

// CronSchedule returns the times of a cron line of a plan, such as
// Drill.Schedule with Drill.TimeZone. Lines of a plan that was loaded are
// valid.
func CronSchedule(line, zone string) (cron.Schedule, error) {
	location, err := loadZone(zone)
	if err != nil {
		return nil, err
	}
	schedule, err := parseCron(line, location)
	if err != nil {
		return nil, fmt.Errorf("cron line %q: %w", line, err)
	}
	return schedule, nil
}

func parseCron(line string, location *time.Location) (cron.Schedule, error) {
	// robfig/cron takes a zone in front of the line, and panics when nothing
	// follows it. The plan has a key for the zone.
	if strings.Contains(line, "TZ=") {
		return nil, fmt.Errorf("the time zone belongs into time_zone")
	}
	if rest, ok := strings.CutPrefix(line, "@every "); ok {
		every, err := time.ParseDuration(rest)
		if err != nil {
			return nil, fmt.Errorf("%q is not a length of time", rest)
		}
		if every < time.Second {
			return nil, fmt.Errorf("%q is shorter than a second", rest)
		}
	}
	schedule, err := cron.ParseStandard(line)
	if err != nil {
		return nil, err
	}
	if spec, ok := schedule.(*cron.SpecSchedule); ok {
		spec.Location = location
	}
	return schedule, nil
}

func timeZone(text string) string {
	if _, err := loadZone(text); err != nil {
		return "is not a time zone"
	}
	return ""
}

// loadZone refuses Local, which is another zone on each host.
func loadZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("time zone %q differs from host to host", name)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", name, err)
	}
	return location, nil
}

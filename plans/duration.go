package plans

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// Duration is a length of time, never negative, written as 30s, 5m, 1h30m or
// 7d.
type Duration time.Duration

const (
	maxDuration     = math.MaxInt64
	durationPattern = `^([0-9]{1,9}(ms|s|m|h|d|w))+$`
	durationForm    = "a number with a unit, such as 30s, 5m, 1h30m or 7d"
)

var (
	durationRE     = regexp.MustCompile(durationPattern)
	durationPartRE = regexp.MustCompile(`([0-9]+)(ms|s|m|h|d|w)`)

	errDurationForm     = errors.New("not a length of time")
	errDurationNegative = errors.New("a length of time cannot be negative")
	errDurationLong     = errors.New("longer than 292 years")
)

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
	"d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// ParseDuration reads a length of time as a plan writes it: whole numbers with
// the units ms, s, m, h, d (24 hours) and w, or a bare 0.
func ParseDuration(text string) (Duration, error) {
	if text == "0" {
		return 0, nil
	}
	if len(text) > 1 && text[0] == '-' && (text[1:] == "0" || durationRE.MatchString(text[1:])) {
		return 0, fmt.Errorf("duration %q: %w", text, errDurationNegative)
	}
	if !durationRE.MatchString(text) {
		return 0, fmt.Errorf("duration %q: %w", text, errDurationForm)
	}
	var sum int64
	for _, part := range durationPartRE.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseInt(part[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("duration %q: %w", text, err)
		}
		unit := int64(durationUnits[part[2]])
		if n > (maxDuration-sum)/unit {
			return 0, fmt.Errorf("duration %q: %w", text, errDurationLong)
		}
		sum += n * unit
	}
	return Duration(sum), nil
}

// Std returns the length as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes the length as a plan does: 90m as 1h30m, 168h as 7d. What is
// below a millisecond is dropped.
func (d Duration) String() string {
	rest := time.Duration(d)
	sign := ""
	if rest < 0 {
		sign, rest = "-", -rest
	}
	out := ""
	for _, unit := range []string{"d", "h", "m", "s", "ms"} {
		if n := rest / durationUnits[unit]; n > 0 {
			out += strconv.FormatInt(int64(n), 10) + unit
			rest %= durationUnits[unit]
		}
	}
	if out == "" {
		return "0s"
	}
	return sign + out
}

// MarshalText writes the length as a plan does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what [ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

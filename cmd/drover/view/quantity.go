package view

import (
	"fmt"
	"time"
)

// Bytes is a number of bytes in binary units, three digits or so.
func Bytes[N ~int64 | ~uint64](n N) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v /= 1024
		u++
	}
	if u == 0 || v == float64(int64(v)) {
		return fmt.Sprintf("%.0f %s", v, units[u])
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}

// Span is a length of time, short: 3s, 4m10s, 2h5m, 3d4h.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Span(-d)
	case d == 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", max(d.Milliseconds(), 1))
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return pair(d, time.Minute, "m", time.Second, "s")
	case d < 24*time.Hour:
		return pair(d, time.Hour, "h", time.Minute, "m")
	}
	return pair(d, 24*time.Hour, "d", time.Hour, "h")
}

func pair(d, big time.Duration, bigUnit string, small time.Duration, smallUnit string) string {
	rest := d % big / small
	if rest == 0 {
		return fmt.Sprintf("%d%s", d/big, bigUnit)
	}
	return fmt.Sprintf("%d%s%d%s", d/big, bigUnit, rest, smallUnit)
}

// Count is a number with its noun, in the plural where it must be.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

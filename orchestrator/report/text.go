package report

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// escapeRE are the sequences by which programs colour and move on a terminal
// (ECMA-48, 5.4), and those that set its title.
var escapeRE = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-Z\\\\^_])")

// lines is a text that every rendering can show: valid UTF-8, lines ended by \n, no
// colours. Control and invisible characters show as U+FFFD, so that nobody is misled
// by what is not seen, and XML 1.0 can hold the rest.
func lines(text string) string {
	text = escapeRE.ReplaceAllString(strings.ToValidUTF8(text, "\uFFFD"), "")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// line is such a text on one line.
func line(text string) string { return strings.Join(strings.Fields(lines(text)), " ") }

// moment is a point in time for people.
func moment(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// longest is the longest time that is drawn or told, in seconds: some 300 years.
const longest = 1e10

// finite is a length of time in seconds that can be told and drawn.
func finite(seconds float64) float64 {
	if math.IsNaN(seconds) {
		return 0
	}
	return max(-longest, min(longest, seconds))
}

// length is one that cannot be negative, such as how long a step took.
func length(seconds float64) float64 { return max(0, finite(seconds)) }

// took is how long a report's drill or run took, in seconds.
func took(began, ended time.Time) float64 {
	if began.IsZero() || ended.IsZero() {
		return 0
	}
	return length(ended.Sub(began).Seconds())
}

// span is a length of time for people: as exact as it matters at its size.
func span(seconds float64) string {
	seconds = finite(seconds)
	sign := ""
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	if tenths := math.Round(seconds*10) / 10; tenths < 60 {
		if seconds < 1 {
			return sign + trimmed(fmt.Sprintf("%.3f", seconds)) + " s"
		}
		return sign + trimmed(fmt.Sprintf("%.1f", tenths)) + " s"
	}
	whole := int64(math.Round(seconds))
	switch {
	case whole < 3600:
		return sign + twoUnits(whole, 60, "min", 1, "s")
	case whole < 86400:
		return sign + twoUnits(whole, 3600, "h", 60, "min")
	}
	return sign + twoUnits(whole, 86400, "d", 3600, "h")
}

func trimmed(number string) string {
	return strings.TrimSuffix(strings.TrimRight(number, "0"), ".")
}

func twoUnits(seconds, large int64, largeName string, small int64, smallName string) string {
	text := fmt.Sprintf("%d %s", seconds/large, largeName)
	if rest := seconds % large / small; rest > 0 {
		text += fmt.Sprintf(" %d %s", rest, smallName)
	}
	return text
}

// spanOf is a measured time, or that there is none.
func spanOf(seconds *float64) string {
	if seconds == nil {
		return "not measured"
	}
	return span(*seconds)
}

// size is a number of bytes for people.
func size(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return trimmed(fmt.Sprintf("%.1f", value)) + " " + units[unit]
}

// many is a number with its noun.
func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// title says in a few words what a report is of.
func (r *Report) title() string {
	text := line(r.Kind)
	if text == "" {
		text = "run"
	}
	first, rest := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[rest:]
	if r.Name != "" {
		text += " " + line(r.Name)
	}
	return text + " of plan " + line(r.Plan)
}

// word is a verdict for people, also where none was given.
func (v Verdict) word() string {
	if v == "" {
		return "no verdict"
	}
	return line(string(v))
}

// rank puts verdicts into the order in which people want to see them.
func (v Verdict) rank() int {
	switch v {
	case Failed:
		return 0
	case Aborted:
		return 1
	case Skipped:
		return 3
	case Passed:
		return 4
	}
	return 2
}

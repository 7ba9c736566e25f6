package plans

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// suggest says which of the known words a wrong one may have been meant to be.
func suggest(wrong string, known []string) string {
	if len(known) == 0 {
		return "there is none"
	}
	best, distance := "", 1+max(2, len(wrong)/3)
	for _, word := range known {
		if d := editDistance(strings.ToLower(wrong), word); d < distance {
			best, distance = word, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return oneOf(known)
}

// oneOf lists words.
func oneOf(words []string) string {
	const enough = 24
	if len(words) == 1 {
		return "write " + words[0]
	}
	more := ""
	if len(words) > enough {
		more = fmt.Sprintf(" and %d more", len(words)-enough)
		words = words[:enough]
	}
	return "one of: " + strings.Join(words, ", ") + more
}

// quote shows a text in a message, shortened when it is long.
func quote(text string) string {
	const enough = 60
	if utf8.RuneCountInString(text) > enough {
		text = string([]rune(text)[:enough]) + "…"
	}
	return strconv.Quote(text)
}

// editDistance is how many characters must be changed, added, dropped or
// swapped with their neighbour to make b of a. Words longer than any key are
// far from all.
func editDistance(a, b string) int {
	const longest = 40
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var rows [3][longest + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

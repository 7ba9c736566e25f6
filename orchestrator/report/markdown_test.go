package report_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator/report"
)

// bare is what would be HTML, or a cell or a code of its own, in Markdown.
var bare = regexp.MustCompile("(?:^|[^\\\\])(?:\\\\\\\\)*[`*_~$\\[\\]]|[<>]|&(?:[^agl]|a[^m]|g[^t]|l[^t])")

func TestMarkdownIsInert(t *testing.T) {
	text := rendered(t, report.FormatMarkdown, hostile(), nil)
	columns := 0
	fence := ""
	for number, one := range strings.Split(text, "\n") {
		switch {
		case fence != "":
			if one == fence {
				fence = ""
			}
			continue
		case strings.HasPrefix(one, "```"):
			fence = strings.TrimSuffix(one, "text")
			continue
		case strings.HasPrefix(one, "|"):
			cells := strings.Count(strings.ReplaceAll(one, `\|`, ""), "|")
			if columns != 0 && cells != columns {
				t.Errorf("line %d has %d cells, not %d: %s", number+1, cells, columns, one)
			}
			columns = cells
		default:
			columns = 0
		}
		if found := bare.FindString(one); found != "" {
			t.Errorf("line %d: %q in %s", number+1, found, one)
		}
		if strings.HasPrefix(one, "# head") {
			t.Errorf("line %d is a heading: %s", number+1, one)
		}
	}
	if fence != "" {
		t.Error("a block of output is never ended")
	}
}

func TestMarkdownOpensNoList(t *testing.T) {
	r := drill()
	r.Why = "# 1"
	r.Notes = []string{"- one", "12. two", "# three", "+ four", "a-b", "1) five"}
	text := rendered(t, report.FormatMarkdown, r, nil)
	for _, want := range []string{"\n\\# 1\n", "\n- \\- one\n", "\n- 12\\. two\n", "\n- \\# three\n", "\n- \\+ four\n", "\n- a-b\n", "\n- 1\\) five\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestMarkdownOfMany(t *testing.T) {
	r := large(500)
	r.Images[480].Verdict, r.Checks[1400].Verdict, r.Checks[1400].Output = report.Failed, report.Failed, "the last word"
	text := rendered(t, report.FormatMarkdown, r, nil)
	for _, want := range []string{
		"| rbd/tenant-04/vm-0480-disk | failed |", "More images, not listed here: 449 passed.", "More checks, not listed here: 1449 passed.", "the last word",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if len(text) > 40_000 {
		t.Errorf("a ticket of %d bytes", len(text))
	}
}

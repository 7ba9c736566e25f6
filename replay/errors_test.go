package replay

import (
	"errors"
	"strings"
	"testing"
)

func TestOneLine(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	if err := OneLine(nil, nil); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	if err := OneLine(nil, a); !errors.Is(err, a) || err.Error() != "a" {
		t.Errorf("of one: %v", err)
	}
	if err := OneLine(a, nil, b); !errors.Is(err, a) || !errors.Is(err, b) || err.Error() != "a; b" {
		t.Errorf("of two: %v", err)
	}
}

// TestProblemNamesItsSiteOnce: an error begins with its site, and so does the
// text of the problem that it is part of.
func TestProblemNamesItsSiteOnce(t *testing.T) {
	fails := func(site string) error { return &Error{Op: "open", Site: site, Err: ErrTimeout} }
	for name, spoil := range map[string]func(a, b *SiteEvidence){
		"nothing is known of b: open: no answer in time":                            func(_, b *SiteEvidence) { b.Err = fails("b") },
		"the rbd-mirror daemons of b are not known: open: no answer in time":        func(_, b *SiteEvidence) { b.DaemonsErr = fails("b") },
		"what rbd-mirror at b reports is not known: open: no answer in time":        func(_, b *SiteEvidence) { b.Reports, b.ReportsErr = nil, fails("b") },
		"the mirror snapshot schedules of a are not known: open: no answer in time": func(a, _ *SiteEvidence) { a.SchedulesErr = fails("a") },
		// Another site than the problem's stays.
		"nothing is known of b: site a: open: no answer in time": func(_, b *SiteEvidence) { b.Err = fails("a") },
	} {
		e := snapshotEvidence()
		spoil(&e.Sites[0], &e.Sites[1])
		var texts []string
		for _, p := range Judge(e).Problems {
			texts = append(texts, p.What)
		}
		if !strings.Contains(strings.Join(texts, "\n")+"\n", name+"\n") {
			t.Errorf("%q is not among %q", name, texts)
		}
	}
}

package alert_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator/alert"
)

// asking is an office in which an image asks which copy stays.
func asking(t *testing.T, change ...func(*alert.Options)) (o *office, id string) {
	t.Helper()
	o = newOffice(t, append(change, func(o *alert.Options) { o.AnswerWithin = time.Hour })...)
	o.signals = split("h1", "e1")
	o.pass(time.Minute)
	o.told("chat opened split-brain critical 1", "pager opened split-brain critical 1")
	return o, o.last().ID
}

// split is a split-brain that asks on some evidence.
func split(halt, evidence string) []alert.Signal {
	return []alert.Signal{{
		Code: "split-brain", Severity: alert.Critical, Key: halt, Image: "rbd/" + halt, What: "two primaries of " + halt, Next: "drover resync",
		Details: []alert.Detail{{Name: "a", Text: "primary"}, {Name: "b", Text: "primary"}},
		Asks:    &alert.Question{Kind: "resync", Subject: halt, Evidence: evidence, Options: []string{"a", "b"}},
	}}
}

// choose answers, after a restart.
func (o *office) choose(id, evidence, who, option string, r alert.Rule) ([]alert.Choice, bool, error) {
	d := o.desk()
	all, agreed, err := d.Choose(o.now, id, evidence, alert.Choice{Who: who, Channel: "chat", Option: option}, r)
	o.store(d)
	o.deliver()
	return all, agreed, err
}

// TestChoosingTakesTwo wants a choice to count once two different people of the list
// have made it, on the same evidence and in time; whatever restarts meanwhile.
func TestChoosingTakesTwo(t *testing.T) {
	both := alert.Rule{Listed: []string{"U1", "U2", "U3"}, Needed: 2}
	type press struct {
		who, option string
		after       time.Duration
		evidence    string // of the press; e1 where empty
		now         string // evidence that the checks find from here on
		rule        *alert.Rule
		agreed      bool
		err         error
	}
	gone := alert.Rule{Listed: []string{"U2", "U3"}, Needed: 2}
	for name, presses := range map[string][]press{
		"two of one mind":              {{who: "U1", option: "a"}, {who: "U2", option: "a", agreed: true}},
		"the same one twice":           {{who: "U1", option: "a"}, {who: "U1", option: "a"}, {who: "U2", option: "a", agreed: true}},
		"of two minds":                 {{who: "U1", option: "a"}, {who: "U2", option: "b"}},
		"a third does not overrule":    {{who: "U1", option: "a"}, {who: "U2", option: "b"}, {who: "U3", option: "a"}},
		"agreed in the end":            {{who: "U1", option: "a"}, {who: "U2", option: "b"}, {who: "U1", option: "b", agreed: true}},
		"on other evidence":            {{who: "U1", option: "a"}, {who: "U2", option: "a", evidence: "e0", err: alert.ErrOtherEvidence}},
		"the evidence changed between": {{who: "U1", option: "a", now: "e2"}, {who: "U2", option: "a", evidence: "e2"}, {who: "U1", option: "a", evidence: "e2", agreed: true}},
		"the second too late":          {{who: "U1", option: "a"}, {who: "U2", option: "a", after: time.Hour, err: alert.ErrExpired}},
		"the first is listed no more":  {{who: "U1", option: "a"}, {who: "U2", option: "a", rule: &gone}, {who: "U3", option: "a", rule: &gone, agreed: true}},
		"one is enough":                {{who: "U1", option: "a", rule: &alert.Rule{Listed: both.Listed, Needed: 1}, agreed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			o, id := asking(t)
			for i, p := range presses {
				o.pass(p.after)
				rule := both
				if p.rule != nil {
					rule = *p.rule
				}
				if p.evidence == "" {
					p.evidence = "e1"
				}
				_, agreed, err := o.choose(id, p.evidence, p.who, p.option, rule)
				if agreed != p.agreed || !errors.Is(err, p.err) {
					t.Errorf("press %d of %s: agreed %v, %v", i, p.who, agreed, err)
				}
				if p.now != "" {
					o.signals = split("h1", p.now)
					o.pass(step)
				}
			}
		})
	}
}

// TestChoicesAreShown wants the message to name who has chosen so far.
func TestChoicesAreShown(t *testing.T) {
	o, id := asking(t)
	rule := alert.Rule{Listed: []string{"U1", "U2"}, Needed: 2}
	_, _, err := o.choose(id, "e1", "U1", "a", rule)
	if err != nil {
		t.Fatal(err)
	}
	o.told("chat changed split-brain critical 1", "pager changed split-brain critical 1")
	first := o.now
	o.pass(time.Minute)
	if _, _, err = o.choose(id, "e1", "U2", "b", rule); err != nil {
		t.Fatal(err)
	}
	want := []alert.Choice{{Who: "U1", Channel: "chat", Option: "a", At: first}, {Who: "U2", Channel: "chat", Option: "b", At: o.now}}
	if diff := cmp.Diff(want, o.last().Choices); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	o.log = nil
	o.pass(10 * time.Minute) // checks do not forget them, and they are no news
	o.told()
	if got := o.desk().Open()[0].Choices; len(got) != 2 {
		t.Errorf("after checks: %+v", got)
	}
	o.signals = nil
	o.pass(time.Minute)
	if _, _, err := o.choose(id, "e1", "U1", "b", rule); !errors.Is(err, alert.ErrNoIncident) {
		t.Errorf("over: %v", err)
	}
}

// TestQuestionsExpire wants an answer to count for as long as the question says, and
// a question that is asked again to have no answers.
func TestQuestionsExpire(t *testing.T) {
	o, id := asking(t)
	q := o.last().Asks
	if want := o.sent[0].At.Add(time.Hour); !q.Until.Equal(want) {
		t.Fatalf("until %s, not %s", q.Until, want)
	}
	rule := alert.Rule{Listed: []string{"U1", "U2"}, Needed: 2}
	o.pass(q.Until.Sub(o.now) - time.Second) // the last check is after it
	o.now = q.Until.Add(-time.Second)
	if _, _, err := o.choose(id, "e1", "U1", "a", rule); err != nil {
		t.Errorf("in time: %v", err)
	}
	o.now = q.Until
	if _, _, err := o.choose(id, "e1", "U2", "a", rule); !errors.Is(err, alert.ErrExpired) {
		t.Errorf("at its end: %v", err)
	}
	o.log = nil
	d := o.desk()
	if err := d.AskAgain(o.now, id, "e1"); err != nil {
		t.Fatal(err)
	}
	o.store(d)
	o.deliver()
	o.told("chat changed split-brain critical 1", "pager changed split-brain critical 1")
	if m := o.last(); !m.Asks.Until.Equal(o.now.Add(time.Hour)) || len(m.Choices) > 0 {
		t.Errorf("asked again: %+v, %+v", m.Asks, m.Choices)
	}
	if err := d.AskAgain(o.now, id, "e2"); !errors.Is(err, alert.ErrOtherEvidence) {
		t.Errorf("on other evidence: %v", err)
	}
	if _, agreed, err := o.choose(id, "e1", "U2", "a", rule); agreed || err != nil {
		t.Errorf("then one press: %v, %v", agreed, err)
	}
	o.signals = split("h1", "e2")
	o.pass(step)
	if m := o.last(); !m.Asks.Until.Equal(o.now.Add(time.Hour)) || len(m.Choices) > 0 {
		t.Errorf("on new evidence: %+v, %+v", m.Asks, m.Choices)
	}
	// The clock had gone ahead: what is waited for moves with it.
	o.now = o.now.Add(-2 * time.Hour)
	o.check()
	if _, _, err := o.choose(id, "e2", "U2", "a", rule); err != nil {
		t.Errorf("the clock was put back: %v", err)
	}
}

// TestAStepIsAskedForNoLongerThanItWaits has a question that brings an end of its own.
func TestAStepIsAskedForNoLongerThanItWaits(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.AnswerWithin, o.Recorded = time.Hour, []string{"manual-step"} })
	end := o.now.Add(10 * time.Minute)
	o.signals = []alert.Signal{{
		Code: "manual-step", Severity: alert.Warning, Key: "run-1 step", What: "waits",
		Asks: &alert.Question{Kind: "approve-step", Evidence: "e", Options: []string{"approve"}, Until: end},
	}}
	o.pass(step) // what is recorded opens at once, even while a site is silent
	o.told("chat opened manual-step warning 0")
	if q := o.last().Asks; !q.Until.Equal(end) {
		t.Errorf("until %s", q.Until)
	}
	o.signals, o.blind = nil, []string{"b"}
	o.pass(step)
	o.told("chat resolved manual-step warning 0")
}

// crowds has more than three split-brains told as one.
func crowds(o *alert.Options) {
	o.Immediate, o.Each, o.MinInterval = []string{"split-brain"}, []string{"split-brain"}, 5*time.Minute
	o.Crowds = map[string]alert.Crowd{"split-brain": {
		Over: 3, What: func(n int) string { return fmt.Sprintf("%d images are in split-brain", n) },
		Next: "drover resync --all", Why: "each has evidence of its own",
	}}
	o.Routes = o.Routes[:1]
}

func splits(from, to int) (all []alert.Signal) {
	for i := from; i < to; i++ {
		all = append(all, split(fmt.Sprintf("h%03d", i), "e")...)
	}
	return all
}

// TestManySplitBrainsAreOneIncident: at once, and where they trickle in.
func TestManySplitBrainsAreOneIncident(t *testing.T) {
	o := newOffice(t, crowds)
	o.signals = splits(0, 500)
	o.pass(step)
	o.told("chat opened split-brain critical 500")
	m := o.last()
	if m.What != "500 images are in split-brain" || m.Next != "drover resync --all" || m.Asks != nil || len(m.Worst) != 10 || len(m.Details) != 11 ||
		m.Details[0] != (alert.Detail{Name: "no buttons", Text: "each has evidence of its own"}) ||
		m.Details[1] != (alert.Detail{Name: "rbd/h000", Text: "two primaries of h000; a: primary; b: primary"}) {
		t.Errorf("%+v", m)
	}
	o.signals = splits(0, 600) // each more is told of, within seconds
	o.pass(10 * time.Minute)
	o.told("chat changed split-brain critical 600")
	if d := o.last().Details; !slices.ContainsFunc(d, func(d alert.Detail) bool {
		return d.Name == "new since the last message" && strings.HasPrefix(d.Text, "rbd/h500, ") && strings.HasSuffix(d.Text, "rbd/h509, and 90 more")
	}) {
		t.Errorf("details: %+v", d)
	}
	o.pass(time.Hour)
	o.told()
	o.signals = splits(0, 2) // a crowd that shrinks is the same incident still
	o.pass(step)
	o.told("chat changed split-brain critical 2")
	o.signals = nil
	o.pass(time.Minute)
	o.told("chat resolved split-brain critical 2")
	o.signals = splits(600, 602) // and once it is over, few are few again
	o.pass(step)
	o.told("chat opened split-brain critical 1", "chat opened split-brain critical 1")
	if o.last().Asks == nil {
		t.Error("one of few asks nothing")
	}
	for n := 603; n <= 700; n++ {
		o.signals = splits(600, n)
		o.check()
		o.now = o.now.Add(time.Second)
	}
	o.pass(5 * time.Minute)
	// The third has a thread of its own; the fourth and all after it share one, which
	// tells of the next at once, and of more and more of them at a time.
	o.told("chat opened split-brain critical 1", "chat opened split-brain critical 1",
		"chat changed split-brain critical 6", "chat changed split-brain critical 16", "chat changed split-brain critical 36",
		"chat changed split-brain critical 76", "chat changed split-brain critical 97")
	o.signals = nil
	o.pass(time.Minute)
	o.told("chat resolved split-brain critical 1", "chat resolved split-brain critical 1", "chat resolved split-brain critical 1", "chat resolved split-brain critical 97")
}

// TestSilencedSplitBrainsAreNoCrowd counts only what is told.
func TestSilencedSplitBrainsAreNoCrowd(t *testing.T) {
	o := newOffice(t, crowds)
	o.silences = []alert.Silence{{ID: "s", Match: alert.Match{Image: "rbd/h0*"}, From: start, Until: start.Add(time.Hour)}}
	o.signals = splits(98, 102)
	o.pass(step)
	o.told("chat opened split-brain critical 1", "chat opened split-brain critical 1")
}

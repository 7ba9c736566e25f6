package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Crowd says how signals of one code, each with a key of its own, are told as one
// incident once they are many. It stays one for as long as any of them holds, and
// those that come later join it; those that had an incident before keep it.
type Crowd struct {
	// Over is how many may have an incident each; more are a crowd.
	Over int
	// What says what holds of so many images, Next what a person does about all of
	// them, Why why nothing can be chosen by a button.
	What      func(images int) string
	Next, Why string
}

// crowdKey is the key of a crowd's incident. No other has it: keys are ids, or names
// with a blank.
const crowdKey = "many"

// detailShown is how much of one image of a crowd is told, in characters.
const detailShown = 300

// places tells of what incident a signal is: its own, or a crowd's.
func (d *Desk) places(now time.Time, signals []Signal, silences []Silence) func(*Signal) subject {
	own := map[subject]bool{}       // has an incident of its own
	crowded := map[subject]bool{}   // by code and site
	count := map[subject]int{}      // of incidents, by code and site
	counted := map[subject]bool{}   // is in count
	of := func(s subject) subject { // all of its code and site
		s.Key = ""
		return s
	}
	for _, w := range d.memory.Watches {
		switch {
		case w.Key == crowdKey:
			crowded[of(w.subject)] = w.Open != ""
		case w.Open != "":
			own[w.subject] = true
			counted[w.subject] = true
			count[of(w.subject)]++
		}
	}
	for i := range signals {
		s := &signals[i]
		crowd, ok := d.options.Crowds[s.Code]
		at := subject{s.Code, s.Site, s.Key}
		if !ok || s.Key == "" || counted[at] || covered(silences, now, s) {
			continue
		}
		counted[at] = true
		count[of(at)]++
		crowded[of(at)] = crowded[of(at)] || count[of(at)] > crowd.Over
	}
	return func(s *Signal) subject {
		at := subject{s.Code, s.Site, s.Key}
		if _, ok := d.options.Crowds[s.Code]; ok && s.Key != "" && crowded[of(at)] && !own[at] {
			at.Key = crowdKey
		}
		return at
	}
}

// tell makes a message one of a crowd. signals are the worst first.
func (c *Crowd) tell(m *Message, signals []*Signal, images int) {
	m.What, m.Next, m.Details = c.What(images), c.Next, nil
	if c.Why != "" {
		m.Details = append(m.Details, Detail{Name: "no buttons", Text: c.Why})
	}
	for _, s := range signals {
		if at := slices.Index(m.Worst, s.Image); at < 0 || len(m.Details) > worstShown {
			continue
		}
		m.Details = append(m.Details, Detail{Name: s.Image, Text: s.short()})
	}
}

// short is all that is known of a signal in some words.
func (s *Signal) short() string {
	words := []string{s.What}
	for _, d := range s.Details {
		words = append(words, fmt.Sprintf("%s: %s", d.Name, d.Text))
	}
	text := []rune(strings.Join(words, "; "))
	if len(text) > detailShown {
		text = append(text[:detailShown], '…')
	}
	return string(text)
}

//go:build sim

package main

import (
	"regexp"
	"testing"

	"github.com/drover-io/drover/replay"
)

// A next step that names a command which does not exist is worse than none.
func TestHintsNameCommandsThatExist(t *testing.T) {
	root := newRoot(&session{})
	named := regexp.MustCompile(`drover ((?:[a-z]+ ?)+)`)
	found := 0
	for _, kind := range replay.ProblemKinds() {
		for _, m := range named.FindAllStringSubmatch(kind.Next, -1) {
			found++
			words := regexp.MustCompile(`[a-z]+`).FindAllString(m[1], -1)
			c, _, err := root.Find(words[:1])
			if err != nil || c == root {
				t.Errorf("%s: there is no command %q: %s", kind.Code, words[0], kind.Next)
				continue
			}
			if c.HasSubCommands() {
				if sub, _, err := root.Find(words[:2]); err != nil || sub == c {
					t.Errorf("%s: there is no command %q: %s", kind.Code, words[:2], kind.Next)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no next step names a command: is the pattern right?")
	}
}

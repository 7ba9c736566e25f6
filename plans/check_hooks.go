package plans

import (
	"fmt"
	"slices"
)

func (c *checker) hooks() {
	p := c.plan
	c.names("hooks", len(p.Hooks), func(i int) (string, string) {
		return p.Hooks[i].Name, fmt.Sprintf("hooks[%d].name", i)
	})
	for i := range p.Hooks {
		c.hook(&p.Hooks[i], fmt.Sprintf("hooks[%d]", i))
	}
	c.releasedByHand()
}

// releasedByHand refuses a step by hand that is to let go writers which a drill has held
// back by itself: drills leave such steps out.
func (c *checker) releasedByHand() {
	p := c.plan
	drills := func(h *Hook, when string) bool { return h.When == when && slices.Contains(h.Runbooks, "drill") }
	for i := range p.Hooks {
		after, path := &p.Hooks[i], fmt.Sprintf("hooks[%d]", i)
		if after.Manual == "" || !drills(after, AfterGroup) || c.unsure(path) {
			continue
		}
		for k := range p.Hooks {
			before := &p.Hooks[k]
			if before.Manual == "" && drills(before, BeforeGroup) && (before.Of == "" || after.Of == "" || before.Of == after.Of) {
				c.add(path+".manual", CodeOutOfPlace,
					fmt.Sprintf("a drill leaves steps by hand out, and would never let go what hook %s holds back", quote(before.Name)),
					"make it a command or an HTTP call, or take drill out of its runbooks")
				break
			}
		}
	}
}

func (c *checker) hook(h *Hook, path string) {
	c.oneAction(path, []string{"command", "http", "manual"}, len(h.Command) > 0, h.HTTP != nil, h.Manual != "")
	if len(h.Command) == 0 && !c.unsure(path+".command") {
		c.outOfPlace(path+".env", "means nothing without a command", "add a command or remove it")
	}
	c.httpCall(h.HTTP, path+".http")
	at := path + ".of"
	switch {
	case h.Of == "" || c.unsure(path+".when"):
	case h.ofWave():
		if c.plan.wave(h.Of) == nil && !c.unsure("waves") {
			c.add(at, CodeUnknownWave, fmt.Sprintf("no wave is called %s", quote(h.Of)), suggest(h.Of, c.waveNames()))
		}
	case h.ofGroup():
		if !c.knownGroup(h.Of) {
			c.add(at, CodeUnknownGroup, fmt.Sprintf("no group is called %s", quote(h.Of)), suggest(h.Of, c.groupNames()))
		}
	default:
		c.outOfPlace(at, fmt.Sprintf("means nothing with when: %s", h.When), "write when: before-wave, after-wave, before-group or after-group, or remove it")
	}
}

func (c *checker) knownGroup(name string) bool {
	if c.unsure("groups") {
		return true
	}
	for i := range c.plan.Groups {
		if c.plan.Groups[i].Name == name {
			return true
		}
	}
	return false
}

// oneAction refuses a hook or check that does nothing, or several things.
func (c *checker) oneAction(path string, keys []string, given ...bool) {
	n := 0
	for i, g := range given {
		if c.unsure(path + "." + keys[i]) {
			return
		}
		if g {
			n++
		}
	}
	switch {
	case n == 0 && c.misspelt(path):
	case n == 0:
		c.add(path, CodeExactlyOne, label(path)+" does nothing", "add one of: "+list(keys))
	case n > 1:
		c.add(path, CodeExactlyOne, label(path)+" does more than one thing", "keep one of: "+list(keys))
	}
}

func (c *checker) httpCall(call *HTTPCall, path string) {
	if call == nil {
		return
	}
	if c.given(path+".expect") && (call.Expect < 100 || call.Expect > 599) {
		c.add(path+".expect", CodeBadNumber, fmt.Sprintf("%d is no HTTP status", call.Expect), "give a number from 100 to 599")
	}
	for _, name := range sortedNames(call.Headers) {
		value := call.Headers[name]
		if value.plain != nil && oneLine(*value.plain) != "" {
			at := join(path+".headers", name)
			c.add(at, CodeBadText, label(at)+" is not one plain line", "write one line without spaces around it")
		}
	}
}

package plans

import (
	"fmt"
	"slices"
	"strings"
)

func list(words []string) string { return strings.Join(words, ", ") }

func (c *checker) drills() {
	p := c.plan
	c.names("drills", len(p.Drills), func(i int) (string, string) {
		return p.Drills[i].Name, fmt.Sprintf("drills[%d].name", i)
	})
	for i := range p.Drills {
		c.drill(&p.Drills[i], fmt.Sprintf("drills[%d]", i))
	}
}

func (c *checker) drill(d *Drill, path string) {
	if !c.unsure("sites") && !c.unsure("primary") {
		c.drillSite(d, path)
	}
	c.refs(d.Images, path+".images")
	for i, name := range d.Groups {
		if !c.knownGroup(name) {
			c.add(fmt.Sprintf("%s.groups[%d]", path, i), CodeUnknownGroup, fmt.Sprintf("no group is called %s", quote(name)), suggest(name, c.groupNames()))
		}
	}
	c.drillNamespace(d, path+".namespace")
	c.zone(d.Schedule, path)
	c.names("checks of the drill", len(d.Checks), func(i int) (string, string) {
		return d.Checks[i].Name, fmt.Sprintf("%s.checks[%d].name", path, i)
	})
	c.drillUser(d, path)
	for i := range d.Checks {
		at, check := fmt.Sprintf("%s.checks[%d]", path, i), &d.Checks[i]
		c.oneAction(at, []string{"builtin", "command", "http"}, check.BuiltIn != "", len(check.Command) > 0, check.HTTP != nil)
		c.httpCall(check.HTTP, at+".http")
	}
}

// drillUser wants a user of their own for commands: without one they would work as
// whoever Drover is.
func (c *checker) drillUser(d *Drill, path string) {
	if c.unsure(path+".checks") || !slices.ContainsFunc(d.Checks, func(check Check) bool { return len(check.Command) > 0 }) {
		return
	}
	const why = "the drill's commands must not work as Drover's own user"
	if d.User == "" && !c.unsure(path+".user") {
		c.needs(path+".user", why, "name one, such as client.drill; drover plan users prints its caps")
	}
	if d.Keyring == "" && !c.unsure(path+".keyring") {
		c.needs(path+".keyring", why, "name the keyring file of the drill's user")
	}
}

func (c *checker) drillSite(d *Drill, path string) {
	var secondaries []string
	for _, s := range c.plan.Secondaries() {
		secondaries = append(secondaries, s.Name)
	}
	at := path + ".site"
	switch {
	case d.Site == "" && len(secondaries) > 1:
		c.add(at, CodeDrillSite, "the plan has several secondaries and the drill names none", "say which with \"site: …\": "+list(secondaries))
	case d.Site == "":
	case c.plan.Site(d.Site) == nil:
		c.add(at, CodeUnknownSite, fmt.Sprintf("no site is called %s", quote(d.Site)), suggest(d.Site, secondaries))
	case d.Site == c.plan.Primary:
		c.add(at, CodeDrillSite, fmt.Sprintf("site %s is the preferred primary", quote(d.Site)), "a drill tests a secondary: "+oneOf(secondaries))
	}
}

// drillNamespace keeps the clones apart from all that lives on.
func (c *checker) drillNamespace(d *Drill, path string) {
	if d.Namespace == stateNamespace {
		c.add(path, CodeReserved, fmt.Sprintf("namespace %q holds Drover's own records", stateNamespace), "use another namespace for the clones")
		return
	}
	for i := range c.plan.Pools {
		pool := &c.plan.Pools[i]
		if pool.Namespace != "" && pool.Namespace == d.Namespace && (d.Pool == "" || d.Pool == pool.Name) {
			c.add(path, CodeReserved, fmt.Sprintf("namespace %s is mirrored", quote(pool.Spec())), "use another namespace for the clones")
		}
	}
}

// zone refuses a time zone of no cron line.
func (c *checker) zone(schedule, path string) {
	if schedule == "" && !c.unsure(path+".schedule") {
		c.outOfPlace(path+".time_zone", "means nothing without a schedule", "add a schedule or remove it")
	}
}

// background checks what the daemon does by itself.
func (c *checker) background() {
	c.zone(c.plan.Verification.Schedule, "verification")
	p := c.plan.Preserve
	if c.unsure("preserve") {
		return
	}
	if p.As == PreserveExport {
		if p.Path == "" {
			c.needs("preserve.path", "copies are exported to files", "add the folder for them")
		}
		return
	}
	c.outOfPlace("preserve.path", fmt.Sprintf("means nothing with as: %s", p.As), "write as: export or remove it")
}

package plans

import "fmt"

func (c *checker) runbooks() {
	p := &c.plan.Runbooks
	const parallel, minFree = "runbooks.parallel", "runbooks.min_free"
	if (c.given(parallel) || p.Parallel != 0) && (p.Parallel < 1 || p.Parallel > maxParallel) {
		c.add(parallel, CodeBadNumber, fmt.Sprintf("parallel %d", p.Parallel), fmt.Sprintf("give a number from 1 to %d", maxParallel))
	}
	if p.MinFree < 0 || p.MinFree > maxPercent {
		c.add(minFree, CodeBadNumber, fmt.Sprintf("min_free %s", p.MinFree), "give "+percentForm)
	}
	if c.plan.Direction == TwoWay && !c.unsure("direction") {
		c.outOfPlace("runbooks.reverse", "means nothing with direction: two-way, which mirrors both ways", "remove it")
	}
	c.names("probes", len(p.Probes), func(i int) (string, string) {
		return p.Probes[i].Name, fmt.Sprintf("runbooks.probes[%d].name", i)
	})
}

package plans

import "fmt"

func (c *checker) groups() {
	p := c.plan
	c.names("groups", len(p.Groups), func(i int) (string, string) {
		return p.Groups[i].Name, fmt.Sprintf("groups[%d].name", i)
	})
	for i := range p.Groups {
		path := fmt.Sprintf("groups[%d]", i)
		c.refs(p.Groups[i].Images, path+".images")
		if wave := p.Groups[i].Wave; wave != "" && p.wave(wave) == nil && !c.unsure("waves") {
			c.add(path+".wave", CodeUnknownWave, fmt.Sprintf("no wave is called %s", quote(wave)), suggest(wave, c.waveNames()))
		}
	}
	c.movedTwice()
}

func (c *checker) waves() {
	p := c.plan
	c.names("waves", len(p.Waves), func(i int) (string, string) {
		return p.Waves[i].Name, fmt.Sprintf("waves[%d].name", i)
	})
	for i := range p.Waves {
		path := fmt.Sprintf("waves[%d]", i)
		c.refs(p.Waves[i].Images, path+".images")
		if n := p.Waves[i].Priority; n < 0 || n > maxPriority {
			c.add(path+".priority", CodeBadNumber, fmt.Sprintf("priority %d", n), fmt.Sprintf("give a number from 0 to %d; lower moves first", maxPriority))
		}
	}
}

func (c *checker) waveNames() []string {
	var names []string
	for _, w := range c.plan.Waves {
		names = append(names, w.Name)
	}
	return names
}

func (c *checker) groupNames() []string {
	var names []string
	for _, g := range c.plan.Groups {
		names = append(names, g.Name)
	}
	return names
}

// refs checks that the plan protects what is referred to.
func (c *checker) refs(refs []ImageRef, path string) {
	for i := range refs {
		c.ref(&refs[i], fmt.Sprintf("%s[%d]", path, i))
	}
}

func (c *checker) ref(ref *ImageRef, path string) {
	c.nameOrGlob(ref.Name, ref.Glob, path)
	if ref.Pool == "" || c.unsure("pools") {
		return
	}
	pool := c.plan.Pool(ref.Pool, ref.Namespace)
	if pool == nil {
		spec := (&Pool{Name: ref.Pool, Namespace: ref.Namespace}).Spec()
		c.add(path+".pool", CodeUnknownPool, fmt.Sprintf("the plan has no pool %s", quote(spec)), suggest(spec, c.poolSpecs()))
		return
	}
	if !pool.covers(ref) {
		key, what := ".name", ref.Name
		if ref.Name == "" {
			key, what = ".glob", ref.Glob
		}
		c.add(path+key, CodeUnplannedImage, fmt.Sprintf("the plan protects no image %s in pool %s", quote(what), quote(pool.Spec())), "add it to the pool's images, or correct it here")
	}
}

// covers says whether the pool's entries can cover an image that is referred
// to. Two globs may always meet in some name.
func (p *Pool) covers(ref *ImageRef) bool {
	switch {
	case ref.Name != "":
		_, ok := p.Match(ref.Name)
		return ok
	case ref.Glob == "" || p.Mirror == PoolModePool:
		return true
	}
	for i := range p.Images {
		if p.Images[i].Glob != "" || matches("", ref.Glob, p.Images[i].Name) {
			return true
		}
	}
	return false
}

func (c *checker) poolSpecs() []string {
	var specs []string
	for i := range c.plan.Pools {
		specs = append(specs, c.plan.Pools[i].Spec())
	}
	return specs
}

// movedTwice refuses an image in two groups, in two waves, or in a group and a
// wave of its own. Two globs are compared only as texts: whether they meet
// depends on the images there are, and GroupOf then takes the first.
func (c *checker) movedTwice() {
	type mover struct {
		ref   *ImageRef
		where string
		path  string
	}
	var movers []mover
	collect := func(what, name, path string, refs []ImageRef) {
		for i := range refs {
			movers = append(movers, mover{&refs[i], what + " " + quote(name), fmt.Sprintf("%s.images[%d]", path, i)})
		}
	}
	for i := range c.plan.Groups {
		g := &c.plan.Groups[i]
		collect("group", g.Name, fmt.Sprintf("groups[%d]", i), g.Images)
	}
	for i := range c.plan.Waves {
		w := &c.plan.Waves[i]
		collect("wave", w.Name, fmt.Sprintf("waves[%d]", i), w.Images)
	}
	exact := map[ImageRef]mover{}
	var globs []mover
	for _, m := range movers {
		if m.ref.Name == "" && m.ref.Glob == "" {
			continue
		}
		if before, ok := exact[*m.ref]; ok {
			c.twice(m.path, m.ref, before.where, m.where)
			continue
		}
		exact[*m.ref] = m
		if m.ref.Glob != "" {
			globs = append(globs, m)
		}
	}
	for _, g := range globs {
		for _, m := range movers {
			// Within one group a name and a glob over it are no contradiction.
			if m.ref.Name != "" && m.where != g.where && g.ref.Matches(m.ref.Pool, m.ref.Namespace, m.ref.Name) {
				c.twice(m.path, m.ref, g.where, m.where)
			}
		}
	}
}

func (c *checker) twice(path string, ref *ImageRef, first, second string) {
	name := ref.Name + ref.Glob
	what := fmt.Sprintf("image %s is in %s and in %s", quote(name), first, second)
	if first == second {
		what = fmt.Sprintf("image %s is in %s twice", quote(name), first)
	}
	c.add(path, CodeImageTwice, what, "an image moves once: keep one")
}

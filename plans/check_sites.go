package plans

import "fmt"

func (c *checker) sites() {
	p := c.plan
	c.names("sites", len(p.Sites), func(i int) (string, string) {
		return p.Sites[i].Name, fmt.Sprintf("sites[%d].name", i)
	})
	if !c.unsure("sites") {
		c.siteCount()
		if p.Primary != "" && p.Site(p.Primary) == nil {
			c.add("primary", CodeUnknownSite, fmt.Sprintf("no site is called %s", quote(p.Primary)), suggest(p.Primary, c.siteNames()))
		}
	}
	for i := range p.Sites {
		path := fmt.Sprintf("sites[%d]", i)
		c.daemon(&p.Sites[i].Daemon, path+".daemon")
		c.fence(&p.Sites[i].Fence, path+".fence")
	}
	c.distinctSites()
}

func (c *checker) siteCount() {
	n := len(c.plan.Sites)
	switch {
	case n < 2:
		c.add("sites", CodeTooFewSites, fmt.Sprintf("the plan has %d site", n), "name at least two: the primary and a secondary")
	case c.plan.Direction == TwoWay && n != 2:
		c.add("direction", CodeTwoWaySites, fmt.Sprintf("two-way mirroring between %d sites", n), "use two sites, or direction: one-way for one primary and several secondaries")
	}
}

func (c *checker) siteNames() []string {
	var names []string
	for _, s := range c.plan.Sites {
		names = append(names, s.Name)
	}
	return names
}

// distinctSites refuses sites that cannot be two clusters. One conf file leads
// to one cluster whatever the user is; equal fsids show only when both are
// asked.
func (c *checker) distinctSites() {
	confs, clusters, mirrors := map[string]int{}, map[string]int{}, map[string]int{}
	for i, s := range c.plan.Sites {
		path := fmt.Sprintf("sites[%d]", i)
		if before, ok := seenBefore(confs, s.Conf, i); ok {
			c.add(path+".conf", CodeSameCluster, fmt.Sprintf("sites %s and %s have one conf file", quote(c.plan.Sites[before].Name), quote(s.Name)), "give each site the conf file of its own cluster")
		}
		if before, ok := seenBefore(mirrors, s.MirrorName, i); ok {
			at := path + ".mirror_name"
			if !c.given(at) && c.given(fmt.Sprintf("sites[%d].mirror_name", before)) {
				at = fmt.Sprintf("sites[%d].mirror_name", before)
			}
			// Two sites of one name have been refused for that already.
			if s.Name != c.plan.Sites[before].Name {
				c.add(at, CodeSameMirrorName, fmt.Sprintf("two sites would be %s in Ceph", quote(s.MirrorName)), "give each site a mirror_name of its own")
			}
		}
		if c.plan.Peers.By != PeerByConf {
			continue
		}
		if before, ok := seenBefore(clusters, s.Cluster, i); ok && s.Name != c.plan.Sites[before].Name {
			c.add(path+".cluster", CodeSameClusterName, fmt.Sprintf("two sites have the cluster name %s", quote(s.Cluster)), "peers by conf find each other as NAME.conf: give each site a cluster name of its own")
		}
	}
}

// seenBefore notes a value, and says where it was noted before.
func seenBefore(seen map[string]int, value string, i int) (int, bool) {
	if value == "" {
		return 0, false
	}
	before, ok := seen[value]
	if !ok {
		seen[value] = i
	}
	return before, ok
}

// daemonKeys says with which way to run rbd-mirror each key means something.
var daemonKeys = []struct {
	key string
	run RunBy
}{
	{"user", RunProcess},
	{"keyring", RunProcess},
	{"directory", RunProcess},
	{"binary", RunProcess},
	{"options", RunProcess},
	{"unit", RunSystemd},
	{"service", RunCephadm},
	{"placement", RunCephadm},
}

func (c *checker) daemon(d *Daemon, path string) {
	if c.unsure(path + ".run") {
		return
	}
	for _, k := range daemonKeys {
		if d.Run != k.run {
			c.outOfPlace(path+"."+k.key, fmt.Sprintf("means nothing with run: %s", d.Run), fmt.Sprintf("write run: %s or remove it", k.run))
		}
	}
	if d.Run == RunProcess {
		c.outOfPlace(path+".sockets", "means nothing with run: process", "remove it: they are in the daemon's directory")
	}
}

func (c *checker) fence(f *Fence, path string) {
	if c.unsure(path) {
		return
	}
	if f.Method == FenceCommand {
		if len(f.Command) == 0 {
			c.needs(path+".command", "the fence method is command", "add the program and its arguments as a list")
		}
		return
	}
	for _, key := range []string{"command", "timeout"} {
		c.outOfPlace(path+"."+key, fmt.Sprintf("means nothing with method: %s", f.Method), "write method: command or remove it")
	}
}

func (c *checker) peers() {
	p := c.plan.Peers
	if c.unsure("peers.by") {
		return
	}
	if p.By != PeerByConf {
		for _, key := range []string{"client", "clients"} {
			c.outOfPlace("peers."+key, fmt.Sprintf("means nothing with by: %s", p.By), "write by: conf or remove it")
		}
		return
	}
	if c.unsure("sites") {
		return
	}
	for _, name := range sortedNames(p.Clients) {
		if c.plan.Site(name) == nil {
			c.add(join("peers.clients", name), CodeUnknownSite, fmt.Sprintf("no site is called %s", quote(name)), suggest(name, c.siteNames()))
		}
	}
}

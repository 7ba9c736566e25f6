package orchestrator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// drillPrefix begins the name of everything that a drill makes.
const drillPrefix = "drover-drill-"

// drillTimeForm is a time in a name, in UTC.
const drillTimeForm = "20060102T150405Z"

// drillMark tells whose something is that a drill has made, and until when it may
// be needed. It is the name of the drill's snapshots, and begins that of its clones.
type drillMark struct {
	plan  string // digest of its name
	id    string // of the drill, such as drill-20261129T020000Z-ab12
	until time.Time
}

// newDrillMark marks what a drill of the plan makes.
func newDrillMark(plan *plans.Plan, id string, until time.Time) drillMark {
	return drillMark{plan: digest(plan.Name), id: id, until: until.UTC().Truncate(time.Second)}
}

// snapshot is the name of the drill's snapshot of each image.
func (m drillMark) snapshot() string {
	return fmt.Sprintf("%s%s-%s-until-%s", drillPrefix, m.plan, shortRun(m.id), m.until.Format(drillTimeForm))
}

// maxCloneName bounds the name of a clone, in bytes: a copy needs room for its suffix
// behind it, some tools take no name longer than a file's (255), and the OSDs no object
// longer than 2048 (osd_max_object_name_len), which rbd_id.NAME is one of.
const maxCloneName = 240

// clone is the name of what is brought up of an image: images of several pools and
// namespaces may come to lie in one place. It ends with the image as POOL.NAME or
// POOL.NAMESPACE.NAME; where that says too little, or cannot be a part of a name, a
// digest of the image is behind it.
func (m drillMark) clone(ref replay.ImageRef) string {
	parts := []string{ref.Pool.Name}
	if ref.Namespace != "" {
		parts = append(parts, ref.Namespace)
	}
	parts = append(parts, ref.Name)
	of := strings.Join(parts, ".")
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, of)
	name := m.snapshot() + "." + plain
	if plain == of && strings.Count(of, ".") == len(parts)-1 && len(name) <= maxCloneName {
		return name
	}
	end := "~" + digest(strings.Join(parts, "/"))
	return name[:min(len(name), maxCloneName-len(end))] + end
}

// parseDrillMark reads a name; ok is false where no drill has given it.
func parseDrillMark(name string) (m drillMark, ok bool) {
	rest, ok := strings.CutPrefix(name, drillPrefix)
	if !ok {
		return m, false
	}
	rest, _, _ = strings.Cut(rest, ".")
	head, until, ok := strings.Cut(rest, "-until-")
	if !ok {
		return m, false
	}
	var id string
	if m.plan, id, ok = strings.Cut(head, "-"); !ok {
		return m, false
	}
	var err error
	m.id = string(Drill) + "-" + id
	m.until, err = time.Parse(drillTimeForm, until)
	return m, err == nil
}

// drillPlaces are the pools and namespaces in which drills of the plan bring images
// up.
func drillPlaces(plan *plans.Plan) []replay.Pool {
	var out []replay.Pool
	seen := map[replay.Pool]bool{}
	add := func(p replay.Pool) {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	drills := append([]plans.Drill{plans.AdHocDrill(plan)}, plan.Drills...)
	for i := range drills {
		for j := range plan.Pools {
			add(drillPlace(&drills[i], plan.Pools[j].Name))
		}
	}
	return out
}

// DrillUsers names the cephx users that the plan's drills give to their checks.
func DrillUsers(plan *plans.Plan) (users []string) {
	for i := range plan.Drills {
		if user := plan.Drills[i].User; user != "" && !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users
}

// DrillPools names the pools in which drills of the plan bring images up.
func DrillPools(plan *plans.Plan) (pools []string) {
	for _, place := range drillPlaces(plan) {
		if !slices.Contains(pools, place.Name) {
			pools = append(pools, place.Name)
		}
	}
	return pools
}

// DrillPlaces are where the drills of a user bring images up, and where these lie, their
// data with them.
func DrillPlaces(plan *plans.Plan, user string) (places, parents []replay.Pool) {
	for i := range plan.Drills {
		if plan.Drills[i].User != user {
			continue
		}
		for j := range plan.Pools {
			pool := poolOf(&plan.Pools[j])
			if !drillTouches(plan, &plan.Drills[i], pool) {
				continue
			}
			if place := drillPlace(&plan.Drills[i], pool.Name); !slices.Contains(places, place) {
				places = append(places, place)
			}
			for _, parent := range append([]replay.Pool{pool}, dataPools(&plan.Pools[j])...) {
				if !slices.Contains(parents, parent) {
					parents = append(parents, parent)
				}
			}
		}
	}
	return places, parents
}

// dataPools are where images of a pool have their data, as far as the plan says so: data
// objects lie in the same namespace as their image.
func dataPools(p *plans.Pool) (out []replay.Pool) {
	for i := range p.Images {
		if c := p.Images[i].Create; c != nil && c.DataPool != "" {
			out = append(out, replay.Pool{Name: c.DataPool, Namespace: p.Namespace})
		}
	}
	return out
}

// drillTouches reports whether a drill may choose images of a pool: where it names
// any, it chooses these and those of their groups.
func drillTouches(plan *plans.Plan, d *plans.Drill, pool replay.Pool) bool {
	if len(d.Images)+len(d.Groups) == 0 {
		return true
	}
	in := func(r plans.ImageRef) bool { return r.Pool == pool.Name && r.Namespace == pool.Namespace }
	if slices.ContainsFunc(d.Images, in) {
		return true
	}
	return slices.ContainsFunc(plan.Groups, func(g plans.Group) bool {
		if !slices.ContainsFunc(g.Images, in) {
			return false
		}
		// A glob of the drill and one of the group may meet: that is taken to be so.
		return slices.Contains(d.Groups, g.Name) || slices.ContainsFunc(d.Images, func(r plans.ImageRef) bool {
			return slices.ContainsFunc(g.Images, func(m plans.ImageRef) bool { return m.Pool == r.Pool && m.Namespace == r.Namespace })
		})
	})
}

// drillPlace is where a drill brings the images of a pool up.
func drillPlace(d *plans.Drill, pool string) replay.Pool {
	if d.Pool != "" {
		pool = d.Pool
	}
	return replay.Pool{Name: pool, Namespace: d.Namespace}
}

package view

import (
	"io"
	"slices"
	"strings"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Users are the cephx users that a plan needs, site by site.
type Users struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Plan       string      `json:"plan"`
	Sites      []SiteUsers `json:"sites"`
}

// SiteUsers are the users that one site needs.
type SiteUsers struct {
	Site  string `json:"site"`
	Users []User `json:"users"`
}

// User is one cephx user and how an administrator makes it.
type User struct {
	Name    string `json:"name"`
	Purpose string `json:"purpose"`
	Mon     string `json:"mon,omitempty"`
	Mgr     string `json:"mgr,omitempty"`
	OSD     string `json:"osd,omitempty"`
	Command string `json:"command"`
}

// NewUsers lists the users of a plan: Drover's own at every site, the
// daemon's where Drover runs it as a process, and the one that peers by conf
// files share, and those of drills' checks. With pools, each can touch the plan's pools
// only; Drover itself, those in which drills bring images up, too.
func NewUsers(plan *plans.Plan, onlyPools bool) *Users {
	var pools, own []string
	if onlyPools {
		pools = planPools(plan)
		own = withoutTwice(append(slices.Clone(pools), orchestrator.DrillPools(plan)...))
	}
	u := &Users{APIVersion: "drover/v1", Kind: "Users", Plan: plan.Name}
	for _, site := range plan.Sites {
		drover := replay.DroverCaps(own...)
		drover.Name = site.User
		if site.Daemon.Run == plans.RunCephadm {
			drover = drover.WithOrchestrator()
		}
		users := []User{newUser(site, drover)}
		if site.Daemon.Run == plans.RunProcess {
			daemon := replay.MirrorCaps(site.Name, pools...)
			if site.Daemon.User != "" {
				daemon.Name = site.Daemon.User
			}
			users = append(users, newUser(site, daemon))
		}
		if plan.Peers.By == plans.PeerByConf {
			peer := replay.PeerCaps()
			peer.Name = plan.Peers.ClientAt(site.Name)
			if peer.Name != "client.admin" {
				users = append(users, newUser(site, peer))
			}
		}
		for _, drill := range drillUsers(plan) {
			users = append(users, newUser(site, drill))
		}
		u.Sites = append(u.Sites, SiteUsers{Site: site.Name, Users: users})
	}
	return u
}

// planPools names the pools in which the plan's images lie, with their data and journals.
func planPools(plan *plans.Plan) (pools []string) {
	for i := range plan.Pools {
		p := &plan.Pools[i]
		pools = append(pools, p.Name, p.JournalPool)
		for k := range p.Images {
			if c := p.Images[k].Create; c != nil {
				pools = append(pools, c.DataPool)
			}
		}
	}
	return withoutTwice(pools)
}

// withoutTwice keeps the first of each name, and none that is empty.
func withoutTwice(names []string) (out []string) {
	for _, name := range names {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// drillUsers are the users that the plan's drills give to their checks. Each site can
// be the secondary one day.
func drillUsers(plan *plans.Plan) (out []replay.CephUser) {
	for _, name := range orchestrator.DrillUsers(plan) {
		places, parents := orchestrator.DrillPlaces(plan, name)
		out = append(out, replay.DrillCaps(name, places, parents))
	}
	return out
}

func newUser(site plans.Site, c replay.CephUser) User {
	command := strings.Replace(replay.CreateCommand(c), "ceph ", "ceph -c "+site.Conf+" ", 1)
	return User{Name: c.Name, Purpose: c.Purpose, Mon: c.Mon, Mgr: c.Mgr, OSD: c.OSD, Command: command}
}

// Table writes the users as commands that can be pasted into a shell.
func (u *Users) Table(w io.Writer, p Palette) error {
	for i, site := range u.Sites {
		if i > 0 {
			if err := put(w, "\n"); err != nil {
				return err
			}
		}
		if err := putf(w, "%s\n", p.Strong("# site "+site.Site)); err != nil {
			return err
		}
		for _, user := range site.Users {
			if err := putf(w, "# %s\n%s\n", user.Purpose, user.Command); err != nil {
				return err
			}
		}
	}
	return nil
}

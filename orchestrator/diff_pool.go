package orchestrator

import (
	"fmt"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// poolView is one pool of the plan and what each site says of it.
type poolView struct {
	wanted *plans.Pool
	pool   replay.Pool
	at     map[string]*PoolObservation // by site; only sites that answered
	silent []string                    // sites that did not answer
}

func (d *differ) view(wanted *plans.Pool) poolView {
	v := poolView{wanted: wanted, pool: poolOf(wanted), at: map[string]*PoolObservation{}}
	for i := range d.obs.Sites {
		s := &d.obs.Sites[i]
		if seen := s.Pool(v.pool); s.Fault == nil && seen != nil {
			v.at[s.Name] = seen
		} else {
			v.silent = append(v.silent, s.Name)
		}
	}
	return v
}

// pool compares one pool at all sites. A pool that is missing or unreadable
// somewhere is left alone everywhere.
func (d *differ) pool(wanted *plans.Pool) {
	v := d.view(wanted)
	if !d.poolSound(v) {
		return
	}
	if !d.modeSafe(v) {
		d.noticesOnly(func() { d.images(v) })
		return
	}
	for _, s := range d.plan.Sites {
		if seen, ok := v.at[s.Name]; ok {
			d.poolMode(v, s.Name, seen)
		}
	}
	d.wholePool(v)
	d.peers(v)
	d.images(v)
	d.schedules(v)
}

func (d *differ) poolSound(v poolView) bool {
	sound := true
	for _, s := range d.plan.Sites {
		seen, ok := v.at[s.Name]
		switch {
		case !ok:
		case seen.Missing:
			sound = false
			d.notice(NoticePoolMissing, s.Name, v.pool, "",
				"create it there, or take it out of the plan: "+d.at(s.Name).ceph("osd", "pool", "create", v.pool.Name)+" && "+d.at(s.Name).rbd("pool", "init", v.pool.Name),
				"the pool does not exist at %s", s.Name)
		case seen.Fault != nil:
			sound = false
			d.notice(NoticePoolFault, s.Name, v.pool, "", seen.Fault.Hint, "%s", seen.Fault.What)
		}
	}
	return sound
}

func (d *differ) poolMode(v poolView, site string, seen *PoolObservation) {
	if seen.NoNamespace {
		d.change(Change{
			ID: changeID(KindNamespace, site, v.pool.String()), Kind: KindNamespace, Site: site, Pool: v.pool,
			What: fmt.Sprintf("create the namespace %s", v.pool.Namespace), To: v.pool.Namespace,
			Command: d.at(site).createNamespace(v.pool),
			act:     createNamespace{site: site, pool: v.pool},
		})
	}
	from, to := seen.Mirroring.Mode, replay.PoolMode(v.wanted.Mirror)
	if from == to {
		return
	}
	if from == "" {
		from = replay.PoolDisabled
	}
	d.change(Change{
		ID: changeID(KindPoolMode, site, v.pool.String()), Kind: KindPoolMode, Site: site, Pool: v.pool,
		What: fmt.Sprintf("mirroring of the pool: %s → %s mode", from, to), From: string(from), To: string(to),
		Command: d.at(site).setPoolMode(v.pool, to),
		Needs:   []string{changeID(KindSiteName, site, ""), changeID(KindNamespace, site, v.pool.String())},
		Drift:   from != replay.PoolDisabled,
		act:     setPoolMode{site: site, pool: v.pool, mode: to},
	})
}

// wholePool wants the whole pool mirrored where one of its namespaces shall be:
// peers belong to the pool, and Ceph makes no token of one that is not
// mirrored. In image mode that mirrors no image.
func (d *differ) wholePool(v poolView) {
	if v.pool.Namespace == "" || d.plan.Pool(v.pool.Name, "") != nil {
		return
	}
	pool := whole(v.pool)
	for _, s := range d.plan.Sites {
		seen, ok := v.at[s.Name]
		if !ok || seen.Whole.Mode != replay.PoolDisabled && seen.Whole.Mode != "" {
			continue
		}
		d.change(Change{
			ID: changeID(KindPoolMode, s.Name, pool.String()), Kind: KindPoolMode, Site: s.Name, Pool: pool,
			What: "mirroring of the pool: disabled → image mode, which its namespace needs", From: string(replay.PoolDisabled), To: string(replay.PoolImage),
			Command: d.at(s.Name).setPoolMode(pool, replay.PoolImage),
			Needs:   []string{changeID(KindSiteName, s.Name, "")},
			act:     setPoolMode{site: s.Name, pool: pool, mode: replay.PoolImage},
		})
	}
}

// daemons compares who runs rbd-mirror with who must.
func (d *differ) daemons() {
	for _, s := range d.plan.MirrorSites() {
		seen := d.obs.Site(s.Name)
		if seen == nil || seen.Fault != nil {
			continue
		}
		switch {
		case seen.Runner == nil:
			d.foreignDaemon(s, seen)
		case seen.Runner.Fault != nil:
			d.notice(NoticeDaemonFault, s.Name, replay.Pool{}, "", seen.Runner.Fault.Hint, "%s", seen.Runner.Fault.What)
		case len(seen.Elsewhere) > 0:
			d.notice(NoticeDaemonByOthers, s.Name, replay.Pool{}, "", "where this host shall run it, stop it there and apply again",
				"%s", elsewhereWords(&s, seen.Elsewhere))
			d.idleDaemon(s, seen)
		case !seen.Runner.Running:
			d.startDaemon(s, seen)
		default:
			if seen.Runner.Outdated {
				d.restartDaemon(s, seen)
			}
			d.idleDaemon(s, seen)
		}
		d.callouts(s.Name, seen)
	}
}

// foreignDaemon is about a daemon that others run.
func (d *differ) foreignDaemon(s plans.Site, seen *SiteObservation) {
	if seen.DaemonsFault != nil {
		d.notice(NoticeDaemonFault, s.Name, replay.Pool{}, "", seen.DaemonsFault.Hint, "%s", seen.DaemonsFault.What)
		return
	}
	if !seen.daemonRuns() {
		d.notice(NoticeNoDaemon, s.Name, replay.Pool{}, "", "start it there, or say in the plan how Drover shall run it (daemon: run:)",
			"no rbd-mirror runs at %s", s.Name)
		return
	}
	d.idleDaemon(s, seen)
}

// beforeDaemon are the changes that come before a start of rbd-mirror: it reads
// pools and peers then, and afterwards only twice a minute.
func (d *differ) beforeDaemon() []string {
	var needs []string
	for i := range d.out.Changes {
		switch c := &d.out.Changes[i]; c.Kind {
		case KindSiteName, KindNamespace, KindPoolMode, KindPeer, KindPeerRemove:
			needs = append(needs, c.ID)
		}
	}
	return needs
}

func (d *differ) startDaemon(s plans.Site, seen *SiteObservation) {
	needs := d.beforeDaemon()
	d.change(Change{
		ID: changeID(KindDaemonStart, s.Name, ""), Kind: KindDaemonStart, Site: s.Name,
		What: fmt.Sprintf("start rbd-mirror (%s)", s.Daemon.Run), From: "stopped", To: "running",
		Command: seen.Runner.StartCommand, Needs: needs,
		Drift: len(needs) == 0,
		act:   runDaemon{site: s.Name, start: true},
	})
}

// restartDaemon is about a daemon that runs as an earlier plan said, or with a conf
// or a keyring that has changed since. Replay goes on where it was.
func (d *differ) restartDaemon(s plans.Site, seen *SiteObservation) {
	d.change(Change{
		ID: changeID(KindDaemonRestart, s.Name, ""), Kind: KindDaemonRestart, Site: s.Name,
		What: fmt.Sprintf("restart rbd-mirror (%s): its options, conf, keyring or program have changed", s.Daemon.Run), From: "outdated", To: "running",
		Command: seen.Runner.RestartCommand, Needs: d.beforeDaemon(),
		act: restartDaemon{site: s.Name},
	})
}

func (d *differ) idleDaemon(s plans.Site, seen *SiteObservation) {
	if seen.DaemonsFault != nil {
		return
	}
	for i := range d.plan.Pools {
		pool := poolOf(&d.plan.Pools[i])
		here := seen.Pool(pool)
		if here != nil && here.Mirroring.Mode != replay.PoolDisabled && here.Mirroring.Mode != "" && !here.Missing && !seen.Serves(pool) {
			d.notice(NoticeDaemonIdle, s.Name, pool, "", "wait half a minute, then look at its log", "rbd-mirror at %s does not serve the pool yet", s.Name)
		}
	}
}

// callouts shows what the daemons complain of.
func (d *differ) callouts(site string, seen *SiteObservation) {
	for i := range d.plan.Pools {
		pool := poolOf(&d.plan.Pools[i])
		var texts []string
		for k := range seen.Daemons {
			daemon := &seen.Daemons[k]
			for n := range daemon.Pools {
				if daemon.Pools[n].Pool != pool {
					continue
				}
				for _, c := range seen.complaints(k, n) {
					texts = append(texts, c.Text)
				}
			}
		}
		slices.Sort(texts)
		for _, text := range slices.Compact(texts) {
			if (replay.Callout{Text: text}).Unconnected() {
				d.notice(NoticePeerSilent, site, pool, "", "check that this site reaches the peer's monitors, and the peer's key", "rbd-mirror at %s: %s", site, text)
				continue
			}
			d.notice(NoticeDaemonComplains, site, pool, "", "look at the log of rbd-mirror there, and at drover status", "rbd-mirror at %s: %s", site, text)
		}
	}
}

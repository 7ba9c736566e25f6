package e2e

import (
	"math/rand/v2"
	"testing"
	"time"
)

// leastKills is how many processes each runbook must have seen killed.
const leastKills = 20

// TestSwitchoverKilled kills switchovers of several plans side by side, each
// again and again, and the processes that take them up too. In the end every
// image is primary at one site, and holds what it held.
func TestSwitchoverKilled(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	all, images := herds(t, l, 12)
	before := images.digests(t, a)

	moments := rand.New(rand.NewPCG(killSeed, 1))
	from, to, kills := a, b, 0
	for round := 0; kills < leastKills; round++ {
		if round == 4 {
			t.Fatalf("only %d of %d processes were killed in %d rounds", kills, leastKills, round)
		}
		k := killing{
			begin: func(_ *testing.T, h herd) []string {
				return []string{"switchover", "--yes", "--to", to.Name, h.file}
			},
			span: 5 * time.Second, limit: 4 * time.Minute,
		}
		kills += k.all(t, moments, all)
		images.want(t, to, from, before)
		from, to = to, from
	}
	t.Logf("%d processes were killed", kills)
	images.wantCopies(t, from, to)
}

// onApproval begins a runbook on what it shows at this moment.
func onApproval(runbook string, args ...string) func(*testing.T, herd) []string {
	return func(t *testing.T, h herd) []string {
		t.Helper()
		args := append([]string{runbook, "--reason", "it must be", h.file}, args...)
		hash, _ := approvedBy(t, 3*time.Minute, args...)
		return append(args, "--yes", "--approved", hash)
	}
}

// TestFailoverAndFailbackKilled loses a site with writes in it that never left,
// and kills the failovers of several plans, and then the failbacks.
func TestFailoverAndFailbackKilled(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	all, images := herds(t, l, 12)

	// Nobody replays at site-b when the last writes come, nor while the copies
	// there are promoted: the plans leave that to whoever runs the daemon.
	withoutMirror(t, b)
	only := map[string]string{}
	for _, h := range all {
		for image := range h.images {
			if err := scribble(t, a, image); err != nil {
				t.Fatal(err)
			}
			only[image] = digest(t, a, image)
			break
		}
	}
	if err := a.Vanish(); err != nil {
		t.Fatal(err)
	}
	moments := rand.New(rand.NewPCG(killSeed, 2))
	kills := killing{begin: onApproval("failover", "--to", "site-b"), span: 4 * time.Second, limit: 4 * time.Minute}.all(t, moments, all)
	if kills < leastKills {
		t.Errorf("only %d of %d failovers were killed", kills, leastKills)
	}
	for image := range images {
		wantRoleNow(t, b, image, true)
	}
	startMirror(t, b)
	kept := scribbledAll(t, b, images)

	if err := a.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	startMirror(t, a)
	kills = killing{begin: onApproval("failback"), span: 15 * time.Second, limit: 5 * time.Minute}.all(t, moments, all)
	if kills < leastKills {
		t.Errorf("only %d of %d failbacks were killed", kills, leastKills)
	}
	images.want(t, a, b, kept)
	images.wantCopies(t, a, b)
	for _, h := range all {
		mine := map[string]string{}
		for image := range h.images {
			if was, wrote := only[image]; wrote {
				mine[image] = was
			}
		}
		wantPreserved(t, h.file, mine, a)
	}
}

// TestResyncKilled has a person promote all copies by force while both sites are
// up, and kills the resyncs.
func TestResyncKilled(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	all, images := herds(t, l, 12)
	for image := range images {
		forced(t, b, image)
	}
	lost := scribbledAll(t, a, images)
	kept := scribbledAll(t, b, images)

	moments := rand.New(rand.NewPCG(killSeed, 3))
	k := killing{begin: onApproval("resync", "--all", "--keep", "site-b"), span: 10 * time.Second, limit: 5 * time.Minute}
	if kills := k.all(t, moments, all); kills < leastKills {
		t.Errorf("only %d of %d resyncs were killed", kills, leastKills)
	}
	images.want(t, b, a, kept)
	images.wantCopies(t, b, a)
	for _, h := range all {
		mine := map[string]string{}
		for image := range h.images {
			mine[image] = lost[image]
		}
		wantPreserved(t, h.file, mine, a)
	}
}

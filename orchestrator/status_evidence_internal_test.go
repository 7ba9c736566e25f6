package orchestrator

import (
	"slices"
	"testing"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// What a daemon says of a copy that it cannot make is found at the primary: its
// own site has no image to list reports of.
func TestReportsOfACopyThatCannotBeMade(t *testing.T) {
	plan, err := plans.Parse("plan.yaml", []byte(`
version: 1
name: payroll
primary: site-a
sites:
  - { name: site-a, conf: a.conf }
  - { name: site-b, conf: b.conf, daemon: { run: process } }
pools:
  - name: rbd
    images: [{ name: vm }]
`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	pool := replay.Pool{Name: "rbd"}
	mirroring := func(uuid, peer string) replay.PoolMirroring {
		return replay.PoolMirroring{Mode: replay.PoolImage, UUID: uuid, Peers: []replay.Peer{{SiteName: peer, Direction: replay.RxTx}}}
	}
	report := func(by string, state replay.ReportState, text string) replay.Report {
		return replay.Report{Ref: pool.Image("vm"), GlobalID: "g", MirrorUUID: by, State: state, Up: true, Description: text, Updated: now}
	}
	vm := replay.Image{
		Ref: pool.Image("vm"), Role: replay.RolePrimary, Mode: replay.ModeJournal, State: replay.StateEnabled, GlobalID: "g",
		Journal: &replay.Journal{Clients: []replay.JournalClient{{}}},
	}
	obs := &Observation{Sites: []SiteObservation{
		{Name: "site-a", Pools: []PoolObservation{{
			Pool: pool, Mirroring: mirroring("uuid-a", "site-b"), Images: []replay.Image{vm},
			Reports: []replay.Report{
				report("", replay.ReportStopped, "local image is primary"),
				report("uuid-c", replay.ReportError, "of another site"),
				report("uuid-b", replay.ReportError, "failed to create local image: (28) No space left on device"),
			},
		}}},
		{
			Name:    "site-b",
			Daemons: []replay.MirrorDaemon{{Started: now.Add(-time.Hour), Pools: []replay.DaemonPool{{Pool: pool}}}},
			Pools:   []PoolObservation{{Pool: pool, Mirroring: mirroring("uuid-b", "site-a")}},
		},
	}}
	evidence := gatherEvidence(plan, obs, now)
	if len(evidence) != 1 {
		t.Fatalf("evidence %+v", evidence)
	}
	v := replay.Judge(evidence[0])
	if v.State != replay.Degraded || !slices.ContainsFunc(v.Problems, func(p replay.Problem) bool {
		return p.Code == replay.ProblemNoSpace && p.Site == "site-b"
	}) {
		t.Errorf("verdict %+v", v)
	}
	if reports := evidence[0].Sites[1].Reports; len(reports) != 1 || reports[0].MirrorUUID != "uuid-b" {
		t.Errorf("reports of site-b: %+v", reports)
	}
	if len(evidence[0].Sites[0].Reports) != 3 {
		t.Errorf("reports of site-a: %+v", evidence[0].Sites[0].Reports)
	}
}

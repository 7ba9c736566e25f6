package orchestrator_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

const statusPlan = `
version: 1
name: payroll
primary: site-a
rpo: 1m
sites:
  - { name: site-a, conf: a.conf, mirror_name: left }
  - { name: site-b, conf: b.conf, daemon: { run: process } }
pools:
  - name: rbd
    images:
      - { name: vm-1, create: { size: 8MiB } }
      - { name: vm-2, create: { size: 8MiB } }
`

func (b *bed) status(o orchestrator.StatusOptions) *orchestrator.StatusReport {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	return orchestrator.Status(b.t.Context(), b.plan, sites, o)
}

func imageStatus(t *testing.T, r *orchestrator.StatusReport, name string) orchestrator.ImageStatus {
	t.Helper()
	for _, image := range r.Images {
		if image.Ref.Name == name {
			return image
		}
	}
	t.Fatalf("no image %s in the status", name)
	return orchestrator.ImageStatus{}
}

func problems(r *orchestrator.StatusReport) string {
	var codes []string
	for _, p := range r.Problems {
		codes = append(codes, fmt.Sprintf("%s@%s×%d", p.Code, p.Site, p.Images))
	}
	return strings.Join(codes, " ")
}

func TestStatusOfHealthyImages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		time.Sleep(time.Minute)
		r := b.status(orchestrator.StatusOptions{})
		if r.Summary.Healthy != 2 || len(r.Problems) != 0 {
			t.Fatalf("%d healthy, problems: %s", r.Summary.Healthy, problems(r))
		}
		vm := imageStatus(t, r, "vm-1")
		if vm.State != replay.Replaying || vm.Primary != "site-a" || vm.Roles["site-a"] != "primary" || vm.Roles["site-b"] != "secondary" {
			t.Errorf("vm-1: %+v", vm)
		}
		if len(vm.Copies) != 1 || !vm.Copies[0].Lag.CaughtUp || vm.Met == nil || !*vm.Met {
			t.Errorf("vm-1: copies %+v, objective met %v", vm.Copies, vm.Met)
		}
		if len(r.Sites) != 2 || len(r.Sites[1].Daemons) != 1 || !slices.Contains(r.Sites[1].Daemons[0].Serves, "rbd") {
			t.Errorf("sites: %+v", r.Sites)
		}
	})
}

// Lag in seconds comes from the journal: from when the first entry was written
// that the secondary does not hold.
func TestStatusTellsJournalLagInSeconds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		time.Sleep(time.Minute)
		b.must(b.world.HaltReplay("site-b", ref("vm-1")))
		time.Sleep(time.Second)
		for range 3 {
			b.must(b.world.Write("site-a", ref("vm-1"), 0, []byte("new")))
			time.Sleep(40 * time.Second)
		}
		r := b.status(orchestrator.StatusOptions{})
		vm := imageStatus(t, r, "vm-1")
		lag := vm.Copies[0].Lag
		if lag.Entries == nil || *lag.Entries != 3 || lag.Seconds == nil || lag.Seconds.Round(time.Second) != 2*time.Minute {
			t.Fatalf("lag: %+v (seconds %v)", lag, lag.Seconds)
		}
		if vm.Met == nil || *vm.Met || vm.Copies[0].SyncedTo == nil {
			t.Errorf("objective met: %v, synced to %v", vm.Met, vm.Copies[0].SyncedTo)
		}
		if !strings.Contains(problems(r), string(replay.ProblemRPOExceeded)) {
			t.Errorf("problems: %s", problems(r))
		}
		if r.Images[0].Ref.Name != "vm-1" {
			t.Errorf("the image with a problem is not first: %v", r.Images[0].Ref)
		}
	})
}

func TestStatusTwoPrimariesAreSplitBrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		b.must(b.world.Site("site-b").Promote(t.Context(), ref("vm-1"), true))
		r := b.status(orchestrator.StatusOptions{})
		if got := imageStatus(t, r, "vm-1"); got.State != replay.SplitBrain {
			t.Errorf("state %s", got.State)
		}
		if r.Problems[0].Code != replay.ProblemTwoPrimaries || r.Problems[0].Images != 1 || r.Problems[0].Next == "" {
			t.Errorf("first problem: %+v", r.Problems[0])
		}
		if strings.Contains(r.Problems[0].Next, " PLAN") {
			t.Errorf("next step does not name the plan: %s", r.Problems[0].Next)
		}
	})
}

func TestStatusWithoutDaemonGroupsTheProblem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		b.world.StopDaemon("site-b")
		time.Sleep(time.Minute)
		r := b.status(orchestrator.StatusOptions{})
		if !strings.Contains(problems(r), "no-daemon@site-b×2") {
			t.Errorf("problems: %s", problems(r))
		}
		if r.Summary.Critical != 2 || r.Summary.Healthy != 0 {
			t.Errorf("summary: %+v", r.Summary)
		}
	})
}

// A site that hangs costs the check timeout and hides nothing of the other.
func TestStatusWithASilentSite(t *testing.T) {
	for name, silence := range map[string]func(*sim.World, string){
		"frozen": (*sim.World).Freeze, "gone": (*sim.World).Vanish,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, statusPlan)
				b.applied()
				time.Sleep(time.Minute)
				silence(b.world, "site-a")
				began := time.Now()
				r := b.status(orchestrator.StatusOptions{})
				if took := time.Since(began); took > 6*time.Second {
					t.Errorf("status took %s", took)
				}
				if !slices.Equal(r.Summary.Silent, []string{"site-a"}) || r.Sites[0].Reachable || r.Sites[0].Error == "" || !r.Sites[1].Reachable {
					t.Fatalf("silent %v, sites %+v", r.Summary.Silent, r.Sites)
				}
				vm := imageStatus(t, r, "vm-1")
				if vm.Roles["site-a"] != "unknown" || vm.Roles["site-b"] != "secondary" {
					t.Errorf("roles %v", vm.Roles)
				}
				if len(vm.Copies) != 1 || vm.Copies[0].Lag.Exact {
					t.Errorf("copies %+v", vm.Copies)
				}
				b.world.Thaw("site-a")
				b.world.Return("site-a")
			})
		})
	}
}

// The JSON is a contract: what is empty is there as an empty list.
func TestStatusJSON(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		text, err := json.Marshal(b.status(orchestrator.StatusOptions{}))
		b.must(err)
		var got struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Images     []struct {
				State  string            `json:"state"`
				Roles  map[string]string `json:"roles"`
				Copies []any             `json:"copies"`
			} `json:"images"`
			Problems []struct{ Code, Severity, Next string } `json:"problems"`
		}
		b.must(json.Unmarshal(text, &got))
		if got.APIVersion != "drover/v1" || got.Kind != "Status" || len(got.Images) != 2 || got.Images[0].Copies == nil {
			t.Errorf("%s", text)
		}
		if got.Images[0].State != "unprotected" || got.Images[0].Roles["site-a"] != "missing" || len(got.Problems) == 0 {
			t.Errorf("%s", text)
		}
	})
}

func TestStatusOfPoolThatIsMissing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.plan = parsePlan(t, strings.Replace(statusPlan, "name: rbd", "name: other", 1))
		r := b.status(orchestrator.StatusOptions{})
		if len(r.Images) != 2 || r.Images[0].Roles["site-b"] != "missing" || !strings.Contains(problems(r), "pool-missing@site-b×2") {
			t.Errorf("images %+v, problems %s", r.Images, problems(r))
		}
		if strings.Contains(problems(r), "site-unknown") || r.Images[0].State != replay.Unprotected {
			t.Errorf("a missing pool is no silent site: state %s, problems %s", r.Images[0].State, problems(r))
		}
	})
}

// A namespace that only the secondary lacks makes the image unprotected there,
// and nobody unreachable.
func TestStatusOfNamespaceThatIsMissing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.plan = parsePlan(t, strings.Replace(statusPlan, "name: rbd", "name: rbd\n    namespace: team", 1))
		space := replay.Pool{Name: "rbd", Namespace: "team"}
		b.must(b.world.Site("site-a").CreateNamespace(t.Context(), space))
		b.must(b.world.Site("site-a").SetPoolMode(t.Context(), space, replay.PoolImage))
		b.image("site-a", space.Image("vm-1"), replay.FeatureLayering|replay.FeatureExclusiveLock|replay.FeatureJournaling)
		b.must(b.world.Site("site-a").EnableMirroring(t.Context(), space.Image("vm-1"), replay.ModeJournal))
		r := b.status(orchestrator.StatusOptions{})
		vm := imageStatus(t, r, "vm-1")
		if vm.State != replay.Degraded || vm.Primary != "site-a" || vm.Roles["site-b"] != "missing" {
			t.Errorf("vm-1: %+v", vm)
		}
		if seen := problems(r); !strings.Contains(seen, "pool-missing@site-b") || strings.Contains(seen, "site-unknown") {
			t.Errorf("problems: %s", seen)
		}
	})
}

// Where there is no time to read all journals, the rest is counted, and the
// status still comes.
func TestStatusLagBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		time.Sleep(time.Minute)
		for _, name := range []string{"vm-1", "vm-2"} {
			b.must(b.world.HaltReplay("site-b", ref(name)))
		}
		time.Sleep(time.Second)
		for _, name := range []string{"vm-1", "vm-2"} {
			b.must(b.world.Write("site-a", ref(name), 0, []byte("new")))
		}
		b.world.Inject(sim.Fault{Op: "AppendTime", Object: "rbd/vm-2", Hang: true})
		began := time.Now()
		r := b.status(orchestrator.StatusOptions{LagTime: 200 * time.Millisecond})
		if took := time.Since(began); took > time.Second {
			t.Errorf("status took %s", took)
		}
		if r.Summary.LagUnmeasured != 1 {
			t.Errorf("unmeasured: %d", r.Summary.LagUnmeasured)
		}
		if lag := imageStatus(t, r, "vm-1").Copies[0].Lag; lag.Seconds == nil {
			t.Error("lag of vm-1 is not known")
		}
		if lag := imageStatus(t, r, "vm-2").Copies[0].Lag; lag.Seconds != nil || lag.Entries == nil {
			t.Errorf("lag of vm-2: %+v", lag)
		}
	})
}

// A scheduler that cannot be asked is not one without schedules, and what the
// plan wants tells whether snapshots still come.
func TestStatusOfDeadScheduler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, strings.Replace(statusPlan, "  - name: rbd\n", "  - name: rbd\n    mode: snapshot\n    schedules: [{every: 1m}]\n", 1))
		b.applied()
		b.world.StopSchedules("site-a")
		b.world.Inject(sim.Fault{Site: "site-a", Op: "MirrorSchedules", Hang: true})
		time.Sleep(time.Hour)
		seen := problems(b.status(orchestrator.StatusOptions{}))
		for _, want := range []string{"schedules-unknown@site-a", "schedule-dead@site-a"} {
			if !strings.Contains(seen, want) {
				t.Errorf("no %s in %s", want, seen)
			}
		}
		if strings.Contains(seen, "no-schedule") {
			t.Errorf("a schedule that cannot be read is called missing: %s", seen)
		}
	})
}

// Reports that cannot be read are not reports that were never written.
func TestStatusOfUnreadableReports(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		b.world.Inject(sim.Fault{Site: "site-b", Op: "Reports", Hang: true})
		seen := problems(b.status(orchestrator.StatusOptions{}))
		if !strings.Contains(seen, "reports-unknown@site-b") || strings.Contains(seen, "report-missing") {
			t.Errorf("problems: %s", seen)
		}
	})
}

func TestStatusMakesNoWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		b.world.ForgetCalls()
		b.status(orchestrator.StatusOptions{})
		if writes := b.world.Writes(); len(writes) > 0 {
			t.Errorf("writes: %v", writes)
		}
	})
}

// The number of calls does not grow with the number of images.
func TestStatusCallsAreBulk(t *testing.T) {
	count := func(images int) (calls int) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, strings.Split(statusPlan, "    images:")[0]+"    images: [{ glob: vm-* }]\n")
			for i := range images {
				b.image("site-a", ref(fmt.Sprintf("vm-%d", i)), replay.FeatureLayering|replay.FeatureExclusiveLock)
			}
			b.applied()
			time.Sleep(time.Minute)
			b.world.ForgetCalls()
			if r := b.status(orchestrator.StatusOptions{}); r.Summary.Healthy != images {
				t.Fatalf("%d of %d healthy: %s", r.Summary.Healthy, images, problems(r))
			}
			calls = len(b.world.Calls())
		})
		return calls
	}
	if few, many := count(1), count(50); few != many {
		t.Errorf("%d calls for one image, %d for 50", few, many)
	}
}

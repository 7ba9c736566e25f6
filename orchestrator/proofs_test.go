package orchestrator_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay/sim"
)

// proofOf is what a status says of the comparison of an image's copy.
func (b *bed) proofOf(image string) orchestrator.CopyProof {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	report := orchestrator.Status(b.t.Context(), b.plan, sites, orchestrator.StatusOptions{})
	for i := range report.Images {
		if s := &report.Images[i]; s.Ref.Name == image && len(s.Copies) == 1 && s.Copies[0].Compared != nil {
			return *s.Copies[0].Compared
		}
	}
	b.t.Fatalf("no proof of %s: %+v", image, report.Images)
	return orchestrator.CopyProof{}
}

// verified verifies an image by hand.
func (b *bed) verified(image string) {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	report, err := orchestrator.Verify(b.t.Context(), b.plan, sites, orchestrator.VerifyOptions{Images: []string{image}})
	b.must(err)
	b.must(orchestrator.RecordVerified(b.t.Context(), b.plan, sites, report))
}

// daily is a plan with a verification each day.
const daily = watched + "verification: {schedule: '0 3 * * *'}\n"

// TestStatusTellsProofs: a status says when a copy was last proven identical, whoever
// is primary; that it differs; that it never was; and that it is too long ago.
func TestStatusTellsProofs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, daily, 2)
		b.verified("volume-0")
		now := time.Now()
		p := b.proofOf("volume-0")
		if p.Result != orchestrator.ProofIdentical || p.Stale || p.Identical == nil || now.Sub(*p.Identical) > time.Minute {
			t.Errorf("verified: %+v", p)
		}
		if p := b.proofOf("volume-1"); p != (orchestrator.CopyProof{Result: orchestrator.ProofNever}) {
			t.Errorf("never verified: %+v", p)
		}
		_, err := b.switchover(orchestrator.SwitchoverOptions{Scope: orchestrator.Scope{Images: []string{"volume-0"}}}, orchestrator.RunOptions{})
		b.must(err)
		time.Sleep(time.Minute)
		if again := b.proofOf("volume-0"); again.Result != orchestrator.ProofIdentical || !again.Identical.Equal(*p.Identical) {
			t.Errorf("after a switchover: %+v", again)
		}
		b.must(b.world.Corrupt("a", ref("volume-0"), 4096, []byte("rotten")))
		b.verified("volume-0")
		if now := b.proofOf("volume-0"); now.Result != orchestrator.ProofDiffers || !now.Identical.Equal(*p.Identical) || !now.At.After(*p.Identical) {
			t.Errorf("corrupted: %+v", now)
		}
		b.verified("volume-1")
		time.Sleep(23 * time.Hour)
		if p := b.proofOf("volume-1"); p.Stale {
			t.Errorf("after a day: %+v", p)
		}
		time.Sleep(26 * time.Hour)
		if p := b.proofOf("volume-1"); !p.Stale || p.Result != orchestrator.ProofIdentical {
			t.Errorf("after two: %+v", p)
		}
	})
}

// TestStatusProofOfAnewCopy: what was proven of a copy that was made anew since is
// stale.
func TestStatusProofOfAnewCopy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		b.verified("volume-0")
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-0"), true))
		time.Sleep(time.Minute)
		if _, report, err := b.immortal().start(t.Context(), recopying("a", "volume-0"), orchestrator.RunOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, story(report))
		}
		time.Sleep(15 * time.Minute) // a watch reads what others record now and then
		if p := b.proofOf("volume-0"); p.Identical == nil || !p.Stale {
			t.Errorf("%+v", p)
		}
		if c := copyOf(m.last(), "volume-0").Compared; c == nil || !c.Stale {
			t.Errorf("the watch: %+v", c)
		}
		b.verified("volume-0")
		if p := b.proofOf("volume-0"); p.Result != orchestrator.ProofIdentical || p.Stale {
			t.Errorf("%+v", p)
		}
	})
}

// TestStatusWithoutProofs: records that cannot be read make nothing of it known, and
// hide and delay nothing else.
func TestStatusWithoutProofs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		b.verified("volume-0")
		status := func() (*orchestrator.StatusReport, time.Duration) {
			sites := b.sites(t.Context())
			defer b.close(sites)
			began := time.Now()
			return orchestrator.Status(t.Context(), b.plan, sites, orchestrator.StatusOptions{}), time.Since(began)
		}
		// One site's are enough.
		history := historyLedger.String()
		mend := b.world.Inject(sim.Fault{Site: "a", Op: "ReadRecords", Object: history, Errno: syscall.EPERM})
		if p := b.proofOf("volume-0"); p.Result != orchestrator.ProofIdentical {
			t.Errorf("without a's records: %+v", p)
		}
		if p := b.proofOf("vm-1"); p.Result != orchestrator.ProofUnknown {
			t.Errorf("what may be recorded at a: %+v", p)
		}
		mend()
		for name, f := range map[string]sim.Fault{
			"refused": {Op: "ReadRecords", Object: history, Errno: syscall.EPERM},
			"hanging": {Op: "ReadRecords", Object: history, Hang: true},
		} {
			mend := b.world.Inject(f)
			r, took := status()
			p := copyOf(orchestrator.CheckResult{Report: r}, "volume-0").Compared
			if p == nil || *p != (orchestrator.CopyProof{Result: orchestrator.ProofUnknown}) || r.Summary.Healthy != 2 || len(r.Problems) > 0 {
				t.Errorf("%s: %+v, %+v", name, p, r)
			}
			if took > 2*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			mend()
		}
		b.world.Freeze("b")
		if r, took := status(); took > 5*time.Second+100*time.Millisecond || r.Images[0].Roles["a"] == "" {
			t.Errorf("b is frozen: it took %v", took)
		}
	})
}

// TestStatusReadsHistoryOnce: one read of the history at each site, and none by the
// checks of a watch.
func TestStatusReadsHistoryOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 5)
		reads := func() (n int) {
			for _, c := range b.world.Calls() {
				if c.Op == "ReadRecords" && strings.HasSuffix(c.Object, historyLedger.Object) {
					n++
				}
			}
			return n
		}
		before := reads()
		b.proofOf("volume-0")
		if n := reads() - before; n != 2 {
			t.Errorf("%d reads", n)
		}
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(30 * time.Second)
		before = reads()
		time.Sleep(5 * time.Minute)
		if n := reads() - before; n > 0 {
			t.Errorf("%d reads by %d checks", n, m.count())
		}
	})
}

// TestWatchHearsOfProofs: the first check of a watch tells all that is recorded, each
// later one what is new, also where somebody else has verified; which ends the signal
// of copies that differed.
func TestWatchHearsOfProofs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 2)
		b.verified("volume-0")
		b.must(b.world.Corrupt("b", ref("volume-1"), 4096, []byte("rotten")))
		b.verified("volume-1")
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		told := func(from int) (out []string) {
			for _, r := range m.since(from) {
				for _, v := range r.Verified {
					out = append(out, v.Image.Name)
				}
			}
			return out
		}
		if got := strings.Join(told(0), " "); got != "volume-0 volume-1" {
			t.Errorf("at the start: %s", got)
		}
		if s := m.signals(orchestrator.SignalCopiesDiffer); len(s) != 1 || !has(s, "rbd/volume-1") {
			t.Errorf("signals: %s", codes(m.last()))
		}
		if c := copyOf(m.last(), "volume-1").Compared; c == nil || c.Result != orchestrator.ProofDiffers {
			t.Errorf("%+v", c)
		}
		from := m.count()
		b.must(b.world.Write("a", ref("volume-1"), 0, make([]byte, 8192)))
		time.Sleep(time.Minute)
		b.verified("volume-1")
		time.Sleep(15 * time.Minute)
		if got := strings.Join(told(from), " "); got != "volume-1" {
			t.Errorf("later: %s", got)
		}
		if s := m.signals(orchestrator.SignalCopiesDiffer); len(s) > 0 {
			t.Errorf("signals: %s", codes(m.last()))
		}
	})
}

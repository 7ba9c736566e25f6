//go:build sim

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// simctl is the scripts' hand on the simulated world: it makes it, writes
// data, lets time pass and lets things go wrong.
func simctl() {
	if err := simctlRun(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "simctl:", err)
		os.Exit(1)
	}
}

// simctlVerbs are the verbs of simctl, each with the number of arguments that
// it needs at least.
var simctlVerbs = map[string]struct {
	args int
	do   func(*sim.File, []string) error
}{
	// new SITE… -- POOL…: every site has every pool.
	"new": {2, func(w *sim.File, a []string) error {
		sites, pools, _ := strings.Cut(strings.Join(a, " "), " -- ")
		for _, site := range strings.Fields(sites) {
			w.AddSite(site)
			for _, pool := range strings.Fields(pools) {
				w.AddPool(site, pool)
			}
		}
		return nil
	}},
	// instant: the daemons take no time, for scripts that are not about time.
	"instant": {0, func(w *sim.File, _ []string) error { w.SetPace(sim.Instant); return nil }},
	// create SITE IMAGE BYTES
	"create": {3, func(w *sim.File, a []string) error {
		size, err := strconv.ParseUint(a[2], 10, 64)
		if err != nil {
			return err
		}
		features, err := replay.ParseFeatures([]string{"layering", "exclusive-lock"})
		if err != nil {
			return err
		}
		return w.Site(a[0]).CreateImage(context.Background(), imageRef(a[1]), replay.ImageSpec{Size: size, Features: features})
	}},
	// mirror SITE IMAGE: by somebody else than Drover.
	"mirror": {2, func(w *sim.File, a []string) error {
		ctx, site, ref := context.Background(), w.Site(a[0]), imageRef(a[1])
		if err := site.EnableFeatures(ctx, ref, replay.FeatureExclusiveLock|replay.FeatureJournaling); err != nil {
			return err
		}
		return site.EnableMirroring(ctx, ref, replay.ModeJournal)
	}},
	// write SITE IMAGE OFFSET TEXT
	"write": {4, func(w *sim.File, a []string) error {
		offset, err := strconv.ParseUint(a[2], 10, 64)
		if err != nil {
			return err
		}
		return w.Write(a[0], imageRef(a[1]), offset, []byte(a[3]))
	}},
	// corrupt SITE IMAGE OFFSET TEXT
	"corrupt": {4, func(w *sim.File, a []string) error {
		offset, err := strconv.ParseUint(a[2], 10, 64)
		if err != nil {
			return err
		}
		return w.Corrupt(a[0], imageRef(a[1]), offset, []byte(a[3]))
	}},
	// snapshot SITE IMAGE NAME
	"snapshot": {3, func(w *sim.File, a []string) error {
		return w.Site(a[0]).CreateSnapshot(context.Background(), imageRef(a[1]), a[2])
	}},
	// snapshots SITE IMAGE: prints the user snapshots.
	"snapshots": {2, func(w *sim.File, a []string) error {
		image, err := w.Site(a[0]).Image(context.Background(), imageRef(a[1]))
		if err != nil {
			return err
		}
		for _, s := range image.Snapshots {
			if s.Kind == replay.SnapshotUser {
				fmt.Println(s.Name)
			}
		}
		return nil
	}},
	// role SITE IMAGE: prints it.
	"role": {2, func(w *sim.File, a []string) error {
		image, err := w.Site(a[0]).Image(context.Background(), imageRef(a[1]))
		if err != nil {
			return err
		}
		fmt.Println(image.Role)
		return nil
	}},
	"promote": {2, func(w *sim.File, a []string) error {
		return w.Site(a[0]).Promote(context.Background(), imageRef(a[1]), true)
	}},
	"demote": {2, func(w *sim.File, a []string) error {
		return w.Site(a[0]).Demote(context.Background(), imageRef(a[1]))
	}},
	"start":  {1, func(w *sim.File, a []string) error { w.StartDaemon(a[0]); return nil }},
	"stop":   {1, func(w *sim.File, a []string) error { w.StopDaemon(a[0]); return nil }},
	"vanish": {1, func(w *sim.File, a []string) error { w.Vanish(a[0]); return nil }},
	"return": {1, func(w *sim.File, a []string) error { w.Return(a[0]); return nil }},
	"freeze": {1, func(w *sim.File, a []string) error { w.Freeze(a[0]); return nil }},
	"thaw":   {1, func(w *sim.File, a []string) error { w.Thaw(a[0]); return nil }},
	"halt":   {2, func(w *sim.File, a []string) error { return w.HaltReplay(a[0], imageRef(a[1])) }},
	"resume": {2, func(w *sim.File, a []string) error { return w.ResumeReplay(a[0], imageRef(a[1])) }},
	// attach SITE IMAGE CLIENT: a client opens the image for writing.
	"attach": {3, func(w *sim.File, a []string) error {
		return w.Attach(a[0], imageRef(a[1]), replay.ImageUser{Client: a[2], Address: "10.0.0.9:0/1234"}, true)
	}},
	"detach": {2, func(w *sim.File, a []string) error { return w.Detach(a[0], imageRef(a[1])) }},
	// hang SITE OP OBJECT [COUNT]: calls neither take effect nor come back.
	"hang": {3, func(w *sim.File, a []string) error {
		fault := sim.Fault{Site: a[0], Op: a[1], Object: a[2], Hang: true}
		if len(a) > 3 {
			var err error
			if fault.Count, err = strconv.Atoi(a[3]); err != nil {
				return err
			}
		}
		w.Inject(fault)
		return nil
	}},
	// lease SITE POOL PLAN SECONDS: somebody else holds the plan's lease.
	"lease": {4, func(w *sim.File, a []string) error {
		seconds, err := strconv.Atoi(a[3])
		if err != nil {
			return err
		}
		ledger := replay.LedgerRef{Pool: a[1], Object: "ledger." + a[2]}
		lease := replay.Lease{Cookie: "simctl", Holder: "night-shift@other-host: switchover", TTL: time.Duration(seconds) * time.Second}
		return w.Site(a[0]).AcquireLease(context.Background(), ledger, lease, false)
	}},
	// unlease SITE POOL PLAN
	"unlease": {3, func(w *sim.File, a []string) error {
		return w.Site(a[0]).ReleaseLease(context.Background(), replay.LedgerRef{Pool: a[1], Object: "ledger." + a[2]}, "simctl")
	}},
	// fsid SITE FSID: makes a site claim to be the cluster of that fsid.
	"fsid": {2, func(w *sim.File, a []string) error { w.SetFSID(a[0], a[1]); return nil }},
	// fail SITE OP OBJECT ERRNO [SKIP COUNT]: without the two all calls fail.
	"fail": {4, func(w *sim.File, a []string) error {
		fault := sim.Fault{Site: a[0], Op: a[1], Object: a[2]}
		errno, err := strconv.Atoi(a[3])
		if err != nil {
			return err
		}
		fault.Errno = syscall.Errno(errno)
		if len(a) == 6 {
			if fault.Skip, err = strconv.Atoi(a[4]); err != nil {
				return err
			}
			if fault.Count, err = strconv.Atoi(a[5]); err != nil {
				return err
			}
		}
		w.Inject(fault)
		return nil
	}},
}

func simctlRun(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which verb?")
	}
	verb, known := simctlVerbs[args[0]]
	if !known || len(args)-1 < verb.args {
		return fmt.Errorf("cannot %q", strings.Join(args, " "))
	}
	world, err := sim.OpenFile(os.Getenv(simFile))
	if err != nil {
		return err
	}
	if err := verb.do(world, args[1:]); err != nil {
		return err
	}
	return world.Close()
}

// imageRef reads POOL/IMAGE or POOL/NAMESPACE/IMAGE.
func imageRef(text string) replay.ImageRef {
	part := strings.Split(text, "/")
	switch len(part) {
	case 2:
		return replay.Pool{Name: part[0]}.Image(part[1])
	case 3:
		return replay.Pool{Name: part[0], Namespace: part[1]}.Image(part[2])
	}
	return replay.ImageRef{Name: text}
}

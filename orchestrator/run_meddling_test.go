package orchestrator_test

import (
	"errors"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// meddling is what somebody or something does at one of the process's calls.
type meddling struct {
	call int64
	what string
	site string
	ref  replay.ImageRef
	done bool
}

// meddles are what may happen in between.
var meddles = []string{
	"promote by hand", "promote by force", "demote by hand", "vanish", "return", "freeze", "thaw", "sever", "mend",
	"kill daemon", "start daemon", "busy", "read-only", "lost answers", "hang", "take the lease", "write", "write", "halt",
	"no caps", "fence hangs", "clock jumps",
}

func (h *runHistory) meddling() meddling {
	sites := h.world.Sites()
	return meddling{
		call: int64(h.rng.IntN(250)), what: meddles[h.rng.IntN(len(meddles))],
		site: sites[h.rng.IntN(len(sites))], ref: h.refs[h.rng.IntN(len(h.refs))],
	}
}

// meddle does what is due at the call.
func (h *runHistory) meddle(n int64) {
	for i := range h.plan {
		h.mu.Lock()
		due := !h.plan[i].done && n >= h.plan[i].call
		h.plan[i].done = h.plan[i].done || due
		m := h.plan[i]
		h.mu.Unlock()
		if due {
			h.notef("at call %d: %s %s %s: %v", n, m.what, m.site, m.ref, h.does(m))
		}
	}
}

func (h *runHistory) does(m meddling) error {
	site := h.world.Site(m.site)
	ctx, cancel := contextFor(time.Second)
	defer cancel()
	byHand := func(err error) error {
		if err == nil || errors.Is(err, replay.ErrTimeout) { // its answer may be lost
			h.mu.Lock()
			h.touched[m.ref] = true
			h.mu.Unlock()
		}
		return err
	}
	inject := func(f simFault) {
		remove := h.world.Inject(f)
		h.mu.Lock()
		h.removes = append(h.removes, remove)
		h.mu.Unlock()
	}
	op := []string{"Promote", "Demote", "AppendRecords", "Images", "CreateMirrorSnapshot", "AcquireLease", "LookAt", "ReadRecords", "Image", "Blocklist", "LeaseHolder"}[m.call%11]
	count := int(m.call % 5)
	other := "a"
	if m.site == "a" {
		other = "b"
	}
	switch m.what {
	case "promote by hand":
		return byHand(site.Promote(ctx, m.ref, false))
	case "promote by force":
		return byHand(site.Promote(ctx, m.ref, true))
	case "demote by hand":
		return byHand(site.Demote(ctx, m.ref))
	case "vanish":
		h.world.Vanish(m.site)
	case "return":
		h.world.Return(m.site)
	case "freeze":
		h.world.Freeze(m.site)
	case "thaw":
		h.world.Thaw(m.site)
	case "sever":
		h.world.Sever(m.site, other)
	case "mend":
		h.world.Mend(m.site, other)
	case "kill daemon":
		h.world.KillDaemon(m.site)
	case "start daemon":
		h.world.StartDaemon(m.site)
	case "busy":
		inject(simFault{Site: m.site, Op: op, Count: count, Errno: ebusy})
	case "read-only":
		inject(simFault{Site: m.site, Op: op, Count: count, Errno: erofs})
	case "lost answers":
		inject(simFault{Site: m.site, Op: op, Count: count, Lost: true})
	case "hang":
		inject(simFault{Site: m.site, Op: op, Object: m.ref.String(), Count: count, Hang: true})
	case "no caps":
		inject(simFault{Site: m.site, Op: "Blocklist", Errno: eperm})
	case "fence hangs":
		inject(simFault{Site: m.site, Op: "Blocklist", Hang: true})
	case "take the lease":
		ledger := replay.LedgerRef{Pool: "rbd", Object: "ledger." + h.bed.plan.Name}
		holder, ok, err := site.LeaseHolder(ctx, ledger)
		if err != nil || !ok {
			return err
		}
		return site.ReleaseLease(ctx, ledger, holder.Cookie)
	case "write":
		if !h.over {
			h.ink.write()
		}
	case "halt":
		return h.halt(m.ref)
	case "clock jumps":
		h.inHand.skew.Store(int64(skews[m.call%int64(len(skews))]))
	}
	return nil
}

// halt halts an image, as somebody does who has seen something.
func (h *runHistory) halt(ref replay.ImageRef) error {
	ctx, cancel := contextFor(20 * time.Second)
	defer cancel()
	sites := h.immortal().sites(ctx)
	defer h.close(sites)
	book, err := orchestrator.ReadBook(ctx, h.bed.plan, sites)
	if err != nil {
		return err
	}
	return errors.Join(book.Halt(ctx, orchestrator.Halt{Images: []replay.ImageRef{ref}, Reason: "seen something"}), book.Close(ctx))
}

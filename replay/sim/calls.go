package sim

import (
	"context"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// Call is one call to a site, as the log keeps it.
type Call struct {
	At     time.Time
	Site   string
	Op     string // name of the method of replay.Site
	Object string // pool, image or peer; may be empty
	Write  bool   // the method changes the cluster when it succeeds
	Err    error
}

// Site is one simulated cluster as seen by one client. It keeps the contract
// of replay.Site.
type Site struct {
	w      *World
	name   string
	client uint64 // by which the cluster knows the handle; 0: it has not been asked
	gate   Gate   // nil: none
}

var _ replay.Site = (*Site)(nil)

// words is how the operations are called in errors; those of the table are the
// ones that write.
var words = map[string]string{
	"CreateNamespace":      "create namespace",
	"SetSiteName":          "set site name",
	"SetPoolMode":          "set mirroring mode of pool",
	"CreateBootstrapToken": "create bootstrap token for pool",
	"ImportBootstrapToken": "import bootstrap token into pool",
	"AddPeer":              "add peer to pool",
	"UpdatePeer":           "update peer of pool",
	"RemovePeer":           "remove peer of pool",
	"CreateImage":          "create image",
	"EnableFeatures":       "enable features of image",
	"DisableFeatures":      "disable features of image",
	"RemoveImage":          "remove image",
	"EnableMirroring":      "enable mirroring of image",
	"DisableMirroring":     "disable mirroring of image",
	"Promote":              "promote image",
	"Demote":               "demote image",
	"Resync":               "resync image",
	"CreateMirrorSnapshot": "create mirror snapshot of image",
	"Announce":             "announce changes of image",
	"FinishPromotion":      "finish promotion of image",
	"CloneSnapshot":        "clone snapshot",
	"CreateSnapshot":       "create snapshot of image",
	"RemoveSnapshot":       "remove snapshot of image",
	"AddMirrorSchedule":    "add mirror snapshot schedule",
	"RemoveMirrorSchedule": "remove mirror snapshot schedule",
	"MgrCommand":           "send command to mgr",
	"AppendRecords":        "append records to ledger",
	"RemoveRecords":        "remove records of ledger",
	"AcquireLease":         "take lease on ledger",
	"ReleaseLease":         "give back lease on ledger",
	"Blocklist":            "blocklist client",
	"Unblocklist":          "take off the blocklist client",
	"RenameImage":          "rename image",
	"OpenWriter":           "open for writing image",
	"WriteAt":              "write data of image",
	"Flush":                "flush data of image",
}

var readWords = map[string]string{
	"Open":            "connect",
	"Identity":        "ask for identity",
	"ListPools":       "list pools",
	"Namespaces":      "list namespaces of pool",
	"SiteName":        "read site name",
	"PoolMirroring":   "read mirroring of pool",
	"Images":          "list images of pool",
	"LookAt":          "look at images of pool",
	"Image":           "read image",
	"Users":           "list users of image",
	"Ties":            "list clones of image",
	"Reports":         "list reports of pool",
	"AppendTime":      "read journal of image",
	"BytesAfter":      "read journal of image",
	"OpenSnapshot":    "open image",
	"ReadAt":          "read data of image",
	"Extents":         "list extents of image",
	"MirrorSchedules": "list mirror snapshot schedules of pool",
	"MirrorDaemons":   "list mirror daemons",
	"ReadRecords":     "read ledger",
	"LeaseHolder":     "read lease on ledger",
	"Listen":          "listen to mirroring of pool",
	"PoolSpace":       "read space of pool",
}

// do runs one call: faults first, then f on the cluster with the world locked.
func (s *Site) do(ctx context.Context, op, object string, f func(*cluster) error) error {
	word, write := words[op]
	if !write {
		word = readWords[op]
	}
	do := func(ctx context.Context) error { return s.answer(ctx, op, object, write, f) }
	var err error
	if s.gate != nil {
		err = s.gate(ctx, Call{Site: s.name, Op: op, Object: object, Write: write}, do)
	} else {
		err = do(ctx)
	}
	if err != nil {
		err = s.wrap(word, object, err)
	}
	w := s.w
	w.mu.Lock()
	call := Call{At: w.state.Now, Site: s.name, Op: op, Object: object, Write: write, Err: err}
	w.calls = append(w.calls, call)
	observe := w.observe
	w.mu.Unlock()
	if observe != nil {
		observe(call)
	}
	return err
}

func (s *Site) answer(ctx context.Context, op, object string, write bool, f func(*cluster) error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	c, after, err := w.admit(ctx, s.name, op, object)
	if err != nil {
		return err
	}
	if s.client != 0 && !monOps[op] && c.fenced(s.identity(c).Address, w.state.Now) {
		return fail(eshutdown, "this client has been blocklisted")
	}
	if err := f(c); err != nil {
		return err
	}
	if write {
		w.stir()
	}
	return after
}

// image runs a call on an image that must exist.
func (s *Site) image(ctx context.Context, op string, ref replay.ImageRef, f func(*cluster, *namespace, *image) error) error {
	return s.do(ctx, op, ref.String(), func(c *cluster) error {
		n, err := c.mustSpace(ref.Pool)
		if err != nil {
			return err
		}
		i := n.find(ref.Name)
		if i == nil {
			return fail(enoent, "error opening image %s", ref.Name)
		}
		return f(c, n, i)
	})
}

// Observe calls f after each call to a site, on the caller's goroutine and
// outside of all locks, so f may call sites itself and must be safe for
// concurrent use; nil ends it.
func (w *World) Observe(f func(Call)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observe = f
}

// Calls is the log of calls so far.
func (w *World) Calls() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// Writes is the log of those calls that change a cluster.
func (w *World) Writes() []Call {
	return slices.DeleteFunc(w.Calls(), func(c Call) bool { return !c.Write })
}

// ForgetCalls empties the log.
func (w *World) ForgetCalls() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}

package orchestrator

import (
	"strings"

	"github.com/drover-io/drover/replay"
)

// Kind is a kind of change.
type Kind string

// The kinds of change. The first group sets up, the second takes away; each is
// one row of [Kinds].
const (
	KindSiteName      Kind = "site-name"
	KindNamespace     Kind = "namespace-create"
	KindPoolMode      Kind = "pool-mode"
	KindPeer          Kind = "peer"
	KindDaemonStart   Kind = "daemon-start"
	KindDaemonRestart Kind = "daemon-restart"
	KindCreate        Kind = "image-create"
	KindFeatures      Kind = "image-features"
	KindMirror        Kind = "image-mirror"
	KindWritable      Kind = "image-writable"
	KindSnapshot      Kind = "mirror-snapshot"
	KindSchedule      Kind = "schedule-add"

	KindPeerRemove     Kind = "peer-remove"
	KindScheduleRemove Kind = "schedule-remove"
	KindUnmirror       Kind = "image-unmirror"
	KindRemoveCopy     Kind = "copy-remove"
	KindPoolDisable    Kind = "pool-disable"
	KindDaemonStop     Kind = "daemon-stop"
)

// Kinds says in words what each kind of change is, in the order in which
// changes are shown.
var Kinds = []struct {
	Kind Kind
	Doc  string
}{
	{KindDaemonStop, "stop rbd-mirror"},
	{KindScheduleRemove, "remove a mirror snapshot schedule"},
	{KindSiteName, "set the name by which mirroring knows a site"},
	{KindNamespace, "create a RADOS namespace"},
	{KindPoolMode, "set what is mirrored of a pool"},
	{KindPeerRemove, "remove a peer from a pool"},
	{KindPeer, "make a site receive from another"},
	{KindDaemonStart, "start rbd-mirror"},
	{KindDaemonRestart, "restart rbd-mirror, as the plan says now"},
	{KindCreate, "create an image"},
	{KindFeatures, "switch on features of an image"},
	{KindMirror, "mirror an image"},
	{KindWritable, "let clients write to a primary whose promotion or demotion was cut short"},
	{KindSnapshot, "take a mirror snapshot"},
	{KindSchedule, "add a mirror snapshot schedule"},
	{KindUnmirror, "stop mirroring an image"},
	{KindRemoveCopy, "remove the copy of an image at a secondary"},
	{KindPoolDisable, "disable mirroring of a pool"},
}

// Change is one thing to do at one site.
type Change struct {
	// ID is the same in every diff that wants this change.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	Site string `json:"site"`
	// Pool, with its namespace, and Image say what is changed; both are empty
	// for a change of the site, Image for one of the pool.
	Pool  replay.Pool `json:"pool"`
	Image string      `json:"image,omitempty"`
	// What is the change in words, From and To its two ends where it has such.
	What string `json:"what"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Command is the equivalent command line, for a person to run.
	Command string `json:"command"`
	// Needs are the ids of changes that must have been done before.
	Needs []string `json:"needs,omitempty"`
	// Destructive: data or protection is lost by it, so it wants a person's
	// word.
	Destructive bool `json:"destructive,omitempty"`
	// Drift: it had been set up and was changed behind Drover's back, as far as
	// that can be told without a memory.
	Drift bool `json:"drift,omitempty"`

	act action
}

// Ref is the image of the change; ok is false when it is none's.
func (c *Change) Ref() (ref replay.ImageRef, ok bool) {
	return c.Pool.Image(c.Image), c.Image != ""
}

// Object is what is changed, as rbd writes it; empty for the site itself.
func (c *Change) Object() string {
	if c.Image != "" {
		return c.Pool.Image(c.Image).String()
	}
	return strings.TrimPrefix(c.Pool.String(), "/")
}

// changeID makes the id of a change from what it is about.
func changeID(kind Kind, site, object string, more ...string) string {
	return strings.Join(append([]string{string(kind), site, object}, more...), ":")
}

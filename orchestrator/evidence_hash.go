package orchestrator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/drover-io/drover/replay"
)

// sideFacts are the facts of one side that an approval rests on: nothing that
// changes by being looked at.
type sideFacts struct {
	Site      string            `json:"site"`
	Reachable bool              `json:"reachable"`
	Present   bool              `json:"present"`
	ID        string            `json:"id"` // of the image: a resync gives a new one
	Role      replay.Role       `json:"role"`
	Demoted   bool              `json:"demoted"`
	Mode      replay.MirrorMode `json:"mode"`
	// What the side goes on to write while it is primary.
	Size      uint64           `json:"size"`
	Position  *replay.Position `json:"position"`
	Tag       uint64           `json:"tag"`
	Snapshots []uint64         `json:"snapshots"`
	Newest    uint64           `json:"newest_mirror_snapshot"`
}

// hash is the SHA-256 over the facts of all sides: roles, positions, snapshots,
// sizes. Times, clients and what the heads hold are left out.
func (e *SplitEvidence) hash() string { return e.hashOf("") }

// hashOf is that for one choice: what the kept side goes on to write does not
// matter, as nothing of it is lost; nor, where a side is named that is in use,
// does what that writes meanwhile.
func (e *SplitEvidence) hashOf(keep string, inUse ...string) string {
	facts := struct {
		Version int             `json:"v"`
		Image   replay.ImageRef `json:"image"`
		Group   string          `json:"group"`
		State   replay.State    `json:"state"`
		Keep    string          `json:"keep"`
		Sides   []sideFacts     `json:"sides"`
		Lost    []string        `json:"lost_snapshots,omitempty"`
	}{Version: 1, Image: e.Image, Group: e.Group, State: e.State, Keep: keep}
	for i := range e.Sites {
		site := e.Sites[i].Site
		facts.Sides = append(facts.Sides, e.Sites[i].facts(site == keep || slices.Contains(inUse, site)))
		if keep != "" && site != keep {
			facts.Lost = append(facts.Lost, e.Sites[i].alone(e.side(keep))...)
		}
	}
	text, err := json.Marshal(facts)
	if err != nil {
		// No value of these types fails to marshal; no hash fits no approval.
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (s *SideEvidence) facts(kept bool) sideFacts {
	image := &s.copy.Image
	f := sideFacts{Site: s.Site, Reachable: s.Reachable, Present: s.Present, ID: image.ID, Role: s.Role, Demoted: s.Demoted, Mode: s.Mode}
	if kept {
		return f
	}
	f.Size = s.Size
	if image.Journal != nil {
		if local, ok := image.Journal.Client(""); ok {
			if p, any := local.Newest(); any {
				f.Position = &p
			}
		}
		if tag, ok := newestTag(image.Journal); ok {
			f.Tag = tag.TID
		}
	}
	for _, snap := range image.Snapshots {
		if snap.Kind == replay.SnapshotUser {
			f.Snapshots = append(f.Snapshots, snap.ID)
		}
	}
	if newest, ok := newestMirrored(image); ok {
		f.Newest = newest.ID
	}
	return f
}

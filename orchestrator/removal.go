package orchestrator

import (
	"encoding/json"

	"github.com/drover-io/drover/replay"
)

// Removal is recorded before a copy is taken out of mirroring to be removed.
// From then on nothing but this tells that it was a copy; and of what.
type Removal struct {
	Site     string          `json:"site"`
	Ref      replay.ImageRef `json:"ref"`
	ID       string          `json:"id"`        // of the copy
	GlobalID string          `json:"global_id"` // of the copy and its primary
	Primary  string          `json:"primary"`   // the site where the image stays
	Reason   string          `json:"reason"`
}

// removal is the newest removal of just this image at a site; nil: none.
func (b *Book) removal(site string, image *replay.Image) *Removal {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries := b.standing[EntryRemoval]
	for i := len(entries) - 1; i >= 0; i-- {
		var r Removal
		if json.Unmarshal(entries[i].Body, &r) == nil && r.Site == site && r.Ref == image.Ref && r.ID == image.ID && r.ID != "" {
			return &r
		}
	}
	return nil
}

// begunRemoval is the removal that was begun of what is an image of its own now,
// as long as the image that it was a copy of is still primary where it was.
func (r *Recorded) begunRemoval(site string, image *replay.Image, seen map[string]*replay.Image) *Removal {
	if r == nil || r.book == nil || image.Mirrored() {
		return nil
	}
	found := r.book.removal(site, image)
	if found == nil {
		return nil
	}
	primary := seen[found.Primary]
	if primary == nil || primary.Role != replay.RolePrimary || primary.GlobalID != found.GlobalID {
		return nil
	}
	return found
}

package cls

import (
	"fmt"
	"strings"

	"github.com/drover-io/drover/replay"
)

// The objects of a pool (or of a namespace in it) that list its images
// (include/rbd_types.h).
const (
	DirectoryObject = "rbd_directory" // names and ids
	MirroringObject = "rbd_mirroring" // which of them are mirrored
	TrashObject     = "rbd_trash"     // removed, but kept for a while
)

// Keys of the directories (cls/rbd/cls_rbd.cc).
const (
	NameKey        = "name_"  // of rbd_directory: name to id
	IDKey          = "id_"    // of rbd_directory and rbd_trash: id to name
	MirrorImageKey = "image_" // of rbd_mirroring: id to MirrorImage
)

// HeaderObject is the object that holds an image's header.
func HeaderObject(imageID string) string { return "rbd_header." + imageID }

// JournalObject is the object that holds the head of an image's journal.
func JournalObject(imageID string) string { return "journal." + imageID }

// JournalDataObject is one object of an image's journal: its entries. poolID
// is that of the image, wherever the object itself lies.
func JournalDataObject(poolID int64, imageID string, number uint64) string {
	return fmt.Sprintf("journal_data.%d.%s.%d", poolID, imageID, number)
}

// DecodeString decodes a lone encoded string, as directories hold them.
func DecodeString(value []byte) (string, error) {
	c := newCursor(value)
	s := c.text()
	return s, c.err
}

// DecodeNames decodes the omap of rbd_directory to ids by image name. Keys
// other than names are passed over.
func DecodeNames(omap map[string][]byte) (map[string]string, error) {
	ids := make(map[string]string, len(omap)/2)
	for key, value := range omap {
		name, ok := strings.CutPrefix(key, NameKey)
		if !ok {
			continue
		}
		id, err := DecodeString(value)
		if err != nil {
			return nil, fmt.Errorf("id of image %q: %w", name, err)
		}
		ids[name] = id
	}
	return ids, nil
}

// MirrorImage is an image's entry in the mirroring directory
// (cls::rbd::MirrorImage).
type MirrorImage struct {
	GlobalID string
	Mode     replay.MirrorMode
	State    replay.MirrorState
}

// DecodeMirrorImage decodes one entry of the mirroring directory.
func DecodeMirrorImage(value []byte) (MirrorImage, error) {
	c := newCursor(value)
	body, version, _ := c.frame("mirror image", 2)
	image := MirrorImage{GlobalID: body.text(), Mode: replay.ModeJournal}
	switch state := body.u8(); state {
	case 0:
		image.State = replay.StateDisabling
	case 1:
		image.State = replay.StateEnabled
	case 2:
		image.State = replay.StateDisabled
	case 3:
		image.State = replay.StateCreating
	default:
		body.failf("mirror image state %d", state)
	}
	if version >= 2 {
		switch mode := body.u8(); mode {
		case 0:
		case 1:
			image.Mode = replay.ModeSnapshot
		default:
			body.failf("mirror image mode %d", mode)
		}
	}
	c.join(body)
	return image, c.err
}

package cls

import "github.com/drover-io/drover/replay"

// JournalRole tells an image's role from its journal: the owner of the newest
// tag is the primary. demoted: nobody may write. It follows
// librbd/mirror/GetInfoRequest.cc.
func JournalRole(j replay.Journal) (role replay.Role, demoted bool) {
	if len(j.Tags) == 0 {
		return replay.RoleSecondary, false
	}
	switch j.Tags[len(j.Tags)-1].Owner {
	case "":
		return replay.RolePrimary, false
	case replay.OwnerOrphan:
		return replay.RoleSecondary, true
	}
	return replay.RoleSecondary, false
}

// SnapshotRole tells an image's role from its newest mirror snapshot. demoted:
// that snapshot is a demotion. It follows librbd/mirror/GetInfoRequest.cc.
func SnapshotRole(snaps []replay.Snapshot) (role replay.Role, demoted bool) {
	for i := len(snaps) - 1; i >= 0; i-- {
		m := snaps[i].Mirror
		if m == nil {
			continue
		}
		switch m.State {
		case replay.SnapPrimary:
			return replay.RolePrimary, false
		case replay.SnapPrimaryDemoted, replay.SnapNonPrimaryDemoted:
			return replay.RoleSecondary, true
		}
		return replay.RoleSecondary, false
	}
	return replay.RoleSecondary, false
}

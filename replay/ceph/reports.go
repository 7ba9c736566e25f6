package ceph

import (
	"context"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// reportPage is how many images' reports are asked for at a time.
const reportPage = 1024

// noReport is what Ceph says where no daemon has said anything
// (librbd/api/Mirror.cc, STATUS_NOT_FOUND).
const noReport = "status not found"

var reportStates = map[rbd.MirrorImageStatusState]replay.ReportState{
	rbd.MirrorImageStatusStateUnknown:        replay.ReportUnknown,
	rbd.MirrorImageStatusStateError:          replay.ReportError,
	rbd.MirrorImageStatusStateSyncing:        replay.ReportSyncing,
	rbd.MirrorImageStatusStateStartingReplay: replay.ReportStartingReplay,
	rbd.MirrorImageStatusStateReplaying:      replay.ReportReplaying,
	rbd.MirrorImageStatusStateStoppingReplay: replay.ReportStoppingReplay,
	rbd.MirrorImageStatusStateStopped:        replay.ReportStopped,
}

// Reports lists what daemons wrote about each mirrored image of the pool. An
// image has one report of the local daemon and one of each peer that writes
// here; where there is none, its state is ReportStatusNotFound.
func (s *Site) Reports(ctx context.Context, pool replay.Pool) ([]replay.Report, error) {
	return inPool(ctx, s, opReports, pool, pool.String(), func(io *rados.IOContext) ([]replay.Report, error) {
		var reports []replay.Report
		start := ""
		for {
			page, err := rbd.MirrorImageGlobalStatusList(io, start, reportPage)
			if err != nil {
				return nil, err
			}
			for _, item := range page {
				for _, status := range item.Status.SiteStatuses {
					reports = append(reports, report(pool, item.Status, status))
				}
				start = item.ID
			}
			if len(page) < reportPage {
				return reports, nil
			}
		}
	})
}

func report(pool replay.Pool, image rbd.GlobalMirrorImageStatus, status rbd.SiteMirrorImageStatus) replay.Report {
	r := replay.Report{
		Ref: pool.Image(image.Name), GlobalID: image.Info.GlobalID, MirrorUUID: status.MirrorUUID,
		State: replay.ReportUnknown, Up: status.Up, Description: status.Description,
		Progress: replay.DecodeProgress(status.Description),
	}
	if state, ok := reportStates[status.State]; ok {
		r.State = state
	}
	if r.State == replay.ReportUnknown && !r.Up && r.Description == noReport {
		r.State = replay.ReportStatusNotFound
	}
	if status.LastUpdate > 0 {
		r.Updated = time.Unix(status.LastUpdate, 0).UTC()
	}
	return r
}

package ceph_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

// TestHeaderAgainstRbd compares decoded headers with what `rbd info` and
// `rbd snap ls --all` print: of a plain image, of clones of both formats, and
// of a mirrored image at both sites.
func TestHeaderAgainstRbd(t *testing.T) {
	p := newPair(t)
	ctx := t.Context()
	mirrored := p.newImage(t, p.pool, "mirrored", replay.ModeSnapshot)
	must(t, p.a.CreateSnapshot(ctx, mirrored, "by-user"))
	if _, err := p.a.CreateMirrorSnapshot(ctx, mirrored); err != nil {
		t.Fatal(err)
	}
	p.settled(t, mirrored)

	base := p.pool.Image("base")
	must(t, p.a.CreateImage(ctx, base, replay.ImageSpec{Size: 8 << 20, ObjectSize: 1 << 20}))
	must(t, p.a.CreateSnapshot(ctx, base, "one"))
	must(t, p.a.CreateSnapshot(ctx, base, "two"))
	at := p.pool.Name
	rbd(t, "site-a", "snap protect "+at+"/base@one")
	rbd(t, "site-a", "clone --rbd-default-clone-format 1 "+at+"/base@one "+at+"/clone-1")
	rbd(t, "site-a", "clone --rbd-default-clone-format 2 "+at+"/base@two "+at+"/clone-2")
	// The snapshot that a clone of format 2 needs lives on in the trash.
	must(t, p.a.RemoveSnapshot(ctx, base, "two"))
	must(t, p.a.RemoveSnapshot(ctx, base, "two")) // one that is gone is no error
	must(t, p.a.CreateNamespace(ctx, replay.Pool{Name: at, Namespace: "n"}))
	rbd(t, "site-a", "clone --rbd-default-clone-format 2 "+at+"/base@one "+at+"/n/clone-n")

	images, err := p.a.Images(ctx, p.pool, replay.WithHeader)
	must(t, err)
	inN, err := p.a.Images(ctx, replay.Pool{Name: at, Namespace: "n"}, replay.WithHeader)
	must(t, err)
	images = append(images, inN...)
	if len(images) != 5 {
		t.Fatalf("%d images: %+v", len(images), images)
	}
	for _, image := range images {
		compareHeader(t, "site-a", image)
	}
	compareHeader(t, "site-b", find(t, p.b, mirrored, replay.WithHeader))
	if snaps := find(t, p.b, mirrored, replay.WithHeader).Snapshots; len(snaps) < 2 {
		t.Errorf("the copy has the snapshots %+v", snaps)
	}
}

func compareHeader(t *testing.T, site string, image replay.Image) {
	t.Helper()
	info := rbdInfo(t, site, image.Ref)
	type facts struct {
		ID               string
		Size, ObjectSize uint64
		Features         []string
		Parent           replay.ImageRef
	}
	want := facts{ID: info.ID, Size: info.Size, ObjectSize: info.ObjectSize, Features: info.Features}
	if info.Parent != nil {
		want.Parent = replay.Pool{Name: info.Parent.Pool, Namespace: info.Parent.Namespace}.Image(info.Parent.Image)
	}
	got := facts{ID: image.ID, Size: image.Size, ObjectSize: image.ObjectSize, Features: image.Features.Names()}
	if image.Parent != nil {
		got.Parent = *image.Parent
	}
	diff(t, site+": header of "+image.Ref.String(), want, got)
	diff(t, site+": snapshots of "+image.Ref.String(), rbdSnapshots(t, site, image.Ref), image.Snapshots)
}

// rbdSnapshots is `rbd snap ls --all` in the terms of package replay, with the
// seconds of time that it prints.
func rbdSnapshots(t *testing.T, site string, ref replay.ImageRef) []replay.Snapshot {
	t.Helper()
	var listed []struct {
		ID        uint64 `json:"id"`
		Name      string `json:"name"`
		Size      uint64 `json:"size"`
		Namespace struct {
			Type        string   `json:"type"`
			State       string   `json:"state"`
			Complete    bool     `json:"complete"`
			Peers       []string `json:"mirror_peer_uuids"`
			PrimaryUUID string   `json:"primary_mirror_uuid"`
			PrimaryID   uint64   `json:"primary_snap_id"`
			LastCopied  uint64   `json:"last_copied_object_number"`
		} `json:"namespace"`
	}
	must(t, json.Unmarshal(rbd(t, site, "snap ls --all --format json "+ref.String()), &listed))
	created := make(map[uint64]time.Time)
	image := find(t, open(t, site), ref, replay.WithHeader)
	for _, s := range image.Snapshots {
		created[s.ID] = s.Created
		if age := time.Since(s.Created); age < 0 || age > 5*time.Minute {
			t.Errorf("%s: snapshot %d was made %v ago", site, s.ID, age)
		}
	}
	var snaps []replay.Snapshot
	for _, l := range listed {
		s := replay.Snapshot{ID: l.ID, Name: l.Name, Size: l.Size, Created: created[l.ID]}
		switch l.Namespace.Type {
		case "user":
			s.Kind = replay.SnapshotUser
		case "mirror":
			s.Kind = replay.SnapshotMirror
			s.Mirror = &replay.MirrorSnapshot{
				State: replay.MirrorSnapshotState(l.Namespace.State), Complete: l.Namespace.Complete,
				PrimaryUUID: l.Namespace.PrimaryUUID, PrimaryID: l.Namespace.PrimaryID, LastCopiedObject: l.Namespace.LastCopied,
			}
			if len(l.Namespace.Peers) > 0 {
				s.Mirror.Peers = l.Namespace.Peers
			}
		default:
			s.Kind = replay.SnapshotOther
		}
		snaps = append(snaps, s)
	}
	return snaps
}

// TestPositionsAgainstRbd compares a decoded journal with what
// `rbd journal status` and `rbd journal info` print, at the primary and at the
// secondary.
func TestPositionsAgainstRbd(t *testing.T) {
	p := newPair(t)
	ref := p.newImage(t, p.pool, "positions", replay.ModeJournal)
	rbd(t, "site-a", "bench --io-type write --io-size 4096 --io-total 1M "+ref.String())
	p.settled(t, ref)
	for _, s := range []string{"site-a", "site-b"} {
		site := open(t, s)
		// Commit positions are written every few seconds: both must have been
		// read in between.
		await(t, s+": rbd and drover read the same", func() (bool, error) {
			before := find(t, site, ref, replay.WithPositions).Journal
			want := rbdJournal(t, s, ref)
			after := find(t, site, ref, replay.WithPositions).Journal
			if before == nil || after == nil {
				t.Fatalf("%s: no journal", s)
			}
			if !sameJournal(*before, *after) {
				return false, nil
			}
			diff(t, s+": journal", want, journalFacts(*after))
			return true, nil
		})
	}
	primary := find(t, p.a, ref, replay.WithPositions).Journal
	if len(primary.Clients) != 2 {
		t.Fatalf("the primary's journal has the clients %+v", primary.Clients)
	}
	await(t, "site-b is caught up by its commit position", func() (bool, error) {
		return followed(*find(t, p.a, ref, replay.WithPositions).Journal), nil
	})
}

type journalSummary struct {
	MinimumSet, ActiveSet uint64
	Order, SplayWidth     uint8
	Clients               []replay.JournalClient
}

func journalFacts(j replay.Journal) journalSummary {
	s := journalSummary{MinimumSet: j.MinimumSet, ActiveSet: j.ActiveSet, Order: j.Order, SplayWidth: j.SplayWidth}
	for _, c := range j.Clients {
		c.Syncing = false // rbd prints it as bytes only
		s.Clients = append(s.Clients, c)
	}
	return s
}

func sameJournal(a, b replay.Journal) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func rbdJournal(t *testing.T, site string, ref replay.ImageRef) journalSummary {
	t.Helper()
	var status struct {
		MinimumSet uint64 `json:"minimum_set"`
		ActiveSet  uint64 `json:"active_set"`
		Clients    []struct {
			ID       string `json:"id"`
			State    string `json:"state"`
			Position struct {
				Objects []replay.Position `json:"object_positions"`
			} `json:"commit_position"`
		} `json:"registered_clients"`
	}
	must(t, json.Unmarshal(rbd(t, site, "journal status --format json --image "+ref.Name+" --pool "+ref.Pool.Name), &status))
	var info struct {
		Order uint8 `json:"order"`
		Splay uint8 `json:"splay_width"`
	}
	must(t, json.Unmarshal(rbd(t, site, "journal info --format json --image "+ref.Name+" --pool "+ref.Pool.Name), &info))
	s := journalSummary{MinimumSet: status.MinimumSet, ActiveSet: status.ActiveSet, Order: info.Order, SplayWidth: info.Splay}
	for _, c := range status.Clients {
		client := replay.JournalClient{ID: c.ID, Disconnected: c.State != "connected"}
		if len(c.Position.Objects) > 0 {
			client.Committed = c.Position.Objects
		}
		s.Clients = append(s.Clients, client)
	}
	return s
}

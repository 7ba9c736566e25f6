package ceph

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/replay"
)

func TestDecodeDaemons(t *testing.T) {
	dump := `{"epoch":3,"services":{"osd":{},"rbd-mirror":{"daemons":{"summary":"",
		"4134":{"start_stamp":"2026-11-22T16:19:56.454043+0000","gid":4134,"addr":"192.0.2.7:0/1180056627",
			"metadata":{"id":"site-b","hostname":"vm","ceph_version":"ceph version 16.2.15 (618f) pacific (stable)"}},
		"4200":{"start_stamp":"?","addr":"","metadata":{}}}}}}`
	status := `{"rbd-mirror":{"4134":{"status_stamp":"2026-11-22T16:20:56.454043+0000","last_beacon":"2026-11-22T16:21:06.454043+0000","status":{"json":"{\"1\":{\"name\":\"rbd\",\"callouts\":{\"2\":{\"level\":\"error\",\"text\":\"unable to connect to remote cluster\"},\"1\":{\"level\":\"warning\",\"text\":\"slow\"}},` +
		`\"image_assigned_count\":5,\"image_error_count\":1,\"image_warning_count\":2,\"instance_id\":\"4138\",\"leader\":true,` +
		`\"namespaces\":{\"tenant\":{\"image_assigned_count\":3,\"image_error_count\":0,\"image_warning_count\":0}}}}"}}}}`
	got, err := decodeDaemons([]byte(dump), []byte(status))
	if err != nil {
		t.Fatal(err)
	}
	want := []replay.MirrorDaemon{
		{
			ID: "4134", ClientID: "site-b", Host: "vm", Version: "16.2.15", Address: "192.0.2.7:0/1180056627",
			Started: time.Date(2026, 11, 22, 16, 19, 56, 454043000, time.UTC),
			Beacon:  time.Date(2026, 11, 22, 16, 21, 6, 454043000, time.UTC),
			Pools: []replay.DaemonPool{
				{
					Pool: replay.Pool{Name: "rbd"}, Leader: true, Assigned: 5, Errors: 1, Warnings: 2,
					Callouts: []replay.Callout{{Level: "error", Text: "unable to connect to remote cluster"}, {Level: "warning", Text: "slow"}},
				},
				{Pool: replay.Pool{Name: "rbd", Namespace: "tenant"}, Leader: true, Assigned: 3},
			},
		},
		{ID: "4200"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, bad := range [][2]string{{"", status}, {dump, "x"}, {dump, `{"rbd-mirror":{"4134":{"status":{"json":"{"}}}}`}} {
		if _, err := decodeDaemons([]byte(bad[0]), []byte(bad[1])); err == nil {
			t.Errorf("decoded %.20q and %.20q", bad[0], bad[1])
		}
	}
	if none, err := decodeDaemons([]byte(`{"services":{}}`), []byte(`{}`)); err != nil || len(none) != 0 {
		t.Errorf("no daemons are %+v; %v", none, err)
	}
}

func TestDecodeSchedules(t *testing.T) {
	// As 16.2.15 lists them for "rbd/", which includes the namespaces.
	out := `{"1":{"name":"rbd/","schedule":[{"interval":"5m","start_time":null}]},
		"1//102e":{"name":"rbd/s1","schedule":[{"interval":"1h","start_time":"14:00:00-05:00"},{"interval":"15m","start_time":null}]},
		"1/n1":{"name":"rbd/n1/","schedule":[{"interval":"10m","start_time":null}]},
		"1/n1/33":{"name":"rbd/n1/s2","schedule":[{"interval":"2d","start_time":null}]}}`
	whole, tenant := replay.Pool{Name: "rbd"}, replay.Pool{Name: "rbd", Namespace: "n1"}
	for _, c := range []struct {
		pool replay.Pool
		want []replay.MirrorSchedule
	}{
		{whole, []replay.MirrorSchedule{
			{ImageRef: whole.Image(""), Every: "5m"},
			{ImageRef: whole.Image("s1"), Every: "15m"},
			{ImageRef: whole.Image("s1"), Every: "1h", Start: "14:00:00-05:00"},
		}},
		{tenant, []replay.MirrorSchedule{{ImageRef: tenant.Image(""), Every: "10m"}, {ImageRef: tenant.Image("s2"), Every: "2d"}}},
		{replay.Pool{Name: "other"}, nil},
	} {
		got, err := decodeSchedules([]byte(out), c.pool)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.pool, d)
		}
	}
	if _, err := decodeSchedules([]byte("["), whole); err == nil {
		t.Error("decoded half an answer")
	}
}

func TestFeatureDependencies(t *testing.T) {
	all := replay.FeatureExclusiveLock | replay.FeatureObjectMap | replay.FeatureFastDiff | replay.FeatureJournaling
	for _, c := range []struct{ name, give, want string }{
		{"journaling", withDependencies(replay.FeatureJournaling).String(), "exclusive-lock,journaling"},
		{"fast-diff", withDependencies(replay.FeatureFastDiff).String(), "exclusive-lock,object-map,fast-diff"},
		{"off: object-map", withDependents(replay.FeatureObjectMap).String(), "object-map,fast-diff"},
		{"off: exclusive-lock", withDependents(replay.FeatureExclusiveLock).String(), all.String()},
		{"off: layering", withDependents(replay.FeatureLayering).String(), "layering"},
	} {
		if c.give != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.give, c.want)
		}
	}
}

func TestMerge(t *testing.T) {
	got := merge([]replay.Extent{{Offset: 30, Length: 5}, {Offset: 0, Length: 10}, {Offset: 10, Length: 5}, {Offset: 12, Length: 1}, {Offset: 34, Length: 6}})
	if d := cmp.Diff([]replay.Extent{{Offset: 0, Length: 15}, {Offset: 30, Length: 10}}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

package orchestrator_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// TestSavedDiff wants a saved diff to be applied as long as it holds, and
// refused with what has changed once it does not.
func TestSavedDiff(t *testing.T) {
	cases := []struct {
		name   string
		change func(b *bed)
		want   string // "": not stale
	}{
		{"nothing", func(*bed) {}, ""},
		{"image", func(b *bed) { b.image("a", ref("volume-2"), plain) }, "a rbd/volume-2"},
		{"pool", func(b *bed) { b.must(b.world.Site("b").SetPoolMode(b.t.Context(), rbd, replay.PoolImage)) }, "b rbd"},
		{"site", func(b *bed) { b.must(b.world.Site("b").SetSiteName(b.t.Context(), "x")) }, "b"},
		{"plan", func(b *bed) {
			b.plan = parsePlan(b.t, strings.Replace(oneWay, "volume-*", "disk-*", 1))
		}, "the plan"},
		{"only words of the plan", func(b *bed) { b.plan = parsePlan(b.t, "# a comment\n"+oneWay) }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, oneWay)
				b.image("a", ref("volume-1"), plain)
				var file bytes.Buffer
				b.must(orchestrator.NewSavedDiff(b.plan, b.diff(orchestrator.DiffOptions{})).Save(&file))
				saved, err := orchestrator.LoadDiff(&file)
				b.must(err)
				c.change(b)
				b.world.ForgetCalls()
				_, err = b.apply(orchestrator.Options{Approved: saved})
				if c.want == "" {
					b.must(err)
					b.settled()
					return
				}
				var stale *orchestrator.StaleError
				if !errors.Is(err, orchestrator.ErrStale) || !errors.As(err, &stale) || strings.Join(stale.Changed, ", ") != c.want && !strings.HasPrefix(stale.Changed[0], c.want) {
					t.Errorf("got %v", err)
				}
				if writes := b.world.Writes(); len(writes) > 0 {
					t.Errorf("wrote %v", writes)
				}
			})
		})
	}
}

// TestLoadDiffRefuses wants other files, and ones changed by hand, refused.
func TestLoadDiffRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		var file bytes.Buffer
		b.must(orchestrator.NewSavedDiff(b.plan, b.diff(orchestrator.DiffOptions{})).Save(&file))
		text := file.String()
		for name, bad := range map[string]string{
			"empty": "", "a plan": oneWay, "other JSON": `{"kind":"Status"}`,
			"newer":     strings.Replace(text, "drover/v1", "drover/v9", 1),
			"by hand":   strings.Replace(text, `"a": "`, `"a": "x`, 1),
			"cut short": text[:len(text)/2],
		} {
			if bad == text {
				t.Fatalf("%s: the file was not changed", name)
			}
			if _, err := orchestrator.LoadDiff(strings.NewReader(bad)); err == nil {
				t.Errorf("%s: loaded", name)
			}
		}
	})
}

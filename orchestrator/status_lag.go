package orchestrator

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// appendReads is how many journals are read at a time at one site.
const appendReads = 16

// appendQuestion is what a journal must be asked so that the lag of one
// secondary can be told in seconds.
type appendQuestion struct {
	primary   *replay.SiteEvidence
	secondary string
	ref       replay.ImageRef
	after     replay.Position
	behind    int64
}

// measureAppends asks the primaries' journals since when, and by how many
// bytes, each secondary that is behind has been so, those furthest behind
// first, until the time is up. It fills the evidence, and answers how many
// there was no time for.
func measureAppends(ctx context.Context, sites *Sites, evidence []replay.Evidence, budget time.Duration) (unmeasured int) {
	questions := make(map[string][]appendQuestion) // by primary site
	total := 0
	for i := range evidence {
		for _, q := range appendQuestions(&evidence[i]) {
			questions[q.primary.Site] = append(questions[q.primary.Site], q)
			total++
		}
	}
	if total == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	var (
		mu       sync.Mutex
		answered int
		group    parallel.Group
	)
	for name, asked := range questions {
		site, err := sites.Site(name)
		if err != nil {
			continue
		}
		slices.SortStableFunc(asked, func(a, b appendQuestion) int { return cmp.Compare(b.behind, a.behind) })
		group.Go(func() {
			forEach(ctx, len(asked), appendReads, func(i int) {
				q := asked[i]
				at, ok, err := site.AppendTime(ctx, q.ref, q.after)
				if err != nil {
					return // the lag of that image stays unknown
				}
				bytes, counted, err := site.BytesAfter(ctx, q.ref, q.after)
				mu.Lock()
				defer mu.Unlock()
				answered++
				if err == nil && counted {
					put(&q.primary.BytesBehind, q.secondary, int64(bytes))
				}
				if ok {
					put(&q.primary.Appended, q.secondary, at)
				}
			})
		})
	}
	group.Wait()
	return total - answered
}

func put[V any](into *map[string]V, key string, value V) {
	if *into == nil {
		*into = make(map[string]V)
	}
	(*into)[key] = value
}

// appendQuestions are the questions for the secondaries of one image.
func appendQuestions(e *replay.Evidence) []appendQuestion {
	var primary *replay.SiteEvidence
	for i := range e.Sites {
		s := &e.Sites[i]
		if s.Err != nil || s.Image == nil || s.Image.Role != replay.RolePrimary {
			continue
		}
		if primary != nil {
			return nil // two primaries: behind whom?
		}
		primary = s
	}
	if primary == nil || primary.Image.Journal == nil {
		return nil
	}
	var questions []appendQuestion
	for i := range e.Sites {
		s := &e.Sites[i]
		if s == primary || s.Err != nil || s.Image == nil {
			continue
		}
		from := replay.Copy{Image: *primary.Image, MirrorUUID: primary.Pool.UUID}
		to := replay.Copy{Image: *s.Image, MirrorUUID: s.Pool.UUID}
		after, ask := replay.Uncommitted(from, to)
		if !ask {
			continue
		}
		q := appendQuestion{primary: primary, secondary: s.Site, ref: e.Ref, after: after}
		if lag := replay.MeasureLag(replay.LagInput{Primary: &from, Secondary: &to}); lag.Entries != nil {
			q.behind = *lag.Entries
		}
		questions = append(questions, q)
	}
	return questions
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
	"github.com/drover-io/drover/test/slackfake"
)

const (
	// secondLimit is within what Slack must hear of a second primary.
	secondLimit = 3.0
	// secondPace is the least time between two trials: a channel is told no more than
	// so much in a minute, on purpose.
	secondPace = 3500 * time.Millisecond
	// secondTogether is how many images one daemon watches: of more, those that come
	// later share a message with others, and wait longer the more of them come.
	secondTogether = 3
	// secondSettle is the time in which a daemon that was started has the lease, and has
	// looked.
	secondSettle = 8 * time.Second
	// secondPatience is when a trial is given up.
	secondPatience = 30 * time.Second
)

// stand stands for a test where there is none.
type stand struct {
	testing.TB

	cleanup []func()
}

func (s *stand) Helper()                           {}
func (s *stand) Cleanup(f func())                  { s.cleanup = append(s.cleanup, f) }
func (s *stand) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (s *stand) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (s *stand) end() {
	for _, f := range s.cleanup {
		f()
	}
}

// measureSecondPrimary makes one image after another primary at the second site by
// force, and measures the time until a message on Slack names it.
func measureSecondPrimary(ctx context.Context, b *bench) ([]Row, error) {
	const pool = "second"
	images := b.images
	b.images = b.trials
	plan, _, err := b.manyReplaying(ctx, pool)
	b.images = images
	if err != nil {
		return nil, err
	}
	s := &stand{}
	defer s.end()
	slack := slackfake.New(s)
	site, err := ceph.Open(ctx, ceph.Config{Name: "site-b", Conf: b.b.Conf(), User: "client.drover", Keyring: b.b.Keyring("client.drover")})
	if err != nil {
		return nil, err
	}
	defer func() { _ = site.Close() }()
	var times []time.Duration
	for few := range slices.Chunk(names(b.trials), secondTogether) {
		took, err := b.watchedSecondPrimaries(ctx, plan, pool, few, site, slack)
		if err != nil {
			return nil, err
		}
		times = append(times, took...)
	}
	slices.Sort(times)
	// The smallest that no more than one in a hundred exceeds.
	last := times[min(len(times)-1, (len(times)*99+99)/100-1)]
	return []Row{limit("second primary to message on Slack, checks every 1 s, 99th percentile", "s", last.Seconds(), secondLimit,
		fmt.Sprintf("%d trials, from the end of the promotion; median %.2f s, longest %.2f s", len(times), median(times).Seconds(), times[len(times)-1].Seconds()))}, nil
}

// watchedSecondPrimaries has a daemon of its own watch some images, for the time of
// their trials.
func (b *bench) watchedSecondPrimaries(ctx context.Context, plan, pool string, few []string, site *ceph.Site, slack *slackfake.Server) ([]time.Duration, error) {
	text, err := os.ReadFile(plan)
	if err != nil {
		return nil, err
	}
	var listed []string
	for _, name := range few {
		listed = append(listed, "{name: "+name+"}")
	}
	watched := strings.NewReplacer("name: bench\n", "name: "+few[0]+"\n", `[{glob: "*"}]`, "["+strings.Join(listed, ", ")+"]").Replace(string(text)) +
		`checks: {schedule: "@every 1s"}
http: {listen: "127.0.0.1:0"}
notifications:
  channels:
    - {name: oncall, type: slack, target: "#dr", token: {env: SLACK_TOKEN}}
  routes:
    - {severity: [critical], channels: [oncall]}
`
	file := filepath.Join(b.folder, "second-"+few[0]+".yaml")
	if err := os.WriteFile(file, []byte(watched), 0o600); err != nil {
		return nil, err
	}
	d, err := b.background(ctx, file, "SLACK_TOKEN="+slackfake.Token, "DROVER_SLACK_URL="+slack.URL)
	if err != nil {
		return nil, err
	}
	times, err := b.secondPrimaries(ctx, pool, few, site, slack)
	if stop := d.end(); err == nil {
		err = stop
	}
	return times, err
}

func (b *bench) secondPrimaries(ctx context.Context, pool string, few []string, site *ceph.Site, slack *slackfake.Server) (times []time.Duration, err error) {
	if err := pause(ctx, secondSettle); err != nil {
		return nil, err
	}
	for _, name := range few {
		next := time.Now().Add(secondPace)
		ref := replay.Pool{Name: pool}.Image(name)
		if err := site.Promote(ctx, ref, true); err != nil {
			return nil, err
		}
		took, err := named(ctx, slack, ref.String())
		if err != nil {
			return nil, err
		}
		if times = append(times, took); took.Seconds() > secondLimit {
			fmt.Fprintf(os.Stderr, "bench: %s took %v\n", name, took.Round(time.Millisecond))
		}
		if err := pause(ctx, time.Until(next)); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// named waits until a message names an image.
func named(ctx context.Context, slack *slackfake.Server, image string) (time.Duration, error) {
	began := time.Now()
	for time.Since(began) < secondPatience {
		for _, c := range slack.Calls() {
			if strings.HasPrefix(c.Method, "chat.") && strings.Contains(c.Values.Get("blocks"), image) {
				return time.Since(began), nil
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("no message names %s after %v", image, secondPatience)
}

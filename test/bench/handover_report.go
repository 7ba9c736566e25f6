package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// ran is what drover tells of a run.
type ran struct {
	Outcome string        `json:"outcome"`
	Took    time.Duration `json:"took"`
	Ended   time.Time     `json:"ended"`
	Run     struct {
		ID string `json:"id"`
	} `json:"run"`
	Steps []struct {
		At   time.Time `json:"at"`
		Kind string    `json:"kind"`
	} `json:"steps"`
}

// answer runs drover and reads what it writes as JSON.
func (b *bench) answer(ctx context.Context, args []string) (r ran, err error) {
	cmd := exec.CommandContext(ctx, b.drover, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("drover %s: %w\n%s%s", strings.Join(args, " "), err, out, said.String())
	}
	return r, json.Unmarshal(out, &r)
}

// report carries a runbook out to its end.
func (b *bench) report(ctx context.Context, args []string) (ran, error) {
	r, err := b.answer(ctx, args)
	if err == nil && r.Outcome != "done" {
		err = fmt.Errorf("drover %s: the run is %s", strings.Join(args, " "), r.Outcome)
	}
	return r, err
}

// lastPrimary carries a runbook out and answers when the last image was seen to
// be primary at its new site, by the run's records, and what the whole command
// took.
func (b *bench) lastPrimary(ctx context.Context, args ...string) (last time.Time, whole time.Duration, err error) {
	began := time.Now()
	r, err := b.report(ctx, args)
	whole = time.Since(began)
	if err != nil {
		return last, whole, err
	}
	last, err = b.lastStep(ctx, r, "promote", args[len(args)-1])
	return last, whole, err
}

// lastStep is when the last step of a kind was seen to be done, by the run's
// records.
func (b *bench) lastStep(ctx context.Context, r ran, kind, plan string) (last time.Time, err error) {
	story, err := b.answer(ctx, []string{"runs", "show", "-o", "json", plan, r.Run.ID})
	if err != nil {
		return last, err
	}
	for _, s := range story.Steps {
		if s.Kind == kind && s.At.After(last) {
			last = s.At
		}
	}
	if last.IsZero() {
		return last, fmt.Errorf("the records of %s tell of no step %s", r.Run.ID, kind)
	}
	return last, nil
}

var approval = regexp.MustCompile(`--approved ([0-9a-f]{16,})`)

// shown dry-runs a runbook and answers with the hash of what it shows.
func (b *bench) shown(ctx context.Context, args []string) (string, error) {
	out, err := exec.CommandContext(ctx, b.drover, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("drover %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	found := approval.FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("drover %s prints no hash\n%s", strings.Join(args, " "), out)
	}
	return string(found[1]), nil
}

package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// HookFacts is what a hook is told: as JSON on a command's standard input or in
// the body of an HTTP call, and the short ones as DROVER_* in a command's
// environment.
type HookFacts struct {
	Plan    string            `json:"plan"`
	Runbook string            `json:"runbook"`
	Run     string            `json:"run"`          // id of the run
	When    string            `json:"when"`         // such as before-run
	Of      string            `json:"of,omitempty"` // the wave or group
	From    string            `json:"from"`         // the site that is primary, or was
	To      string            `json:"to"`           // the site that shall be
	Wave    string            `json:"wave,omitempty"`
	Group   string            `json:"group,omitempty"`
	Images  []replay.ImageRef `json:"images"`
	Outcome string            `json:"outcome,omitempty"` // of the run, after it
	Drill   *DrillFacts       `json:"drill,omitempty"`   // what a drill adds

	hidden secrets // must not be shown of what a hook says
}

// hookFactsVersion is the version of the JSON that hooks are given.
const hookFactsVersion = 1

// MarshalJSON writes the facts with "version": 1; "images" is always a list.
func (f HookFacts) MarshalJSON() ([]byte, error) {
	type facts HookFacts
	if f.Images == nil {
		f.Images = []replay.ImageRef{}
	}
	return json.Marshal(struct {
		Version int `json:"version"`
		facts
	}{hookFactsVersion, facts(f)})
}

// env are the facts that fit into an environment. Each is always set, so that
// none is taken from the environment of Drover itself.
func (f *HookFacts) env() []string {
	return append([]string{
		"DROVER_PLAN=" + f.Plan, "DROVER_RUNBOOK=" + f.Runbook, "DROVER_RUN=" + f.Run, "DROVER_WHEN=" + f.When,
		"DROVER_WAVE=" + f.Wave, "DROVER_GROUP=" + f.Group, "DROVER_FROM=" + f.From, "DROVER_TO=" + f.To,
		"DROVER_OUTCOME=" + f.Outcome,
	}, drillEnv(f.Drill)...)
}

// HookResult is how a hook went.
type HookResult struct {
	// Output is the end, at most 8 KiB, of what a command wrote to standard
	// output and standard error, or of the answer to an HTTP call: UTF-8, without
	// control characters but line ends and tabs.
	Output string
	Code   int // exit code of a command; -1: it did not end by itself, or never began
	Status int // HTTP status; 0: there was no answer
	Took   time.Duration
}

// whenCheck is the point at which a check of a drill is carried out. It uses clones as a
// user of its own, and has no need of what Drover's environment holds.
const whenCheck = "check"

// errHookTimeout says that something did not end within the time that the plan
// gives it.
var errHookTimeout = errors.New("not done in time")

// selectHooks are the hooks of the plan that are due at a point of a runbook,
// in the plan's order. Of names the wave or group at whose point that is; a
// hook that names none is for each, images in no wave being the last one.
func selectHooks(plan *plans.Plan, runbook, when, of string) []*plans.Hook {
	var due []*plans.Hook
	for i := range plan.Hooks {
		h := &plan.Hooks[i]
		if h.When == when && slices.Contains(h.Runbooks, runbook) && (h.Of == "" || h.Of == of) {
			due = append(due, h)
		}
	}
	return due
}

// runHook carries out a hook that is a command or an HTTP call. The error says
// which hook failed and how; it wraps errHookTimeout when the hook's own time
// was up, and the context's cause when that ended ([ErrInterrupted] where there
// is none). What it may have done until then is done.
func runHook(ctx context.Context, h *plans.Hook, facts HookFacts) (HookResult, error) {
	var (
		result = HookResult{Code: -1}
		err    error
		began  = time.Now()
	)
	switch {
	case ctx.Err() != nil:
		err = contextCause(ctx)
	case len(h.Command) > 0:
		result, err = runHookCommand(ctx, h, &facts)
	case h.HTTP != nil:
		result, err = runHookCall(ctx, h, &facts)
	default:
		err = errors.New("a manual step is for a person")
	}
	result.Took = time.Since(began)
	if err != nil {
		err = fmt.Errorf("hook %s: %w", h.Name, err)
	}
	return result, err
}

// runHookCommand carries out a hook that is a command.
func runHookCommand(ctx context.Context, h *plans.Hook, facts *HookFacts) (HookResult, error) {
	input, err := json.Marshal(facts)
	if err != nil {
		return HookResult{Code: -1}, fmt.Errorf("writing down the facts: %w", err)
	}
	var env []string
	for name, value := range h.Env {
		env = append(env, name+"="+value)
	}
	e := errand{
		argv: h.Command, env: append(env, facts.env()...), bare: facts.When == whenCheck, input: input, timeout: h.Timeout.Std(),
	}
	e.hidden = facts.hidden.withEnv(append(e.inherited(), env...))
	return e.run(ctx)
}

// runProbe looks at a site from a vantage point. It answers whether the site
// answers there, and in words what came of it. A probe that could not be
// carried out does not answer either; the words tell it.
func runProbe(ctx context.Context, p plans.Probe) (ok bool, detail string) {
	e := errand{argv: p.Command, timeout: p.Timeout.Std()}
	result, err := e.run(ctx)
	switch {
	case err == nil && lastLine(result.Output) == "":
		return true, "answers"
	case err == nil:
		return true, "answers: " + lastLine(result.Output)
	case result.Code > 0:
		return false, "does not answer: " + err.Error()
	}
	return false, "cannot tell: " + err.Error()
}

// runFence shuts a site's clients out by the plan's command. The command learns
// the site from DROVER_SITE, and from "of" in the JSON; "when" is fence. It
// fails as [runHook] does.
func runFence(ctx context.Context, site plans.Site, facts HookFacts) error {
	if site.Fence.Method != plans.FenceCommand || len(site.Fence.Command) == 0 {
		return refusal("write fence: {method: command, command: [...]}", "site %s has no fence command", site.Name)
	}
	facts.When, facts.Of = "fence", site.Name
	input, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("fence of site %s: writing down the facts: %w", site.Name, err)
	}
	e := errand{
		argv: site.Fence.Command, env: append(facts.env(), "DROVER_SITE="+site.Name),
		input: input, timeout: site.Fence.Timeout.Std(),
	}
	e.hidden = facts.hidden.withEnv(e.inherited())
	if _, err := e.run(ctx); err != nil {
		return fmt.Errorf("fence of site %s: %w", site.Name, err)
	}
	return nil
}

// contextCause is why a context ended, as callers of a run tell it apart.
func contextCause(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(cause, context.Canceled) {
		return ErrInterrupted
	}
	return cause
}

// withLastLine adds to an error the last line of what was written.
func withLastLine(err error, output string) error {
	if line := lastLine(output); line != "" {
		return fmt.Errorf("%w: %s", err, line)
	}
	return err
}

// maxLastLine bounds, in bytes, what of a line stands in a message.
const maxLastLine = 300

// lastLine is the last line of an output that says anything.
func lastLine(output string) string {
	output = strings.TrimSpace(output)
	line := strings.TrimSpace(output[strings.LastIndexByte(output, '\n')+1:])
	if len(line) > maxLastLine {
		line = strings.ToValidUTF8(line[:maxLastLine], "") + "…"
	}
	return line
}

package plans

import "strings"

// Hook is something that is done around a runbook: a command, an HTTP call or
// a manual step, exactly one of them.
type Hook struct {
	Name      string            `yaml:"name" required:"true" is:"name" doc:"name of the hook"`
	When      string            `yaml:"when" required:"true" enum:"before-run,after-run,before-wave,after-wave,before-group,after-group" doc:"at which point"`
	Of        string            `yaml:"of" is:"name" doc:"the wave or group (before-wave, after-wave, before-group, after-group; default: each)"`
	Runbooks  []string          `yaml:"runbooks" enum:"switchover,failover,failback,resync,drill" default:"switchover,failover,failback" doc:"in which runbooks"`
	Command   []string          `yaml:"command" is:"command" doc:"program and arguments"`
	Env       map[string]string `yaml:"env" is:"env" doc:"environment variables for the command"`
	HTTP      *HTTPCall         `yaml:"http" doc:"an HTTP call in place of a command"`
	Manual    string            `yaml:"manual" doc:"a step for a person, in place of a command: what to do"`
	Timeout   Duration          `yaml:"timeout" default:"5m" is:"positive" doc:"how long it may take"`
	OnFailure string            `yaml:"on_failure" enum:"abort,continue" default:"abort" doc:"what a failure means"`
}

// The points of a runbook at which a hook can be done.
const (
	BeforeRun   = "before-run"
	AfterRun    = "after-run"
	BeforeWave  = "before-wave"
	AfterWave   = "after-wave"
	BeforeGroup = "before-group"
	AfterGroup  = "after-group"
)

// What a hook's failure means.
const (
	OnFailureAbort    = "abort"
	OnFailureContinue = "continue"
)

// ofWave and ofGroup say what the hook's Of names.
func (h *Hook) ofWave() bool  { return strings.HasSuffix(h.When, "-wave") }
func (h *Hook) ofGroup() bool { return strings.HasSuffix(h.When, "-group") }

// HTTPCall is one HTTP request.
type HTTPCall struct {
	URL     string                 `yaml:"url" required:"true" is:"url" doc:"http or https address"`
	Method  string                 `yaml:"method" enum:"GET,POST,PUT" default:"POST" doc:"HTTP method"`
	Headers map[string]HeaderValue `yaml:"headers" is:"header" doc:"headers: each a secret from a file or the environment, or a plain value"`
	Expect  int                    `yaml:"expect" doc:"status that means success, 100 to 599 (default: any 2xx)"`
}

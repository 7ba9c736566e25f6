package plans

import (
	"cmp"
	"time"
)

// Notifications says who is told what.
type Notifications struct {
	Channels  []Channel `yaml:"channels" doc:"where messages can go"`
	Routes    []Route   `yaml:"routes" doc:"which messages go where"`
	Dashboard string    `yaml:"dashboard" is:"url" doc:"address of the Grafana dashboard that messages link to; the plan's name is added as var-plan"`
	Runbooks  string    `yaml:"runbooks" is:"url" doc:"folder of the runbook pages that messages link to, as examples/runbooks names them (default: those of the project)"`
	// AnswerWithin is 0 where the plan does not say; see [Notifications.AnswerTime].
	AnswerWithin Duration `yaml:"answer_within" is:"positive" doc:"how long a question can be answered by a button (default: 1h); then it is asked again, on new evidence"`
}

// AnswerTime is how long a question can be answered by a button.
func (n *Notifications) AnswerTime() time.Duration { return cmp.Or(n.AnswerWithin.Std(), time.Hour) }

// Channel is one place that messages can go to. Which fields are valid depends
// on the type; see channelKeys.
type Channel struct {
	Name    string   `yaml:"name" required:"true" is:"name" doc:"name of the channel"`
	Type    string   `yaml:"type" required:"true" enum:"slack,slack-webhook,webhook,pagerduty,email,heartbeat,shoutrrr" doc:"kind of channel"`
	Target  string   `yaml:"target" is:"line" doc:"Slack channel, best by its id, or e-mail addresses separated by commas (slack, email)"`
	URL     Secret   `yaml:"url" doc:"address (slack-webhook, webhook, heartbeat), or that of a service, such as ntfy://ntfy.sh/TOPIC (shoutrrr)"`
	Token   Secret   `yaml:"token" doc:"bot token (slack; scopes chat:write and, so that nothing is posted twice, channels:history or groups:history), routing key (pagerduty)"`
	App     Secret   `yaml:"app_token" doc:"app-level token for buttons by Socket Mode (slack; scope connections:write)"`
	Signing Secret   `yaml:"signing_key" doc:"key that signs each call (webhook)"`
	SMTP    string   `yaml:"smtp" is:"address" doc:"host:port of the mail server (email)"`
	From    string   `yaml:"from" is:"mail" doc:"sender (email)"`
	Login   string   `yaml:"login" is:"line" doc:"login name at the mail server (email)"`
	Secret  Secret   `yaml:"password" doc:"password at the mail server (email)"`
	Approve []string `yaml:"approvers" is:"line" doc:"user ids that may press buttons (slack)"`
	// Approvals is 0 where the plan does not say; see [Channel.Needed].
	Approvals int `yaml:"approvals" doc:"how many approvers must choose the same before anything is done (slack; default: 1)"`
}

// Needed is how many approvers must choose the same before anything is done.
func (c *Channel) Needed() int { return max(1, c.Approvals) }

// The types of channel.
const (
	ChannelSlack        = "slack"
	ChannelSlackWebhook = "slack-webhook"
	ChannelWebhook      = "webhook"
	ChannelPagerDuty    = "pagerduty"
	ChannelEmail        = "email"
	ChannelHeartbeat    = "heartbeat"
	ChannelShoutrrr     = "shoutrrr"
)

// channelKeys says which keys each type of channel needs and which others it
// may have, besides name and type.
var channelKeys = map[string]struct{ needs, may []string }{
	ChannelSlack:        {needs: []string{"target", "token"}, may: []string{"app_token", "approvers", "approvals"}},
	ChannelSlackWebhook: {needs: []string{"url"}},
	ChannelWebhook:      {needs: []string{"url"}, may: []string{"signing_key"}},
	ChannelPagerDuty:    {needs: []string{"token"}},
	ChannelEmail:        {needs: []string{"target", "smtp", "from"}, may: []string{"login", "password"}},
	ChannelHeartbeat:    {needs: []string{"url"}},
	ChannelShoutrrr:     {needs: []string{"url"}},
}

// Route sends messages of some severities to channels.
type Route struct {
	Severity []string `yaml:"severity" required:"true" enum:"info,warning,critical" doc:"which severities"`
	Channels []string `yaml:"channels" required:"true" is:"name" doc:"names of channels"`
	Escalate Duration `yaml:"escalate_after" doc:"send also when nobody has acknowledged for this long, and only then"`
}

// HTTP is the endpoint for metrics and health.
type HTTP struct {
	Listen  string `yaml:"listen" is:"listen" doc:"host:port; loopback unless TLS and a token are given"`
	TLSCert string `yaml:"tls_cert" is:"path" doc:"path of the certificate"`
	TLSKey  string `yaml:"tls_key" is:"path" doc:"path of its key"`
	Token   Secret `yaml:"token" doc:"bearer token"`
}

package notify

import (
	"encoding/json"
	"fmt"

	"github.com/slack-go/slack"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// What Slack takes of buttons.
const (
	maxButtons     = 25 // in one block
	maxButtonText  = 75
	maxButtonValue = 2000
	maxDialogTitle = 100
	maxDialogText  = 300
)

// The buttons' action_id: one for acknowledge, and one with a number for each
// option, since within a block no two may be the same.
const (
	actionAcknowledge = "drover-acknowledge"
	actionChoose      = "drover-choose-"
)

// The actions of a [Press].
const (
	Acknowledge = "acknowledge"
	Choose      = "choose"
)

// buttonValue is what a button carries: all that its press means. Only Slack and
// the app can have written it.
type buttonValue struct {
	Plan     string `json:"p"`
	Channel  string `json:"c"` // name in the plan
	Incident string `json:"i"`
	Action   string `json:"a"`
	Kind     string `json:"k,omitempty"`
	Subject  string `json:"s,omitempty"`
	Option   string `json:"o,omitempty"`
	Evidence string `json:"e,omitempty"`
}

// hasButtons says whether presses in a channel can be heard and allowed.
func hasButtons(c plans.Channel) bool {
	return c.Type == plans.ChannelSlack && c.App.IsSet() && len(c.Approve) > 0
}

// buttons are those of a message, or nil: to take it on, and to answer what it
// asks.
func (s *slackSender) buttons(m alert.Message) slack.Block {
	if !hasButtons(s.channel) || over(m) {
		return nil
	}
	var all []slack.BlockElement
	add := func(id string, v buttonValue, text string) *slack.ButtonBlockElement {
		v.Plan, v.Channel, v.Incident = m.Plan, s.channel.Name, m.ID
		value, err := json.Marshal(v)
		// One without its whole value would mean something else.
		if err != nil || len(value) > maxButtonValue || len(all) == maxButtons {
			return nil
		}
		b := slack.NewButtonBlockElement(id, string(value), plainText(line(text), maxButtonText))
		all = append(all, b)
		return b
	}
	if m.Acknowledged == "" {
		add(actionAcknowledge, buttonValue{Action: Acknowledge}, "Acknowledge")
	}
	// A button stays when its question has expired: its press asks anew.
	if asks(m) {
		for i, option := range m.Asks.Options {
			b := add(fmt.Sprintf("%s%d", actionChoose, i), buttonValue{
				Action: Choose, Kind: m.Asks.Kind, Subject: m.Asks.Subject, Option: option, Evidence: m.Asks.Evidence,
			}, optionText(m.Asks.Kind, option))
			if b != nil {
				b.WithConfirm(dialog(m.Asks.Kind, option)).WithStyle(slack.StyleDanger)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return slack.NewActionBlock("", all...)
}

func optionText(kind, option string) string {
	switch kind {
	case alert.AskResync:
		return "Keep the copy of " + option
	case alert.AskApprove:
		return "It is done: go on"
	}
	return option
}

// dialog asks again: what is chosen may not be taken back.
func dialog(kind, option string) *slack.ConfirmationBlockObject {
	text := fmt.Sprintf("You choose %s. It is carried out on the evidence shown here; if that has changed, it is refused.", option)
	switch kind {
	case alert.AskApprove:
		text = "You say that the step is done by hand, as the message describes it. The run goes on from there."
	case alert.AskResync:
		text = fmt.Sprintf("The copy of %s stays. All other copies become like it, and lose what only they hold.", option)
	}
	return slack.NewConfirmationBlockObject(
		plainText(line("Are you sure? ("+kind+")"), maxDialogTitle), plainText(line(text), maxDialogText),
		plainText("Yes", maxButtonText), plainText("No", maxButtonText),
	).WithStyle(slack.StyleDanger)
}

package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/drover-io/drover/orchestrator/alert"
)

const (
	// maxWorst is how many images a message names.
	maxWorst = 10
	// maxHash is how much of a hash is shown, in characters.
	maxHash = 16
)

// TestMessage is what drover notify test sends to a channel.
func TestMessage(plan, channel string, now time.Time) alert.Message {
	now = now.UTC()
	return alert.Message{
		ID:   fmt.Sprintf("test-%s-%s-%d", plan, channel, now.UnixNano()),
		Kind: alert.Test, Plan: plan, Code: "test", Severity: alert.Info,
		What:  fmt.Sprintf("This is a test of the channel %s. Nothing has happened; nothing has to be done.", channel),
		Since: now, At: now,
	}
}

// Describe is a message as plain text, as e-mails have it. It ends with a line
// end.
func Describe(m alert.Message) string {
	m = cleaned(m)
	var b strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	say("%s", title(m))
	say("")
	say("%s", what(m))
	say("")
	if m.Site != "" {
		say("Site: %s", m.Site)
	}
	if m.Images > 0 {
		say("Images: %s", imageCount(m))
		for _, image := range m.Worst {
			say("  %s", image)
		}
	}
	for _, d := range m.Details {
		say("%s: %s", d.Name, strings.ReplaceAll(d.Text, "\n", "\n  "))
	}
	if m.Next != "" && !over(m) {
		say("\nWhat to do:\n\n  %s", strings.ReplaceAll(m.Next, "\n", "\n  "))
	}
	if asks(m) {
		say("\n%s", strings.Join(askText(m, 0), "\n"))
	}
	say("\n%s", strings.Join(footer(m), "\n"))
	return b.String()
}

// title is the one line that says it all; where it stands alone, as on the screen of
// a phone, it says of what images too.
func title(m alert.Message) string {
	text := label(m) + ": " + about(m)
	switch {
	case m.Images == 1 && len(m.Worst) == 1:
		text += ", " + m.Worst[0]
	case m.Images == 1:
		text += ", 1 image"
	case m.Images > 1:
		text += fmt.Sprintf(", %d images", m.Images)
	}
	return text
}

// what is what holds, or held.
func what(m alert.Message) string {
	if m.Kind != alert.Resolved {
		return m.What
	}
	return "It is over, after " + m.At.Sub(m.Since).Round(time.Second).String() + ". It was: " + m.What
}

// brief is a message where there is no room for all of it: what holds, who has it,
// and what was answered.
func brief(m alert.Message) string {
	said := []string{title(m), what(m)}
	if m.Acknowledged != "" && !over(m) {
		said = append(said, "Acknowledged by "+m.Acknowledged)
	}
	if asks(m) {
		said = append(said, choices(m)...)
	}
	return strings.Join(said, "\n")
}

// about is what an incident is of.
func about(m alert.Message) string {
	text := "plan " + m.Plan
	if m.Code != "" {
		text += ": " + m.Code
	}
	if m.Site != "" {
		text += " at " + m.Site
	}
	return text
}

// label is the state of an incident in a word or two.
func label(m alert.Message) string {
	severity := strings.ToUpper(string(m.Severity))
	switch m.Kind {
	case alert.Test:
		return "TEST"
	case alert.Resolved:
		return "RESOLVED"
	case alert.Escalated:
		return severity + ", not acknowledged"
	case alert.Changed:
		if m.Acknowledged != "" {
			return severity + ", acknowledged"
		}
	}
	return severity
}

// over says that nothing is left to do about a message.
func over(m alert.Message) bool { return m.Kind == alert.Resolved || m.Kind == alert.Test }

func imageCount(m alert.Message) string {
	if len(m.Worst) > 0 && len(m.Worst) < m.Images {
		return fmt.Sprintf("%d, the worst %d:", m.Images, len(m.Worst))
	}
	return fmt.Sprintf("%d", m.Images)
}

// asks says whether a message asks something that is still to be answered.
func asks(m alert.Message) bool { return m.Asks != nil && len(m.Asks.Options) > 0 && !over(m) }

// askText is the question of a message, and what was answered so far. needed is how
// many people have to answer the same; 0 where it is not known.
func askText(m alert.Message, needed int) []string {
	var text string
	switch options := strings.Join(m.Asks.Options, " or "); m.Asks.Kind {
	case alert.AskResync:
		text = "To decide: which copy stays, " + options + "."
	case alert.AskApprove:
		text = "To decide: whether the step is done, so that the run may go on."
	default:
		text = "To decide (" + m.Asks.Kind + "): " + options + "."
	}
	text += " A button counts"
	if !m.Asks.Until.IsZero() {
		text += " until " + clock(m.Asks.Until)
	}
	said := []string{text + " on this evidence: " + cut(m.Asks.Evidence, maxHash) + "."}
	if needed > 1 {
		said = append(said, fmt.Sprintf("%d approvers have to choose the same.", needed))
	}
	return append(said, choices(m)...)
}

// choices are what was answered so far.
func choices(m alert.Message) (said []string) {
	differ := false
	for _, c := range m.Choices {
		said = append(said, fmt.Sprintf("Chosen so far: %s, by %s, %s", c.Option, who(c.Who, c.Name), clock(c.At)))
		differ = differ || c.Channel == m.Choices[0].Channel && c.Option != m.Choices[0].Option
	}
	if differ {
		said = append(said, "They do not agree: nothing is done until they choose the same.")
	}
	return said
}

// who names a person.
func who(id, name string) string {
	if name == "" || name == id {
		return id
	}
	return name + " (" + id + ")"
}

// footer are the lines below a message: times, who has it, and its id.
func footer(m alert.Message) []string {
	times := "Since " + clock(m.Since)
	if m.At.After(m.Since) {
		times += ", as of " + clock(m.At) + " (after " + m.At.Sub(m.Since).Round(time.Second).String() + ")"
	}
	lines := []string{times}
	if m.Acknowledged != "" {
		lines = append(lines, "Acknowledged by "+m.Acknowledged)
	}
	return append(lines, "Incident "+m.ID)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// cleaned is a message whose texts can be shown as they are, and which names few
// enough images. What has come from a cluster may hold anything.
func cleaned(m alert.Message) alert.Message {
	m.ID, m.Plan, m.Code, m.Site = line(m.ID), line(m.Plan), line(m.Code), line(m.Site)
	m.Severity, m.Acknowledged = alert.Severity(line(string(m.Severity))), line(m.Acknowledged)
	m.What, m.Next = lines(m.What), lines(m.Next)
	m.Worst = mapped(m.Worst[:min(len(m.Worst), maxWorst)], line)
	m.Details = mapped(m.Details, func(d alert.Detail) alert.Detail {
		return alert.Detail{Name: line(d.Name), Text: lines(d.Text)}
	})
	if m.Asks != nil {
		asks := *m.Asks
		asks.Kind, asks.Evidence, asks.Options = line(asks.Kind), line(asks.Evidence), mapped(asks.Options, line)
		m.Asks = &asks
	}
	m.Choices = mapped(m.Choices, func(c alert.Choice) alert.Choice {
		c.Who, c.Name, c.Channel, c.Option = line(c.Who), line(c.Name), line(c.Channel), line(c.Option)
		return c
	})
	return m
}

func mapped[T any](all []T, change func(T) T) []T {
	var changed []T
	for _, one := range all {
		changed = append(changed, change(one))
	}
	return changed
}

// lines is a text of valid UTF-8 without control and invisible characters.
func lines(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(text, "\uFFFD"))
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, text))
}

// line is such a text of one line.
func line(text string) string { return strings.Join(strings.Fields(lines(text)), " ") }

// cut is the beginning of a text, at most so many bytes, in whole characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

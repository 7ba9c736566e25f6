package notify

import (
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"github.com/drover-io/drover/orchestrator/alert"
)

// What Slack takes of a message: characters, of which a text has no more than
// bytes, and blocks.
const (
	maxHeader  = 150
	maxSection = 3000
	maxBlocks  = 50
	// maxFacts is how many details are shown: what is left of the blocks.
	maxFacts = 30
)

// slackBlocks lays a message out. All text is plain: what has come from a cluster
// is never read as markup, so it mentions nobody and breaks out of nothing.
// needed is how many approvers of the channel have to choose the same.
func slackBlocks(m alert.Message, links []Link, buttons slack.Block, needed int) []slack.Block {
	blocks := []slack.Block{
		slack.NewHeaderBlock(plainText(mark(m)+" "+title(m), maxHeader)),
		section(what(m)),
	}
	if m.Images > 0 {
		text := "Images: " + imageCount(m)
		for _, image := range m.Worst {
			text += "\n• " + cut(image, maxSection/(maxWorst+2))
		}
		blocks = append(blocks, section(text))
	}
	for i, d := range m.Details {
		if i == maxFacts {
			blocks = append(blocks, section(fmt.Sprintf("… and %d more facts: drover status shows them", len(m.Details)-i)))
			break
		}
		blocks = append(blocks, fact(d))
	}
	if m.Next != "" && !over(m) {
		blocks = append(blocks, commands(m.Next))
	}
	if asks(m) {
		blocks = append(blocks, section(strings.Join(askText(m, needed), "\n")))
	}
	if buttons != nil {
		blocks = append(blocks, buttons)
	}
	if len(links) > 0 {
		blocks = append(blocks, linkLine(links))
	}
	blocks = append(blocks, slack.NewContextBlock("", plainText(strings.Join(footer(m), "  ·  "), maxSection)))
	return blocks[:min(len(blocks), maxBlocks)]
}

// mark is the state of an incident as one character.
func mark(m alert.Message) string {
	switch {
	case m.Kind == alert.Test:
		return "🧪"
	case m.Kind == alert.Resolved:
		return "✅"
	case m.Severity == alert.Info:
		return "🔵"
	case m.Severity == alert.Warning:
		return "🟠"
	}
	return "🔴"
}

func plainText(text string, limit int) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, cut(text, limit), false, false)
}

func section(text string) slack.Block {
	if text == "" { // Slack refuses an empty one
		text = "-"
	}
	return slack.NewSectionBlock(plainText(text, maxSection), nil, nil)
}

// fact is a detail, its name in bold.
func fact(d alert.Detail) slack.Block {
	bold := &slack.RichTextSectionTextStyle{Bold: true}
	return slack.NewRichTextBlock("", slack.NewRichTextSection(
		slack.NewRichTextSectionTextElement(cut(d.Name, maxHeader)+": ", bold),
		slack.NewRichTextSectionTextElement(cut(d.Text, maxSection-maxHeader), nil),
	))
}

// commands is what to do, to be copied as it is. It is no ``` text: that ends
// where a name holds the same.
func commands(next string) slack.Block {
	return slack.NewRichTextBlock("", &slack.RichTextPreformatted{
		Type:     slack.RTEPreformatted,
		Elements: []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement(cut(next, maxSection), nil)},
	})
}

func linkLine(links []Link) slack.Block {
	var elements []slack.RichTextSectionElement
	for i, l := range links {
		if i > 0 {
			elements = append(elements, slack.NewRichTextSectionTextElement("  ·  ", nil))
		}
		elements = append(elements, slack.NewRichTextSectionLinkElement(l.URL, cut(line(l.Text), maxHeader), nil))
	}
	return slack.NewRichTextBlock("", slack.NewRichTextSection(elements...))
}

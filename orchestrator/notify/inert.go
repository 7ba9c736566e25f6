package notify

import (
	"strings"
	"unicode"
)

// gap shows nothing, and parts what would mean something together.
const gap = "\u200b"

// markup is all that some service or other makes a mention, a link, a tag or a format
// of. Where a gap would not stop it, a look-alike stands for the sign.
var markup = strings.NewReplacer(
	"@", "@"+gap, // @everyone, a@example.com
	"#", "#"+gap, // #channel
	"<", "<"+gap, // <!channel>, <users/all>, <a href=…>
	"~", "~"+gap, // ~channel, ~~struck out~~
	"](", "]"+gap+"(", // [text](address)
	"||", "|"+gap+"|", // ||hidden||
	"://", ":"+gap+"//",
	"www.", "www"+gap+".", "WWW.", "WWW"+gap+".",
	"*", "∗",
	"`", "ˋ",
)

// inert is a text of which no service makes anything but text, whatever its markup:
// it pings nobody and links nowhere. What is copied out of it may hold gaps.
func inert(text string) string {
	runes := []rune(markup.Replace(text))
	var b strings.Builder
	for i, r := range runes {
		if r == '_' && (!inWord(runes, i-1) || !inWord(runes, i+1)) {
			b.WriteString(gap + "_" + gap)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// inWord says whether a place is within a word: an underscore there is only that.
func inWord(runes []rune, i int) bool {
	return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || unicode.IsDigit(runes[i]))
}

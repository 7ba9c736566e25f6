package alert

import (
	"path"
	"strings"
	"time"
)

// Silence keeps signals from being told for a time, such as that of maintenance.
// They open as usual when it ends and they still hold.
type Silence struct {
	ID     string    `json:"id"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"` // a silence without an end is none
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Match  Match     `json:"match"`
}

// Match says which signals a silence covers: those that fit all of what it has.
// An empty one covers everything.
type Match struct {
	Code string `json:"code,omitempty"`
	Site string `json:"site,omitempty"`
	// Image is a pattern for pool/image in which * stands for any text and ? for
	// any character; it fits no signal without an image.
	Image string `json:"image,omitempty"`
}

// Covers tells whether the silence covers a signal at a time.
func (s Silence) Covers(now time.Time, signal Signal) bool {
	return !now.Before(s.From) && now.Before(s.Until) && s.Match.fits(&signal)
}

// fits tells whether a signal is one of those meant.
func (m Match) fits(s *Signal) bool {
	if m.Code != "" && m.Code != s.Code || m.Site != "" && m.Site != s.Site {
		return false
	}
	if m.Image == "" {
		return true
	}
	// For path.Match a slash is special; for us it is a character as any other.
	flat := func(text string) string { return strings.ReplaceAll(text, "/", "\x00") }
	fits, err := path.Match(flat(m.Image), flat(s.Image))
	return err == nil && fits && s.Image != ""
}

// Valid returns an error where the pattern for images cannot be read; such a
// match fits nothing.
func (m Match) Valid() error {
	_, err := path.Match(m.Image, "")
	return err
}

// covered tells whether any of the silences that cover the present covers a
// signal.
func covered(silences []Silence, now time.Time, s *Signal) bool {
	for i := range silences {
		if silences[i].Covers(now, *s) {
			return true
		}
	}
	return false
}

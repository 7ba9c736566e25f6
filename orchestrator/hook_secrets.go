package orchestrator

import (
	"cmp"
	"slices"
	"strings"
)

// secrets are texts that must not be shown.
type secrets []string

const (
	hiddenText = "<secret>"
	// minHidden is the length from which a header value that stands in the plan
	// is hidden: a short one is no token, but may be part of any word.
	minHidden = 8
)

// add hides a header's value, and what stands behind a scheme such as Bearer.
// Kept says that the plan keeps it as a secret.
func (s *secrets) add(value string, kept bool) {
	parts := []string{value}
	if scheme, token, ok := strings.Cut(value, " "); ok && scheme != "" {
		parts = append(parts, strings.TrimSpace(token))
	}
	for _, part := range parts {
		if part != "" && (kept || len(part) >= minHidden) {
			*s = append(*s, part)
		}
	}
	// The longest first: what is replaced must not leave the rest of a longer.
	slices.SortStableFunc(*s, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// from is a text without the secrets.
func (s secrets) from(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, hiddenText)
	}
	return text
}

// withoutBegun is a text that was cut off, without a secret that begins at its
// end and is not whole.
func (s secrets) withoutBegun(text string) string {
	for _, secret := range s {
		for n := min(len(secret)-1, len(text)); n > 0; n-- {
			if strings.HasSuffix(text, secret[:n]) {
				text = text[:len(text)-n]
				break
			}
		}
	}
	return text
}

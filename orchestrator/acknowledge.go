package orchestrator

import (
	"context"
	"encoding/json"
	"regexp"
	"time"
)

// Acknowledgement is that somebody has taken an incident on, as recorded by a person.
type Acknowledgement struct {
	ID       string    `json:"-"` // of the record
	Incident string    `json:"incident"`
	By       string    `json:"-"` // user@host
	At       time.Time `json:"-"`
}

var incidentID = regexp.MustCompile(`^[0-9a-f]{12}$`)

// Acknowledge records that who asks has taken an incident on; the daemon takes note of
// it with its next check. What cannot be an incident's id is refused ([ErrRefused]).
func (b *Book) Acknowledge(ctx context.Context, incident string) error {
	if !incidentID.MatchString(incident) {
		return refusal("each message names its incident", "no incident is called %q", incident)
	}
	return b.appendBody(ctx, Entry{Kind: EntryAcknowledge}, Acknowledgement{Incident: incident})
}

// Acknowledgements are all that are recorded, in order.
func (b *Book) Acknowledgements() (all []Acknowledgement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.standing[EntryAcknowledge] {
		a := Acknowledgement{ID: e.Key, By: e.By, At: e.At}
		if json.Unmarshal(e.Body, &a) == nil {
			all = append(all, a)
		}
	}
	return all
}

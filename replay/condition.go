package replay

import "strings"

// Condition is what a report's description says beside its state. Descriptions
// vary by version and contradict the state, so each is found by a part of the
// text, whatever the state is.
type Condition string

// The conditions that change a verdict.
const (
	CondLocalPrimary     Condition = "local-primary"      // there is nothing to replay here
	CondRemoteNotPrimary Condition = "remote-not-primary" // demoted, or never promoted
	CondSplitBrain       Condition = "split-brain"
	CondBootstrapFailed  Condition = "bootstrap-failed" // replay could not begin
	CondUnknownPeer      Condition = "unknown-peer"     // the copy follows another peer than the one listed
	CondForcePromoted    Condition = "force-promoted"
	CondResyncRequested  Condition = "resync-requested"
	CondNoReport         Condition = "no-report" // "status not found"
	CondNoSpace          Condition = "no-space"
	CondDisconnected     Condition = "disconnected" // the journal gave this client up
	CondStopped          Condition = "stopped"      // by hand, through the daemon's admin socket
	CondBootstrapping    Condition = "bootstrapping"
	CondPeerUnreachable  Condition = "peer-unreachable"
	CondRemoteMissing    Condition = "remote-missing" // the primary's image is gone or not mirrored
)

// conditionTexts is the one table of the words to look for, in lower case.
// Most were seen in reports of 16.2.15 or are words of its rbd-mirror; the
// other wordings of a demoted primary are those of other releases. "status not
// found" is what rbd writes when there is no report.
var conditionTexts = []struct {
	condition Condition
	texts     []string
}{
	{CondLocalPrimary, []string{"local image is primary"}},
	{CondRemoteNotPrimary, []string{
		"remote image is not primary", "remote image is non-primary", "remote image demoted",
		"remote image is not the primary", "remote image is demoted", "is non-primary",
	}},
	{CondSplitBrain, []string{"split-brain", "split brain"}},
	{CondBootstrapFailed, []string{"error bootstrapping replay"}},
	{CondUnknownPeer, []string{"unknown peer"}},
	{CondForcePromoted, []string{"force promoted", "force-promoted", "orphan"}},
	{CondResyncRequested, []string{"resync requested"}},
	{CondNoReport, []string{"status not found"}},
	{CondNoSpace, []string{"no space", "disk quota exceeded", "enospc"}},
	{CondDisconnected, []string{"disconnected"}},
	{CondBootstrapping, []string{"bootstrapping, "}},
	{CondPeerUnreachable, []string{"connection timed out", "unable to connect"}},
	{CondRemoteMissing, []string{"remote image does not exist", "remote image no longer exists"}},
}

// Conditions finds all conditions in a description, in the table's order.
func Conditions(description string) []Condition {
	text := strings.ToLower(description)
	var found []Condition
	for _, c := range conditionTexts {
		for _, part := range c.texts {
			if strings.Contains(text, part) {
				found = append(found, c.condition)
				break
			}
		}
	}
	if strings.TrimSpace(text) == "stopped" {
		// Only the word alone: "stopped" also begins longer errors.
		found = append(found, CondStopped)
	}
	return found
}

// Has reports whether the report's description tells of the condition.
func (r Report) Has(c Condition) bool {
	for _, found := range Conditions(r.Description) {
		if found == c {
			return true
		}
	}
	return false
}

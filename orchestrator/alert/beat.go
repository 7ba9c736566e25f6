package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Beat is called after each check, with whether the check ended as it should, and
// returns the heartbeat to be sent, if it is time for one. Where checks do not end, or
// nobody can be told what they find because no channel works, there is none, and whoever
// waits for it raises the alarm.
func (d *Desk) Beat(now time.Time, ok bool) (Message, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	if !ok || d.options.BeatEvery <= 0 || d.unheard(now) {
		return Message{}, false
	}
	if last := d.memory.Beat; !last.IsZero() && now.Sub(last) < d.options.BeatEvery {
		return Message{}, false
	}
	d.memory.Beat = now
	sum := sha256.Sum256([]byte(d.options.Plan))
	return Message{
		ID: "beat-" + hex.EncodeToString(sum[:6]), Kind: Beat, Plan: d.options.Plan, Severity: Info,
		What: "the checks of this plan end", Since: now, At: now,
	}, true
}

package replay

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// DecodeProgress reads how far replay is from the description in a daemon's
// report. It knows the JSON of both modes (since Octopus), the older text of
// journal mode ("master_position=[…], …, entries_behind_master=3") and the
// steps of a first sync ("bootstrapping, IMAGE_SYNC/COPY_IMAGE 12%"). Anything
// else is nil: a description without progress, such as "stopped".
//
// Sources: tools/rbd_mirror/image_replayer/journal/ReplayStatusFormatter.cc,
// tools/rbd_mirror/image_replayer/snapshot/Replayer.cc, ImageReplayer.cc.
func DecodeProgress(description string) *Progress {
	if p := decodeProgressJSON(description); p != nil {
		return p
	}
	if p := decodeProgressText(description); p != nil {
		return p
	}
	return decodeFirstSync(description)
}

// bareNumber finds the values that json_spirit writes for a rate that is not a
// number: they are no JSON.
var bareNumber = regexp.MustCompile(`:\s*-?(?:nan|inf|infinity)\b`)

func decodeProgressJSON(description string) *Progress {
	start := strings.IndexByte(description, '{')
	if start < 0 {
		return nil
	}
	text := description[start:]
	fields, ok := firstObject(text)
	if !ok {
		fields, ok = firstObject(bareNumber.ReplaceAllString(text, ":null"))
	}
	if !ok {
		return nil
	}
	p := &Progress{}
	for key, raw := range fields {
		known, isKnown := progressFields[key]
		if isKnown && string(raw) == "null" {
			continue
		}
		if isKnown && known.set(p, raw) {
			if known.mode != "" {
				p.Mode = known.mode
			}
			continue
		}
		if p.Unknown == nil {
			p.Unknown = map[string]json.RawMessage{}
		}
		p.Unknown[key] = raw
	}
	return p
}

// firstObject decodes the object that text begins with, whatever follows it.
func firstObject(text string) (map[string]json.RawMessage, bool) {
	var fields map[string]json.RawMessage
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&fields); err != nil {
		return nil, false
	}
	return fields, true
}

// progressField says where a JSON key goes. set answers false for a value of
// the wrong kind, which is then kept as unknown. mode is the mode that alone
// writes the key.
type progressField struct {
	mode MirrorMode
	set  func(p *Progress, raw json.RawMessage) bool
}

var progressFields = map[string]progressField{
	"entries_behind_primary": {ModeJournal, intField(func(p *Progress) **int64 { return &p.EntriesBehind })},
	"entries_behind_master":  {ModeJournal, intField(func(p *Progress) **int64 { return &p.EntriesBehind })},
	"entries_per_second":     {ModeJournal, floatField(func(p *Progress) **float64 { return &p.EntriesPerSecond })},
	"primary_position":       {ModeJournal, positionField(func(p *Progress) **Position { return &p.Primary })},
	"master_position":        {ModeJournal, positionField(func(p *Progress) **Position { return &p.Primary })},
	"non_primary_position":   {ModeJournal, positionField(func(p *Progress) **Position { return &p.Secondary })},
	"mirror_position":        {ModeJournal, positionField(func(p *Progress) **Position { return &p.Secondary })},

	"replay_state":               {ModeSnapshot, stringField(func(p *Progress) *string { return &p.ReplayState })},
	"local_snapshot_timestamp":   {ModeSnapshot, timeField(func(p *Progress) **time.Time { return &p.LocalSnapshot })},
	"remote_snapshot_timestamp":  {ModeSnapshot, timeField(func(p *Progress) **time.Time { return &p.RemoteSnapshot })},
	"bytes_per_snapshot":         {ModeSnapshot, floatField(func(p *Progress) **float64 { return &p.BytesPerSnapshot })},
	"last_snapshot_bytes":        {ModeSnapshot, intField(func(p *Progress) **int64 { return &p.LastSnapshotBytes })},
	"last_snapshot_sync_seconds": {ModeSnapshot, floatField(func(p *Progress) **float64 { return &p.LastSyncSeconds })},
	"syncing_percent":            {ModeSnapshot, percentField(func(p *Progress) **float64 { return &p.SyncPercent })},

	"bytes_per_second":     {"", floatField(func(p *Progress) **float64 { return &p.BytesPerSecond })},
	"seconds_until_synced": {"", floatField(func(p *Progress) **float64 { return &p.SecondsUntilSynced })},
}

func intField(field func(*Progress) **int64) func(*Progress, json.RawMessage) bool {
	return func(p *Progress, raw json.RawMessage) bool {
		n, ok := wholeNumber(raw)
		if ok {
			*field(p) = &n
		}
		return ok
	}
}

func floatField(field func(*Progress) **float64) func(*Progress, json.RawMessage) bool {
	return func(p *Progress, raw json.RawMessage) bool {
		f, ok := number(raw)
		if ok {
			*field(p) = &f
		}
		return ok
	}
}

func percentField(field func(*Progress) **float64) func(*Progress, json.RawMessage) bool {
	return func(p *Progress, raw json.RawMessage) bool {
		f, ok := number(raw)
		if !ok || f < 0 || f > 100 {
			return false
		}
		*field(p) = &f
		return true
	}
}

func stringField(field func(*Progress) *string) func(*Progress, json.RawMessage) bool {
	return func(p *Progress, raw json.RawMessage) bool {
		return json.Unmarshal(raw, field(p)) == nil
	}
}

// lastTime is the last second that JSON can write (year 9999).
const lastTime = 253402300799

// timeField reads seconds since 1970; Ceph writes 0 for a snapshot that there
// is not, which is left nil.
func timeField(field func(*Progress) **time.Time) func(*Progress, json.RawMessage) bool {
	return func(p *Progress, raw json.RawMessage) bool {
		n, ok := wholeNumber(raw)
		if !ok || n < 0 || n > lastTime {
			return false
		}
		if n > 0 {
			t := time.Unix(n, 0).UTC()
			*field(p) = &t
		}
		return true
	}
}

// positionField reads {object_number, tag_tid, entry_tid}. An empty object is
// a client that has committed nothing yet, or nothing in this daemon's life.
func positionField(field func(*Progress) **Position) func(*Progress, json.RawMessage) bool {
	return func(p *Progress, raw json.RawMessage) bool {
		var parts map[string]json.RawMessage
		if json.Unmarshal(raw, &parts) != nil {
			return false
		}
		if len(parts) == 0 {
			return true
		}
		object, okObject := wholeNumber(parts["object_number"])
		tag, okTag := wholeNumber(parts["tag_tid"])
		entry, okEntry := wholeNumber(parts["entry_tid"])
		if !okObject || !okTag || !okEntry || object < 0 || tag < 0 || entry < 0 {
			return false
		}
		*field(p) = &Position{Object: uint64(object), Tag: uint64(tag), Entry: uint64(entry)}
		return true
	}
}

// number reads a finite number, also one written as a string.
func number(raw json.RawMessage) (float64, bool) {
	f, err := strconv.ParseFloat(unquoted(raw), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// wholeNumber reads an integer; one too great for 63 bits (Ceph's counters are
// unsigned) is the greatest.
func wholeNumber(raw json.RawMessage) (int64, bool) {
	text := unquoted(raw)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, ok := number(raw)
	switch {
	case !ok || f < math.MinInt64:
		return 0, false
	case f >= math.MaxInt64:
		return math.MaxInt64, true
	case f != math.Trunc(f):
		return 0, false
	}
	return int64(f), true
}

func unquoted(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return strings.TrimSpace(s)
	}
	return string(raw)
}

var (
	textPosition = regexp.MustCompile(`\b(master|primary|mirror|non_primary)_position=\[([^\]]*)\]`)
	textPart     = regexp.MustCompile(`\b(object_number|tag_tid|entry_tid)=(\d+)`)
	textBehind   = regexp.MustCompile(`\bentries_behind_(?:master|primary)=(\d+)`)
)

// decodeProgressText reads journal mode's text of before Octopus.
func decodeProgressText(description string) *Progress {
	positions := textPosition.FindAllStringSubmatch(description, -1)
	behind := textBehind.FindStringSubmatch(description)
	if positions == nil && behind == nil {
		return nil
	}
	p := &Progress{Mode: ModeJournal}
	if behind != nil {
		n, ok := wholeNumber(json.RawMessage(behind[1]))
		if ok {
			p.EntriesBehind = &n
		}
	}
	for _, m := range positions {
		position := parsePosition(m[2])
		if m[1] == "master" || m[1] == "primary" {
			p.Primary = position
		} else {
			p.Secondary = position
		}
	}
	return p
}

func parsePosition(text string) *Position {
	var p Position
	seen := 0
	for _, m := range textPart.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil {
			return nil
		}
		switch m[1] {
		case "object_number":
			p.Object, seen = n, seen|1
		case "tag_tid":
			p.Tag, seen = n, seen|2
		case "entry_tid":
			p.Entry, seen = n, seen|4
		}
	}
	if seen != 7 {
		return nil
	}
	return &p
}

// firstSync is a step of the bootstrap of an image, as the daemon's progress
// context writes it.
var firstSync = regexp.MustCompile(`\bbootstrapping, ([A-Z][A-Z_/]*)(?:\s+(\d{1,3})%)?`)

func decodeFirstSync(description string) *Progress {
	m := firstSync.FindStringSubmatch(description)
	if m == nil {
		return nil
	}
	p := &Progress{Step: m[1]}
	if strings.HasPrefix(m[1], "IMAGE_SYNC") || strings.HasPrefix(m[1], "IMAGE_COPY") {
		// Only journal mode copies while it bootstraps: snapshot mode does so
		// as a replay of its first snapshot.
		p.Mode = ModeJournal
	}
	if percent, err := strconv.ParseFloat(m[2], 64); err == nil && percent <= 100 {
		p.SyncPercent = &percent
	}
	return p
}

package slackfake

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// said is a message as Slack's history has it.
type said struct {
	Type     string          `json:"type"`
	TS       string          `json:"ts"`
	ThreadTS string          `json:"thread_ts,omitempty"`
	Text     string          `json:"text"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// history answers a page of a channel's first messages (and of the replies that are
// shown there too), the newest first, or of a thread, the oldest first. s.mu is held.
func (s *Server) history(method string, form url.Values) string {
	place := form.Get("channel")
	if !strings.HasPrefix(place, "C0") { // a name is no id
		return refused("channel_not_found")
	}
	all := form.Get("include_all_metadata") == "1"
	oldest, _ := strconv.ParseFloat(form.Get("oldest"), 64)
	var found []said
	add := func(ts, thread, text, metadata string, always bool) {
		if at, _ := strconv.ParseFloat(ts, 64); at > oldest || always {
			found = append(found, said{"message", ts, thread, text, shown(metadata, all)})
		}
	}
	for _, t := range s.threads {
		whole := method == "conversations.replies"
		if t.place != place || whole && t.TS != form.Get("ts") {
			continue
		}
		top := ""
		if len(t.Replies) > 0 {
			top = t.TS
		}
		add(t.TS, top, t.Root.Get("text"), t.metadata, whole)
		for i, reply := range t.Replies {
			if whole || reply.Get("reply_broadcast") == "true" {
				add(t.replyTS[i], t.TS, reply.Get("text"), reply.Get("metadata"), false)
			}
		}
		if whole {
			return paged(found, form)
		}
	}
	if method == "conversations.replies" {
		return refused("thread_not_found")
	}
	slices.SortFunc(found, func(a, b said) int { return strings.Compare(b.TS, a.TS) })
	return paged(found, form)
}

// shown is the metadata of a message: without its payload, unless that was asked for.
func shown(metadata string, all bool) json.RawMessage {
	var m map[string]any
	if json.Unmarshal([]byte(metadata), &m) != nil {
		return nil
	}
	if !all {
		delete(m, "event_payload")
	}
	text, _ := json.Marshal(m)
	return text
}

// paged is one page of messages, and where the next one begins.
func paged(all []said, form url.Values) string {
	at, _ := strconv.Atoi(form.Get("cursor"))
	limit, err := strconv.Atoi(form.Get("limit"))
	if err != nil || limit <= 0 {
		limit = 100
	}
	all = all[min(at, len(all)):]
	answer := struct {
		OK       bool              `json:"ok"`
		Messages []said            `json:"messages"`
		HasMore  bool              `json:"has_more"`
		Next     map[string]string `json:"response_metadata"`
	}{OK: true, Messages: all, Next: map[string]string{"next_cursor": ""}}
	if len(all) > limit {
		answer.Messages, answer.HasMore = all[:limit], true
		answer.Next["next_cursor"] = strconv.Itoa(at + limit)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return refused("internal_error")
	}
	return string(text)
}

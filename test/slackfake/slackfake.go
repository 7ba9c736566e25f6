// Package slackfake is Slack's API as far as Drover calls it, over HTTP and
// WebSocket, for tests.
package slackfake

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// pingEvery is how often a connection is shown to live.
const pingEvery = 5 * time.Second

// The tokens that it takes.
const (
	Token    = "xoxb-t0ken"
	AppToken = "xapp-t0ken"
)

// Server is Slack's API as far as it is called, over HTTP and WebSocket. It is
// not slacktest's server, which knows neither chat.update nor Socket Mode.
type Server struct {
	URL string // for Options.SlackURL
	t   testing.TB

	mu       sync.Mutex
	said     []Call
	count    int                   // of calls
	messages map[string]url.Values // by channel/ts
	threads  []*Thread
	fails    map[string]string // what a method answers instead
	losses   map[string]*loss  // what becomes of a method's answers
	outage   int
	lastTS   string
	sockets  chan *Socket
}

// Thread is a message and what was posted below it.
type Thread struct {
	TS      string
	Root    url.Values // as it is now
	Updates int
	Replies []url.Values

	replyTS  []string // of each reply
	metadata string   // of the first message
	place    string
}

// Silent has every call wait until its caller goes away.
const Silent = -1

// Call is one call of a method.
type Call struct {
	Method string
	Values url.Values
}

// Socket is one connection of Socket Mode.
type Socket struct {
	Conn *websocket.Conn
	acks chan string
}

// New starts one, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := newServer(t)
	web := httptest.NewServer(s.handler())
	t.Cleanup(web.Close)
	s.URL = web.URL + "/api"
	return s
}

// NewOn starts one that can be called at a listener of its owner's.
func NewOn(t testing.TB, listener net.Listener) *Server {
	s := newServer(t)
	s.URL = "http://" + listener.Addr().String() + "/api"
	s.Serve(listener)
	return s
}

func newServer(t testing.TB) *Server {
	return &Server{t: t, messages: map[string]url.Values{}, fails: map[string]string{}, losses: map[string]*loss{}, sockets: make(chan *Socket, 10)}
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", s.api)
	mux.HandleFunc("/socket", s.socket)
	return mux
}

// Serve answers at a listener until that is closed, or the test ends.
func (s *Server) Serve(listener net.Listener) {
	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(listener) }()
	s.t.Cleanup(func() { _ = web.Close() })
}

func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	s.mu.Lock()
	if s.outage == Silent {
		s.mu.Unlock()
		<-r.Context().Done()
		return
	}
	s.said = append(s.said, Call{method, r.PostForm})
	s.count++
	if status := s.outage; status != 0 {
		s.mu.Unlock()
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "30")
		}
		w.WriteHeader(status)
		return
	}
	answer := s.answer(method, r)
	lost := s.losses[method].next()
	s.mu.Unlock()
	if lost != nil {
		lost(w, r)
		return
	}
	_, _ = w.Write([]byte(answer))
}

func refused(code string) string { return fmt.Sprintf(`{"ok":false,"error":%q}`, code) }

// answer does what a method does, and is what it answers. s.mu is held.
func (s *Server) answer(method string, r *http.Request) string {
	if code := s.fails[method]; code != "" {
		return fmt.Sprintf(`{"ok":false,"error":%q,"response_metadata":{"messages":["[ERROR] %s"]}}`, code, r.PostForm.Get("token"))
	}
	token := r.PostForm.Get("token")
	if method == "apps.connections.open" {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if token != Token && token != AppToken {
		return refused("invalid_auth")
	}
	place, ts := "C0"+strings.TrimPrefix(r.PostForm.Get("channel"), "C0"), r.PostForm.Get("ts")
	switch method {
	case "chat.postMessage", "chat.postEphemeral":
		ts = fmt.Sprintf("%d.%06d", time.Now().Unix(), s.count)
		s.messages[place+"/"+ts] = r.PostForm
		if method == "chat.postMessage" {
			s.posted(place, ts, r.PostForm)
		}
	case "chat.update":
		if s.messages[place+"/"+ts] == nil {
			return refused("message_not_found")
		}
		s.messages[place+"/"+ts] = r.PostForm
		for _, t := range s.threads {
			if t.TS == ts {
				t.Root = r.PostForm
				t.Updates++
				if given := r.PostForm.Get("metadata"); given != "" { // else the message keeps its own
					t.metadata = given
				}
			}
		}
	case "conversations.history", "conversations.replies":
		return s.history(method, r.PostForm)
	case "apps.connections.open":
		return fmt.Sprintf(`{"ok":true,"url":%q}`, "ws://"+r.Host+"/socket?ticket=t1cket")
	default:
		return refused("unknown_method")
	}
	return fmt.Sprintf(`{"ok":true,"channel":%q,"ts":%q}`, place, ts)
}

// posted notes what was posted. s.mu is held.
func (s *Server) posted(place, ts string, message url.Values) {
	below := message.Get("thread_ts")
	if below == "" {
		s.lastTS = ts
		s.threads = append(s.threads, &Thread{TS: ts, Root: message, place: place, metadata: message.Get("metadata")})
		return
	}
	for _, t := range s.threads {
		if t.TS == below {
			t.Replies = append(t.Replies, message)
			t.replyTS = append(t.replyTS, ts)
		}
	}
}

// Threads are all that there are, in the order in which they were begun.
func (s *Server) Threads() []Thread {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Thread
	for _, t := range s.threads {
		one := *t
		one.Replies = slices.Clone(t.Replies)
		all = append(all, one)
	}
	return all
}

func (s *Server) socket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	outage := s.outage
	s.mu.Unlock()
	if outage > 0 {
		w.WriteHeader(outage)
		return
	}
	conn, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	one := &Socket{Conn: conn, acks: make(chan string, 100)}
	if conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello"}`)) != nil {
		return
	}
	s.sockets <- one
	over := make(chan struct{})
	defer close(over)
	go func() { // a client that hears nothing calls again
		for {
			select {
			case <-over:
				return
			case <-time.After(pingEvery):
				_ = conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
			}
		}
	}()
	for {
		var ack struct {
			EnvelopeID string `json:"envelope_id"`
		}
		if conn.ReadJSON(&ack) != nil {
			return
		}
		one.acks <- ack.EnvelopeID
	}
}

// Connected waits until somebody listens.
func (s *Server) Connected() *Socket {
	s.t.Helper()
	select {
	case one := <-s.sockets:
		return one
	case <-time.After(10 * time.Second):
		s.t.Fatal("nobody listens")
		return nil
	}
}

// Latest is the connection that was made last; nil where there is none that nobody
// has asked for yet.
func (s *Server) Latest() (one *Socket) {
	for {
		select {
		case one = <-s.sockets:
		default:
			return one
		}
	}
}

// Press presses a button, and waits until that is acknowledged.
func (s *Server) Press(one *Socket, user, value, ts string) {
	s.t.Helper()
	id := fmt.Sprintf("e%d", time.Now().UnixNano())
	payload := map[string]any{
		"type": "block_actions", "user": map[string]string{"id": user}, "channel": map[string]string{"id": "C0#dr"},
		"message":   map[string]string{"ts": ts},
		"container": map[string]string{"type": "message", "message_ts": ts, "channel_id": "C0#dr"},
		"actions":   []map[string]string{{"type": "button", "action_id": "drover-x", "block_id": "b", "value": value}},
	}
	if err := one.Conn.WriteJSON(map[string]any{"type": "interactive", "envelope_id": id, "payload": payload}); err != nil {
		s.t.Fatal(err)
	}
	select {
	case ack := <-one.acks:
		if ack != id {
			s.t.Errorf("%s was acknowledged, not %s", ack, id)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatal("the press was not acknowledged")
	}
}

// Fail makes a method answer with an error; "" ends that.
func (s *Server) Fail(method, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[method] = code
}

// Limit has every method answer that there are too many calls.
func (s *Server) Limit() { s.Outage(http.StatusTooManyRequests) }

// Outage has every call answered with a status, or not at all ([Silent]); 0 ends it.
func (s *Server) Outage(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = status
}

// Calls returns what was said since it was last asked.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.said
	s.said = nil
	return said
}

// WaitFor waits for a call of a method.
func (s *Server) WaitFor(method string) url.Values {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, c := range s.Calls() {
			if c.Method == method {
				return c.Values
			}
		}
	}
	s.t.Fatalf("%s was not called", method)
	return nil
}

// Block is a part of a message, as Slack reads it.
type Block struct {
	Type     string          `json:"type"`
	Text     json.RawMessage `json:"text"`
	ActionID string          `json:"action_id"`
	Value    string          `json:"value"`
	URL      string          `json:"url"`
	Elements []Block         `json:"elements"`
}

// Plain are the texts of a block, one a line, each with the type it is read as.
func (b Block) Plain() []string {
	var all []string
	var object struct{ Type, Text string }
	var text string
	if json.Unmarshal(b.Text, &text) == nil && len(b.Text) > 0 && b.Text[0] == '"' {
		all = append(all, b.Type+": "+text)
	} else if json.Unmarshal(b.Text, &object) == nil && object.Text != "" {
		all = append(all, b.Type+"/"+object.Type+": "+object.Text)
	}
	for _, inner := range b.Elements {
		for _, text := range inner.Plain() {
			all = append(all, b.Type+"/"+text)
		}
	}
	return all
}

// Blocks reads the blocks of a message, and its texts, one a line.
func Blocks(t testing.TB, text string) (blocks []Block, plain string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &blocks); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range blocks {
		all = append(all, b.Plain()...)
	}
	return blocks, strings.Join(all, "\n")
}

// Buttons are the values of the buttons of a message, by action_id.
func Buttons(t testing.TB, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	blocks, _ := Blocks(t, text)
	for _, b := range blocks {
		for _, e := range b.Elements {
			if e.Type == "button" {
				all[e.ActionID] = e.Value
			}
		}
	}
	return all
}

// LastTS is the place of the message that was posted last, as an incident's first.
func (s *Server) LastTS() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastTS
}

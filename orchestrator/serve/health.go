package serve

import (
	"net/http"
	"time"
)

// Condition is one thing that must be so for the daemon to do its work.
type Condition struct {
	Kind string `json:"kind"` // such as "lease", "site", "channel", "buttons"
	Plan string `json:"plan,omitempty"`
	Name string `json:"name,omitempty"` // of the site, of the channel
	OK   bool   `json:"ok"`
	// State is one word or two: "held", "standing by", "answers", "silent".
	State string `json:"state,omitempty"`
	Why   string `json:"why,omitempty"` // where it is not OK
	// At is when this was last seen to be so.
	At time.Time `json:"at,omitzero"`
}

// Health is the answer of /healthz: that there is one says that the process
// lives.
type Health struct {
	Alive   bool      `json:"alive"`
	Build   Build     `json:"build"`
	Started time.Time `json:"started"`
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready      bool        `json:"ready"` // all conditions are OK
	Conditions []Condition `json:"conditions"`
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, Health{Alive: true, Build: s.o.Build, Started: s.started})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	r := Readiness{Ready: true, Conditions: []Condition{}}
	if s.o.Ready != nil {
		r.Conditions = append(r.Conditions, s.o.Ready()...)
	}
	for _, c := range r.Conditions {
		r.Ready = r.Ready && c.OK
	}
	code := http.StatusOK
	if !r.Ready {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, r)
}

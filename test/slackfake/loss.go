package slackfake

import "net/http"

// Cut has an answer lost with its connection, after the call was carried out.
const Cut = -2

// loss is what becomes of the next answers of a method.
type loss struct{ status, left int }

// Lose has the next n calls of a method carried out and their answers lost: with the
// connection ([Cut]), for they never come ([Silent]), or for a gateway that answers a
// status instead.
func (s *Server) Lose(method string, status, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses[method] = &loss{status, n}
}

// Losing reports whether there are answers of a method still to be lost.
func (s *Server) Losing(method string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.losses[method]
	return l != nil && l.left > 0
}

// next is what becomes of the next answer; nil where it comes.
func (l *loss) next() http.HandlerFunc {
	if l == nil || l.left == 0 {
		return nil
	}
	l.left--
	status := l.status
	return func(w http.ResponseWriter, r *http.Request) {
		switch status {
		case Silent:
			<-r.Context().Done()
		case Cut:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(status)
		}
	}
}

package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/drover-io/drover/plans"
)

// token is the bearer token that clients must show. Only its hash is kept.
type token struct {
	from plans.Secret
	hash atomic.Pointer[[sha256.Size]byte]
}

// wanted reports whether the plan asks for a token.
func (t *token) wanted() bool { return t.from.IsSet() }

func (t *token) read() error {
	if !t.wanted() {
		return nil
	}
	text, err := t.from.Reveal()
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(text))
	t.hash.Store(&hash)
	return nil
}

// shown reports whether the client has shown the token. It takes as long for a
// wrong one, whatever is wrong with it.
func (t *token) shown(r *http.Request) bool {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	hash := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(hash[:], t.hash.Load()[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// guard lets nobody pass who does not show the token.
func (t *token) guard(next http.Handler) http.Handler {
	if !t.wanted() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !t.shown(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.Header().Set("Connection", "close") // a stranger keeps none open
			http.Error(w, "a bearer token is wanted", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

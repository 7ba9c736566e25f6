package serve_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/drover-io/drover/orchestrator/serve"
)

// TestManyConnections: who opens connections without end costs the daemon no
// more than some, and once they are gone the next one is answered.
func TestManyConnections(t *testing.T) {
	s := begin(t, serve.Options{})
	var held []net.Conn
	for range 70 {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	for _, conn := range held {
		closed(t, conn)
	}
	if resp, _ := ask(t, http.DefaultClient, http.MethodGet, url(s, "/healthz"), ""); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}

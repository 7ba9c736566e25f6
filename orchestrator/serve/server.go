package serve

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/drover-io/drover/plans"
)

// DefaultListen is where metrics and health are served unless a plan says. (9283
// is the port of Ceph's own exporter.)
const DefaultListen = "127.0.0.1:9823"

// The limits of what a client may cost.
const (
	headerTime   = 5 * time.Second
	scrapeTime   = 25 * time.Second // to gather and write all metrics
	answerTime   = 30 * time.Second
	idleTime     = time.Minute
	shutdownTime = 5 * time.Second
	headerBytes  = 16 << 10
)

// ErrOpen refuses to serve the network without TLS and a token: what is shown
// tells an attacker when to strike.
var ErrOpen = errors.New("not a loopback address: it is served only with a certificate, its key and a token")

// Options say what is served, and to whom.
type Options struct {
	// HTTP is the plan's; without an address it is [DefaultListen].
	HTTP    plans.HTTP
	Metrics *Metrics
	Build   Build
	// Ready tells the conditions that the daemon needs to do its work. It is
	// called for each /readyz, must answer from memory, and may be called from
	// several goroutines at once. nil: none.
	Ready func() []Condition
	Log   *slog.Logger // nil: nothing is logged
}

// Server shows metrics and health over HTTP: /metrics, /healthz, /readyz.
type Server struct {
	o        Options
	listener net.Listener
	token    *token
	started  time.Time
	http     *http.Server
}

// Listen opens the address, so that all that can be wrong with it, with the
// certificate or the token shows before the daemon says that it is ready. Errors:
// [ErrOpen], those of [plans.Secret.Reveal], of the certificate and of the
// address. Nobody is answered until [Server.Run].
func Listen(ctx context.Context, o Options) (*Server, error) {
	if o.HTTP.Listen == "" {
		o.HTTP.Listen = DefaultListen
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, token: &token{from: o.HTTP.Token}, started: time.Now().UTC()}
	if err := s.token.read(); err != nil {
		return nil, fmt.Errorf("token of the HTTP endpoint: %w", err)
	}
	encrypt, err := encryption(o)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, encrypt != nil); err != nil {
		return nil, err
	}
	if encrypt != nil {
		s.listener = tls.NewListener(s.listener, encrypt)
	}
	s.http = &http.Server{
		Handler:           s.token.guard(readOnly(s.routes())),
		ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerBytes,
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // of strangers' broken handshakes, mostly
	}
	return s, nil
}

// encryption is nil without a certificate.
func encryption(o Options) (*tls.Config, error) {
	if o.HTTP.TLSCert == "" && o.HTTP.TLSKey == "" {
		return nil, nil
	}
	c := &certificate{cert: o.HTTP.TLSCert, key: o.HTTP.TLSKey, log: o.Log}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("certificate of the HTTP endpoint: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"http/1.1"}}, nil
}

// open binds the address. A name is judged by the address that was bound: a
// resolver may think of localhost as it likes.
func (s *Server) open(ctx context.Context, encrypted bool) error {
	closed := encrypted && s.token.wanted()
	address, err := resolve(ctx, s.o.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("HTTP endpoint: %w", err)
	}
	if !address.IP.IsLoopback() && !closed {
		return fmt.Errorf("HTTP endpoint at %s: %w", s.o.HTTP.Listen, ErrOpen)
	}
	listener, err := net.ListenTCP("tcp", address)
	if err != nil {
		return fmt.Errorf("HTTP endpoint: %w", err)
	}
	s.listener = newLimited(listener, maxConnections)
	return nil
}

// resolve gives the address to bind; "" as host is all of the machine's.
func resolve(ctx context.Context, listen string) (*net.TCPAddr, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	if host == "" {
		return &net.TCPAddr{Port: number}, nil
	}
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	best := found[0]
	for _, a := range found { // localhost is 127.0.0.1 to most who scrape
		if a.IP.To4() != nil {
			best = a
			break
		}
	}
	return &net.TCPAddr{IP: best.IP, Zone: best.Zone, Port: number}, nil
}

// Addr is the address that is served: the port that the system has given, where
// the plan's is 0.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Reload reads the token anew. On an error the old one stays good. A certificate
// is read anew by itself when its files change.
func (s *Server) Reload() error { return s.token.read() }

// Close gives the address back without having served; after [Server.Run] it
// does nothing.
func (s *Server) Close() error {
	if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Run answers until ctx ends; then what is being answered is finished, within
// five seconds. It is to be called once.
func (s *Server) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("HTTP endpoint: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	err := s.http.Shutdown(bounded)
	if err != nil {
		err = errors.Join(fmt.Errorf("HTTP endpoint: clients were cut off: %w", err), s.http.Close())
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("HTTP endpoint: %w", served))
	}
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", s.o.Metrics.Handler(s.o.Log))
	mux.HandleFunc("/healthz", s.health)
	mux.HandleFunc("/readyz", s.ready)
	return mux
}

// readOnly refuses all that could be meant to change something.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, code int, body any) {
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		http.Error(w, "cannot be shown as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // a client that went away misses nothing
}

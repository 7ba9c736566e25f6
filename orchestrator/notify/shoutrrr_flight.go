package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
)

// errNotTaken is what the library hears of a call that has failed. It knows no more,
// so that it can neither show more nor take it for what is worth a try of its own.
var errNotTaken = errors.New("the call has failed")

// flight is one message under way through the library. The library knows no context,
// follows redirects, trusts some answers, and tells of failures in words of each
// service's own, or not at all. So what it calls, it calls through the flight, which
// bounds the calls and keeps what has really happened.
type flight struct {
	ctx  context.Context
	next http.RoundTripper
	keys *keys // of the flight alone: it adds to them

	calls  int
	failed error // of the first call that has failed
}

// RoundTrip carries out a call. An answer that is no success is a failure.
func (f *flight) RoundTrip(request *http.Request) (*http.Response, error) {
	f.calls++
	f.hideOf(request)
	answer, err := f.next.RoundTrip(request.WithContext(f.ctx))
	if err != nil {
		f.fail(fmt.Errorf("%s: %w", request.Method, bare(err)))
		return nil, errNotTaken
	}
	if answer.StatusCode >= 200 && answer.StatusCode <= 299 {
		return answer, nil
	}
	said, _ := io.ReadAll(answer.Body) // bounded by what is next; read as far as it is wanted
	_ = answer.Body.Close()
	f.fail(judge(answer.StatusCode, answer.Header, f.keys.shown(string(said))))
	return nil, errNotTaken
}

func (f *flight) fail(err error) {
	if f.failed == nil {
		f.failed = err
	}
}

// hideOf hides what a call carries that is not in the channel's address, such as a
// token that a login has brought.
func (f *flight) hideOf(request *http.Request) {
	parts := []string{request.URL.String(), request.URL.RequestURI()}
	for _, values := range request.URL.Query() {
		parts = append(parts, values...)
	}
	for _, name := range []string{"Authorization", "X-Gotify-Key"} {
		parts = append(parts, strings.Fields(request.Header.Get(name))...)
	}
	for _, part := range parts {
		if len(part) >= minPart {
			f.keys.add(part)
		}
	}
}

// throughFlight has a service of the library call through the flight, where it has a
// client of its own. The others use the standard one; see [dispatcher].
func throughFlight(service any, f *flight) {
	switch s := service.(type) {
	case interface{ SetHTTPClient(client *http.Client) }:
		s.SetHTTPClient(&http.Client{Transport: f})
	case interface{ GetHTTPClient() *http.Client }:
		if client := s.GetHTTPClient(); client != nil {
			client.Transport = f
		}
	}
}

// dispatcher stands where net/http's standard transport is, for most services of the
// library call through that and nothing else can be given to them. Calls of a
// goroutine that has a flight go through the flight; all others go on as ever.
type dispatcher struct {
	*http.Transport
	flights sync.Map // by goroutine
}

var standardCalls = takeStandardCalls()

// takeStandardCalls runs before anything else does, while nobody can be calling.
func takeStandardCalls() *dispatcher {
	d := &dispatcher{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		d.Transport = standard
	}
	http.DefaultTransport = d
	return d
}

// RoundTrip carries out a call.
func (d *dispatcher) RoundTrip(request *http.Request) (*http.Response, error) {
	if f, ok := d.flights.Load(goroutine()); ok {
		return f.(http.RoundTripper).RoundTrip(request)
	}
	return d.Transport.RoundTrip(request)
}

// during does something whose calls, as far as this goroutine makes them, go through
// the flight.
func (d *dispatcher) during(f *flight, do func() error) error {
	self := goroutine()
	d.flights.Store(self, f)
	defer d.flights.Delete(self)
	return do()
}

// goroutine names the goroutine that runs: the beginning of its trace, "goroutine 7".
func goroutine() string {
	var text [40]byte
	number, _, _ := strings.Cut(strings.TrimPrefix(string(text[:runtime.Stack(text[:], false)]), "goroutine "), " ")
	return number
}

package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 256 << 10
	// maxShown is how much of an answer an error shows, in bytes.
	maxShown = 200
	// maxRedirects is how often a call is sent on.
	maxRedirects = 5
)

// newHTTP is a client that keeps no connection (calls are rare), reads no endless
// answer and leaves the host it was told to call for no other.
func newHTTP(o Options) *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if standard, ok := http.DefaultTransport.(interface{ Clone() *http.Transport }); ok {
		transport = standard.Clone()
	}
	transport.DisableKeepAlives = true
	if o.Dial != nil {
		transport.DialContext = o.Dial
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	return &http.Client{
		Transport: &bounded{transport}, Timeout: sendTimeout,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if !mayFollow(next, via) {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// mayFollow says whether a redirect stays what the call was: on its host, in TLS,
// of its method.
func mayFollow(next *http.Request, via []*http.Request) bool {
	first := via[0]
	return next.URL.Host == first.URL.Host && next.URL.Scheme == first.URL.Scheme &&
		next.Method == first.Method && len(via) <= maxRedirects
}

// bounded ends answers that are too long.
type bounded struct{ next http.RoundTripper }

// RoundTrip carries out a call.
func (b *bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	return answer, nil
}

// call is one HTTP call.
type call struct {
	method, url string
	header      http.Header
	body        any // sent as JSON, unless nil; []byte as it is
}

// do carries out a call, and is an error unless the answer is that it went well.
func do(ctx context.Context, client *http.Client, k *keys, c call) error {
	var content io.Reader = http.NoBody
	switch body := c.body.(type) {
	case nil:
	case []byte:
		content = bytes.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return lasting("writing down the message: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, c.method, c.url, content)
	if err != nil {
		return lasting("making the call: %w", bare(err))
	}
	for name, values := range c.header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "drover")
	if c.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", c.method, bare(err))
	}
	defer func() { _ = answer.Body.Close() }() // read as far as it is wanted
	said, _ := io.ReadAll(answer.Body)         // bounded by the client
	return judge(answer.StatusCode, answer.Header, k.shown(string(said)))
}

// judge says what a status means for the message. A client's fault lasts, a
// server's may pass.
func judge(status int, header http.Header, shown string) error {
	text := fmt.Sprintf("answered %d %s", status, http.StatusText(status))
	if shown != "" {
		text += ": " + shown
	}
	switch {
	case status >= 200 && status <= 299:
		return nil
	case status == http.StatusTooManyRequests:
		return &busyError{retryAfter(header)}
	case status >= 300 && status <= 399:
		return lasting("answered %d: redirects to another place are not followed: give the address that it leads to", status)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return fmt.Errorf("%s", text)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return lasting("%s; check the key that the plan gives, and that it is still good", text)
	case status == http.StatusNotFound, status == http.StatusGone:
		return lasting("%s; check the address that the plan gives", text)
	}
	return lasting("%s", text)
}

// retryAfter reads the header of that name, in seconds; a date is not read.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

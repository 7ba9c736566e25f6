package orchestrator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
)

const (
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 64 << 10
	// maxRedirects is how often a call is sent on.
	maxRedirects = 5
)

// runHookCall carries out a hook that is an HTTP call. The facts are its body;
// a GET has none, because a body means nothing there and some servers refuse
// it. A redirect is followed on the same host only, and never where the method
// would become another: the call would seem to succeed with nothing done.
func runHookCall(ctx context.Context, h *plans.Hook, facts *HookFacts) (HookResult, error) {
	call := h.HTTP
	failed := HookResult{Code: -1}
	request, hidden, err := hookRequest(call, facts)
	if err != nil {
		return failed, err
	}
	what := request.Method + " " + shownURL(request.URL)
	limit := fmt.Errorf("%w (%s)", errHookTimeout, h.Timeout)
	timed, cancel := context.WithTimeoutCause(ctx, h.Timeout.Std(), limit)
	defer cancel()

	transport := hookTransport()
	defer transport.CloseIdleConnections()
	var stayed string // why a redirect was not followed
	client := &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if stayed = refuseRedirect(call, next, via); stayed != "" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	answer, err := client.Do(request.WithContext(timed))
	if err != nil {
		return failed, fmt.Errorf("%s: %w", what, callError(timed, err, hidden))
	}
	defer func() { _ = answer.Body.Close() }() // read as far as it is wanted
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	result := HookResult{Code: -1, Status: answer.StatusCode, Output: shownAnswer(body, hidden)}
	// The status is the answer; only a hook's own end cuts it short.
	if err != nil && timed.Err() != nil {
		return result, fmt.Errorf("%s: %w", what, callError(timed, err, hidden))
	}
	if expected(call, answer.StatusCode) {
		return result, nil
	}
	err = fmt.Errorf("%s: answered %d %s", what, answer.StatusCode, http.StatusText(answer.StatusCode))
	if call.Expect != 0 {
		err = fmt.Errorf("%w, not %d", err, call.Expect)
	}
	if stayed != "" {
		err = fmt.Errorf("%w; %s", err, stayed)
	}
	return result, withLastLine(err, result.Output)
}

func expected(call *plans.HTTPCall, status int) bool {
	if call.Expect != 0 {
		return status == call.Expect
	}
	return status >= 200 && status <= 299
}

// hookRequest makes the request, and the list of what must not be shown of it.
func hookRequest(call *plans.HTTPCall, facts *HookFacts) (*http.Request, secrets, error) {
	method := cmp.Or(call.Method, http.MethodPost)
	var body io.Reader = http.NoBody
	if method != http.MethodGet {
		text, err := json.Marshal(facts)
		if err != nil {
			return nil, nil, fmt.Errorf("writing down the facts: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, call.URL, body)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("User-Agent", "drover")
	if method != http.MethodGet {
		request.Header.Set("Content-Type", "application/json")
	}
	hidden := slices.Clone(facts.hidden)
	for _, name := range slices.Sorted(maps.Keys(call.Headers)) {
		value := call.Headers[name]
		text, err := value.Reveal()
		if err != nil {
			return nil, nil, fmt.Errorf("header %s: %w", name, err)
		}
		hidden.add(text, value.Secret.IsSet())
		if strings.EqualFold(name, "Host") { // net/http takes it from elsewhere
			request.Host = text
			continue
		}
		request.Header.Set(name, text)
	}
	return request, hidden, nil
}

// hookTransport is the standard one, but keeps no connection: calls are rare.
func hookTransport() *http.Transport {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if standard, ok := http.DefaultTransport.(interface{ Clone() *http.Transport }); ok {
		transport = standard.Clone()
	}
	transport.DisableKeepAlives = true
	return transport
}

// refuseRedirect says why a redirect is not followed, or nothing.
func refuseRedirect(call *plans.HTTPCall, next *http.Request, via []*http.Request) string {
	first := via[0]
	switch {
	case call.Expect >= 300 && call.Expect <= 399:
		return "the redirect is the answer"
	case next.URL.Host != first.URL.Host:
		return "redirects to another host are not followed"
	case first.URL.Scheme == "https" && next.URL.Scheme != "https":
		return "redirects out of TLS are not followed"
	case next.Method != first.Method:
		return fmt.Sprintf("the redirect would make it a %s", next.Method)
	case len(via) > maxRedirects:
		return fmt.Sprintf("more than %d redirects", maxRedirects)
	}
	return ""
}

// callError says why there was no whole answer.
func callError(ctx context.Context, err error, hidden secrets) error {
	if ctx.Err() != nil {
		return contextCause(ctx)
	}
	// net/http's own error holds the address with its query, and after a
	// redirect one that the server has chosen.
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if text := hidden.from(cleaned(err.Error())); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// shownURL is an address without its query, which people put keys into.
func shownURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return shown.String()
}

// shownAnswer is the end of an answer without secrets that the server has sent
// back.
func shownAnswer(body []byte, hidden secrets) string {
	text := string(body)
	if len(body) == maxAnswer {
		text = hidden.withoutBegun(text)
	}
	return lastBytes(hidden.from(cleaned(hidden.from(text))), maxOutput)
}

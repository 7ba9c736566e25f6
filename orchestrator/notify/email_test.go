package notify

import (
	"bytes"
	"crypto/x509"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

func mailChannel(address string) plans.Channel {
	return plans.Channel{
		Name: "mail", Type: plans.ChannelEmail, SMTP: address,
		From: "Drover <drover@example.com>", Target: "ops@example.com, On Call <call@example.org>",
	}
}

// readMail parses a mail, and its body.
func readMail(t testing.TB, text string) (mail.Header, string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, strings.ReplaceAll(string(body), "\r\n", "\n")
}

// TestEmailThread sends what happens to one incident as one thread.
func TestEmailThread(t *testing.T) {
	s := newMailServer(t)
	c := opened(t, mailChannel(s.address), Options{
		Now:   func() time.Time { return began },
		Links: func(alert.Message) []Link { return []Link{{"Runbook", "https://example.com/r"}} },
	})
	m := splitBrain()
	first := sent(t, c, m, "")
	again := sent(t, c, m, "") // the same message, tried twice
	m.Kind, m.At = alert.Resolved, m.At.Add(time.Hour)
	last := sent(t, c, m, first)
	mails := s.got()
	if len(mails) != 3 || first == "" || again != first || last != first {
		t.Fatalf("%d mails, receipts %q, %q, %q", len(mails), first, again, last)
	}
	if mails[0].from != "FROM:<drover@example.com> BODY=8BITMIME" ||
		strings.Join(mails[0].to, " ") != "TO:<ops@example.com> TO:<call@example.org>" {
		t.Errorf("envelope: %+v", mails[0])
	}
	h, body := readMail(t, mails[0].text)
	if h.Get("Message-ID") != string(first) || h.Get("In-Reply-To") != "" || h.Get("References") != "" ||
		h.Get("Subject") != "[drover] plan two-way: split-brain at b" || h.Get("Importance") != "high" ||
		h.Get("Date") != "Sat, 28 Nov 2026 12:00:00 +0000" || h.Get("From") != `"Drover" <drover@example.com>` ||
		h.Get("To") != `<ops@example.com>, "On Call" <call@example.org>` {
		t.Errorf("headers: %v", h)
	}
	if want := Describe(splitBrain()) + "Runbook: https://example.com/r\n"; body != want {
		t.Errorf("body:\n%s\nwant:\n%s", body, want)
	}
	h, body = readMail(t, mails[2].text)
	if h.Get("Message-ID") == string(first) || h.Get("In-Reply-To") != string(first) || h.Get("References") != string(first) ||
		h.Get("Subject") != "Re: [drover] plan two-way: split-brain at b" || !strings.HasPrefix(body, "RESOLVED: ") {
		t.Errorf("headers: %v, body: %s", h, body)
	}
	other := splitBrain()
	other.ID += "2"
	if receipt := sent(t, c, other, ""); receipt == first {
		t.Error("two incidents have one thread")
	}
}

// TestEmailInjection puts line ends everywhere.
func TestEmailInjection(t *testing.T) {
	s := newMailServer(t)
	c := opened(t, mailChannel(s.address), Options{})
	evil := "x\r\nBcc: evil@example.com\r\n\r\n.\r\nMAIL FROM:<evil@example.com>\n.\n"
	m := splitBrain()
	m.ID, m.Plan, m.Code, m.Site, m.What, m.Next = evil, evil, evil, evil+"ä", evil, evil
	m.Severity, m.Acknowledged, m.Worst, m.Details = alert.Severity(evil), evil, []string{evil}, []alert.Detail{{Name: evil, Text: evil}}
	m.Asks.Options = []string{evil}
	sent(t, c, m, alert.Receipt("<drover.00@x>\r\nBcc: evil@example.com"))
	mails := s.got()
	if len(mails) != 1 || len(mails[0].to) != 2 {
		t.Fatalf("mails: %+v", mails)
	}
	h, body := readMail(t, mails[0].text)
	for name := range h {
		if strings.EqualFold(name, "Bcc") {
			t.Error("a text made a header")
		}
	}
	if h.Get("References") != "" || !strings.Contains(body, "MAIL FROM:<evil@example.com>") {
		t.Errorf("headers: %v, body: %s", h, body)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil || !strings.Contains(subject, "ä") || len(subject) > maxSubject+len("Re: ") {
		t.Errorf("subject: %q, %v", subject, err)
	}
	for l := range strings.SplitSeq(mails[0].text, "\r\n") {
		if len(l) > 998 || strings.ContainsAny(l, "\r\n") {
			t.Errorf("line of %d bytes: %q", len(l), l)
		}
	}
}

// TestEmailLogin says when the password is sent: in TLS, or to this machine.
func TestEmailLogin(t *testing.T) {
	for _, c := range []struct {
		name     string
		startTLS bool
		auth     string
		trusted  bool
		password string
		want     string // of the error; "" is none
		lasting  bool
		tls      bool
	}{
		{name: "plain in TLS", startTLS: true, auth: "LOGIN PLAIN", trusted: true, password: "p4ss", tls: true},
		{name: "login in TLS", startTLS: true, auth: "LOGIN", trusted: true, password: "p4ss", tls: true},
		{name: "plain on loopback", auth: "PLAIN", password: "p4ss"},
		{name: "refused", auth: "PLAIN", password: "wr0ng", lasting: true, want: "refuses the login: 535 5.7.8 not you: drover <secret> <secret>: check login and password"},
		{name: "no method", auth: "CRAM-MD5", password: "p4ss", lasting: true, want: "takes no login by PLAIN or LOGIN"},
		{name: "no login", password: "p4ss", lasting: true, want: "takes no login by PLAIN or LOGIN"},
		{name: "unknown authority", startTLS: true, auth: "PLAIN", password: "p4ss", want: "TLS with the mail server: tls: failed to verify certificate"},
	} {
		s := newMailServer(t)
		s.startTLS, s.auth, s.password = c.startTLS, c.auth, "p4ss"
		o := Options{Roots: x509.NewCertPool()}
		if c.trusted {
			o.Roots = s.roots
		}
		channel := mailChannel(s.address)
		channel.Login, channel.Secret = "drover", kept(t, c.password)
		_, err := opened(t, channel, o).Send(t.Context(), splitBrain(), "")
		mails := s.got()
		if c.want == "" && (err != nil || len(mails) != 1) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || isPermanent(err) != c.lasting || len(mails) != 0) {
			t.Errorf("%s: %v (lasting: %v), not %q (%v)", c.name, err, isPermanent(err), c.want, c.lasting)
		}
		if c.tls != strings.Contains(s.said(), "tls AUTH") || c.tls == strings.Contains(s.said(), "\nAUTH") && c.want == "" {
			t.Errorf("%s: said:\n%s", c.name, s.said())
		}
	}
}

// TestEmailNoPasswordInClear calls a server that is not on loopback as far as the
// channel can tell.
func TestEmailNoPasswordInClear(t *testing.T) {
	s := newMailServer(t)
	s.auth, s.password = "PLAIN", "p4ss"
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	channel := mailChannel("0.0.0.0:" + port) // leads to this machine, but is no loopback address
	channel.Login, channel.Secret = "drover", kept(t, "p4ss")
	_, err = opened(t, channel, Options{}).Send(t.Context(), splitBrain(), "")
	if err == nil || !isPermanent(err) || !strings.Contains(err.Error(), "offers no TLS") || strings.Contains(s.said(), "AUTH") {
		t.Errorf("%v; said:\n%s", err, s.said())
	}
	channel.Login, channel.Secret = "", plans.Secret{}
	sent(t, opened(t, channel, Options{}), splitBrain(), "") // nothing to hide
}

func TestEmailRefusals(t *testing.T) {
	for _, c := range []struct {
		begin, answer string
		lasting       bool
		want          string
		mails         int
	}{
		{"MAIL", "550 no", true, "email channel mail: the mail server refuses the sender: 550 no: check from", 0},
		{"MAIL", "451 later", false, "does not take the sender for now: 451 later", 0},
		{"RCPT", "550 unknown", true, "refuses the addressee ops@example.com: 550 unknown: check target", 0},
		{"RCPT", "450 grey", false, "does not take the addressee ops@example.com for now: 450 grey", 0},
		{"RCPT TO:<ops@", "550 unknown", false, "", 1},
		{"DATA", "554 spam", true, "refuses the mail: 554 spam", 0},
		{"EHLO", "421 busy", false, "does not take the greeting for now: 421 busy", 0},
	} {
		s := newMailServer(t)
		s.refuse[c.begin] = c.answer
		if c.begin == "EHLO" {
			s.refuse["HELO"] = c.answer
		}
		var log bytes.Buffer
		channel := opened(t, mailChannel(s.address), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		_, err := channel.Send(t.Context(), splitBrain(), "")
		mails := s.got()
		if len(mails) != c.mails || isPermanent(err) != c.lasting || (err == nil) != (c.want == "") {
			t.Errorf("%s %s: %v (lasting: %v), %d mails", c.begin, c.answer, err, isPermanent(err), len(mails))
		}
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, not %q", c.begin, c.answer, err, c.want)
		}
		if err == nil && !strings.Contains(log.String(), "ops@example.com") {
			t.Errorf("nobody hears of who gets no mail: %s", &log)
		}
	}
}

func TestEmailNoServer(t *testing.T) {
	s := newMailServer(t)
	address := s.address
	listener, err := net.Listen("tcp", "127.0.0.1:0") // says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	before := sendTimeout
	sendTimeout = 100 * time.Millisecond
	t.Cleanup(func() { sendTimeout = before })
	_, err = opened(t, mailChannel(listener.Addr().String()), Options{}).Send(t.Context(), splitBrain(), "")
	if err == nil || isPermanent(err) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("a silent server: %v", err)
	}
	host, _, _ := net.SplitHostPort(address)
	_, err = opened(t, mailChannel(net.JoinHostPort(host, "1")), Options{}).Send(t.Context(), splitBrain(), "")
	if err == nil || isPermanent(err) || !strings.Contains(err.Error(), "calling the mail server") {
		t.Errorf("no server: %v", err)
	}
}

package notify

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// mailServer is a small SMTP server on loopback.
type mailServer struct {
	address string
	roots   *x509.CertPool
	cert    tls.Certificate

	startTLS bool
	auth     string            // methods offered, "" for none
	password string            // that it takes
	refuse   map[string]string // answers by the beginning of a command

	mu    sync.Mutex
	mails []sentMail
	lines []string // all that was said to it, "tls " before what was in TLS
}

type sentMail struct {
	from string
	to   []string
	text string
}

func newMailServer(t testing.TB) *mailServer {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	web.Close()
	s := &mailServer{cert: web.TLS.Certificates[0], roots: x509.NewCertPool(), refuse: map[string]string{}}
	s.roots.AddCert(web.Certificate())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	var served sync.WaitGroup
	t.Cleanup(served.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() { s.serve(conn) })
		}
	})
	return s
}

func (s *mailServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	mode := ""
	in := bufio.NewReader(conn)
	answer := func(text string) { _, _ = fmt.Fprintf(conn, "%s\r\n", text) }
	read := func() (string, bool) {
		text, err := in.ReadString('\n')
		text = strings.TrimRight(text, "\r\n")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, mode+text)
		return text, err == nil
	}
	answer("220 fake")
	var m sentMail
	for {
		text, ok := read()
		if !ok {
			return
		}
		if refusal := s.refusal(text); refusal != "" {
			answer(refusal)
			continue
		}
		verb, rest, _ := strings.Cut(text, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			answer("250-fake")
			if s.startTLS && mode == "" {
				answer("250-STARTTLS")
			}
			if s.auth != "" {
				answer("250-AUTH " + s.auth)
			}
			answer("250 8BITMIME")
		case "STARTTLS":
			answer("220 go")
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.cert}})
			in, mode = bufio.NewReader(conn), "tls "
		case "AUTH":
			answer(s.login(rest, answer, read))
		case "MAIL":
			m = sentMail{from: rest}
			answer("250 ok")
		case "RCPT":
			m.to = append(m.to, rest)
			answer("250 ok")
		case "DATA":
			answer("354 go")
			for {
				text, ok := read()
				if !ok {
					return
				}
				if text == "." {
					break
				}
				m.text += strings.TrimPrefix(text, ".") + "\r\n"
			}
			s.mu.Lock()
			s.mails = append(s.mails, m)
			s.mu.Unlock()
			answer("250 ok")
		case "QUIT":
			answer("221 bye")
			return
		default:
			answer("502 what?")
		}
	}
}

func (s *mailServer) refusal(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for begin, answer := range s.refuse {
		if strings.HasPrefix(text, begin) {
			return strings.ReplaceAll(answer, "SAID", text)
		}
	}
	return ""
}

// login returns the answer to AUTH.
func (s *mailServer) login(rest string, answer func(string), read func() (string, bool)) string {
	method, first, _ := strings.Cut(rest, " ")
	plain := func(text string) string {
		text = strings.TrimSpace(text)
		got, _ := base64.StdEncoding.DecodeString(text)
		return string(got)
	}
	var got string
	switch method {
	case "PLAIN":
		got = plain(first)
	case "LOGIN":
		for _, ask := range []string{"Username:", "Password:"} {
			answer("334 " + base64.StdEncoding.EncodeToString([]byte(ask)))
			text, _ := read()
			got += "\x00" + plain(text)
		}
	}
	if got == "\x00drover\x00"+s.password {
		return "235 ok"
	}
	return "535 5.7.8 not you: " + strings.ReplaceAll(got, "\x00", " ") + " " + first
}

func (s *mailServer) got() []sentMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	mails := s.mails
	s.mails = nil
	return mails
}

func (s *mailServer) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

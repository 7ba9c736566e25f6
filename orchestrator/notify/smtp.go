package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"time"
)

// portTLS is where mail servers speak TLS from the first byte on.
const portTLS = "465"

// deliver hands a mail to the server, for all addressees at once. An addressee
// that the server refuses does not keep the others from theirs.
func (s *emailSender) deliver(ctx context.Context, k *keys, text []byte) error {
	client, done, err := s.connect(ctx, k)
	if err != nil {
		return err
	}
	defer done()
	secure, err := s.greet(client, k)
	if err != nil {
		return err
	}
	if s.login != "" || k.secret != "" {
		if err := s.authenticate(client, k, secure); err != nil {
			return err
		}
	}
	if err := client.Mail(s.from.Address); err != nil {
		return k.smtpError("sender", err, "check from, and what senders the mail server takes")
	}
	if err := s.addressees(client, k); err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return k.smtpError("mail", err, "ask who runs the mail server")
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("sending the mail: %w", err)
	}
	if err := w.Close(); err != nil {
		return k.smtpError("mail", err, "ask who runs the mail server")
	}
	_ = client.Quit() // the server has the mail
	return nil
}

// connect calls the server. No step outlives the context.
func (s *emailSender) connect(ctx context.Context, k *keys) (*smtp.Client, func(), error) {
	dial := s.o.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return nil, nil, fmt.Errorf("calling the mail server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	done := func() {
		stop()
		_ = conn.Close()
	}
	outer := conn
	if s.port == portTLS {
		outer = tls.Client(conn, s.tls())
	}
	client, err := smtp.NewClient(outer, s.host)
	if err != nil {
		done()
		return nil, nil, k.smtpError("call", err, "check smtp")
	}
	return client, done, nil
}

func (s *emailSender) tls() *tls.Config {
	return &tls.Config{ServerName: s.host, RootCAs: s.o.Roots, MinVersion: tls.VersionTLS12}
}

// greet says hello, and makes the connection a secure one where the server can.
// It says whether nobody can listen.
func (s *emailSender) greet(client *smtp.Client, k *keys) (secure bool, err error) {
	if err := client.Hello(helloName()); err != nil {
		return false, k.smtpError("greeting", err, "check smtp")
	}
	if s.port == portTLS {
		return true, nil
	}
	if ok, _ := client.Extension("STARTTLS"); ok {
		if err := client.StartTLS(s.tls()); err != nil {
			return false, fmt.Errorf("TLS with the mail server: %w", err)
		}
		return true, nil
	}
	return isLoopback(s.host), nil
}

func (s *emailSender) authenticate(client *smtp.Client, k *keys, secure bool) error {
	if !secure {
		return lasting("the mail server offers no TLS, and the password is not sent without: " +
			"give the port of one that does, or no login")
	}
	ok, offered := client.Extension("AUTH")
	methods := strings.Fields(strings.ToUpper(offered))
	var how smtp.Auth
	for _, method := range methods {
		switch {
		case method == "PLAIN":
			how = &plainAuth{s.login, k.secret}
		case method == "LOGIN" && how == nil:
			how = &loginAuth{login: s.login, password: k.secret}
		}
	}
	if !ok || how == nil {
		return lasting("the mail server takes no login by PLAIN or LOGIN: give one that does, or no login")
	}
	if err := client.Auth(how); err != nil {
		return k.smtpError("login", err, "check login and password")
	}
	return nil
}

func (s *emailSender) addressees(client *smtp.Client, k *keys) error {
	var refused []error
	for _, to := range s.to {
		if err := client.Rcpt(to.Address); err != nil {
			refused = append(refused, k.smtpError("addressee "+to.Address, err, "check target"))
		}
	}
	if len(refused) == len(s.to) {
		return refused[0]
	}
	for _, err := range refused {
		s.o.log().Warn("a mail is not sent to one of its addressees", "error", k.hide(line(err.Error())))
	}
	return nil
}

// smtpError says what a server's refusal means: codes from 500 on last.
func (k *keys) smtpError(what string, err error, next string) error {
	var answer *textproto.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if answer.Code >= 500 {
		return lasting("the mail server refuses the %s: %d %s: %s", what, answer.Code, k.shown(answer.Msg), next)
	}
	return fmt.Errorf("the mail server does not take the %s for now: %d %s", what, answer.Code, k.shown(answer.Msg))
}

// plainAuth is the PLAIN of RFC 4616. That of net/smtp looks itself whether the
// connection is secure, and knows no loopback but by three names.
type plainAuth struct{ login, password string }

// Start sends it all.
func (a *plainAuth) Start(*smtp.ServerInfo) (string, []byte, error) {
	return "PLAIN", []byte("\x00" + a.login + "\x00" + a.password), nil
}

// Next has nothing more to say.
func (a *plainAuth) Next(_ []byte, more bool) ([]byte, error) {
	if more {
		return nil, errors.New("the server asks for more than a login by PLAIN has")
	}
	return nil, nil
}

// loginAuth is the LOGIN that some servers have instead.
type loginAuth struct {
	login, password string
	said            int
}

// Start names the method.
func (a *loginAuth) Start(*smtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }

// Next sends the name, then the password.
func (a *loginAuth) Next(_ []byte, more bool) ([]byte, error) {
	a.said++
	switch {
	case !more:
		return nil, nil
	case a.said == 1:
		return []byte(a.login), nil
	case a.said == 2:
		return []byte(a.password), nil
	}
	return nil, errors.New("the server asks for more than a login by LOGIN has")
}

var hostRE = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

func helloName() string {
	if name, err := os.Hostname(); err == nil && hostRE.MatchString(name) {
		return name
	}
	return "localhost"
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

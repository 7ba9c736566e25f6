package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// maxSubject is how long a subject may be before it is encoded, in bytes.
const maxSubject = 200

// emailSender makes one thread of mails of an incident.
type emailSender struct {
	o     Options
	from  *mail.Address
	to    []*mail.Address
	host  string // of the mail server
	port  string
	login string
}

func newEmailSender(c plans.Channel, o Options) (*emailSender, error) {
	s := &emailSender{o: o, login: c.Login}
	var err error
	if s.from, err = mail.ParseAddress(c.From); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if s.to, err = mail.ParseAddressList(c.Target); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	if s.host, s.port, err = net.SplitHostPort(c.SMTP); err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	return s, nil
}

// send sends a mail. The receipt is the Message-ID of the incident's first one.
func (s *emailSender) send(ctx context.Context, k *keys, m alert.Message, last alert.Receipt) (alert.Receipt, error) {
	first := string(last)
	if !idRE.MatchString(first) {
		first = ""
	}
	id, text := s.compose(m, first)
	if err := s.deliver(ctx, k, text); err != nil {
		return "", err
	}
	if first == "" {
		return alert.Receipt(id), nil
	}
	return last, nil
}

// idRE is what a Message-ID of ours looks like.
var idRE = regexp.MustCompile(`^<drover\.[0-9a-f]{32}@[A-Za-z0-9.-]+>$`)

// compose writes a mail and its Message-ID. Each try to send a message has the
// same one, so that mail servers and readers can tell a mail that comes twice.
func (s *emailSender) compose(raw alert.Message, first string) (id string, text []byte) {
	m := cleaned(raw)
	id = s.messageID(raw)
	var b bytes.Buffer
	// No value may hold a line end: then it would be read as another header.
	header := func(name, value string) { _, _ = fmt.Fprintf(&b, "%s: %s\r\n", name, line(value)) }
	header("From", s.from.String())
	var to []string
	for _, address := range s.to {
		to = append(to, address.String())
	}
	header("To", strings.Join(to, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", subject(m, first != "")))
	header("Date", s.o.now().UTC().Format(time.RFC1123Z))
	header("Message-ID", id)
	if first != "" && first != id {
		header("In-Reply-To", first)
		header("References", first)
	}
	if m.Severity == alert.Critical && !over(m) {
		header("Importance", "high")
	}
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	body := Describe(raw)
	for _, l := range s.o.links(raw) {
		body += line(l.Text) + ": " + line(l.URL) + "\n"
	}
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(body, "\n", "\r\n"))) // a buffer takes all
	_ = w.Close()
	return id, b.Bytes()
}

// subject is the same for all that happens to an incident: some readers take a
// mail with another subject out of its thread. The state is the body's first line.
func subject(m alert.Message, follows bool) string {
	text := "[drover] "
	if follows {
		text = "Re: [drover] "
	}
	if m.Kind == alert.Test {
		text += "TEST: "
	}
	return cut(text+about(m), maxSubject)
}

func (s *emailSender) messageID(m alert.Message) string {
	sum := sha256.Sum256([]byte(m.Plan + "\x00" + messageID(m)))
	domain := "drover.invalid"
	if _, after, ok := strings.Cut(s.from.Address, "@"); ok && domainRE.MatchString(after) {
		domain = after
	}
	return "<drover." + hex.EncodeToString(sum[:16]) + "@" + domain + ">"
}

var domainRE = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

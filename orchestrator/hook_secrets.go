package orchestrator

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
)

// secrets are texts that must not be shown.
type secrets []string

const (
	hiddenText = "<secret>"
	// minHidden is the length from which a value that nobody calls a secret is hidden: a
	// short one is no token, but may be part of any word.
	minHidden = 8
	// minKept is the same for what is kept as a secret, but need not be one.
	minKept = 4
	// maxKeyring is how much of a keyring or conf is read, in bytes.
	maxKeyring = 1 << 20
)

// add hides a header's value, and what stands behind a scheme such as Bearer.
// Kept says that the plan keeps it as a secret.
func (s *secrets) add(value string, kept bool) {
	parts := []string{value}
	if scheme, token, ok := strings.Cut(value, " "); ok && scheme != "" {
		parts = append(parts, strings.TrimSpace(token))
	}
	for _, part := range parts {
		if part != "" && (kept || len(part) >= minHidden) {
			*s = append(*s, part)
		}
	}
	s.sort()
}

// addForms hides a secret however a program may write it, and each line of one that has
// several, such as a private key.
func (s *secrets) addForms(secret string) {
	parts := []string{secret}
	if lines := strings.Split(secret, "\n"); len(lines) > 1 {
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= minHidden && !strings.HasPrefix(line, "-----") {
				parts = append(parts, line)
			}
		}
	} else if scheme, token, ok := strings.Cut(secret, " "); ok && scheme != "" && len(strings.TrimSpace(token)) >= minHidden {
		parts = append(parts, strings.TrimSpace(token))
	}
	for _, part := range parts {
		if len(part) < minKept {
			continue
		}
		quoted, _ := json.Marshal(part) // a text can be encoded
		for _, form := range []string{
			part, url.QueryEscape(part), url.PathEscape(part), strings.Trim(string(quoted), `"`), base64.StdEncoding.EncodeToString([]byte(part)),
		} {
			if !slices.Contains(*s, form) {
				*s = append(*s, form)
			}
		}
	}
	s.sort()
}

// sort brings the longest first: what is replaced must not leave the rest of a longer.
func (s *secrets) sort() {
	slices.SortStableFunc(*s, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// planSecrets are what hooks and checks can come to know, and may say again: the secrets
// of the plan, and the cephx keys in the files that it names.
func planSecrets(plan *plans.Plan) secrets {
	var s secrets
	for _, secret := range plan.Secrets() {
		s.addForms(secret)
	}
	users, keyrings := []string{}, []string{}
	for i := range plan.Drills {
		users, keyrings = append(users, plan.Drills[i].User), append(keyrings, plan.Drills[i].Keyring)
	}
	for i := range plan.Sites {
		site := &plan.Sites[i]
		keyrings = append(keyrings, site.Keyring, site.Daemon.Keyring, site.Conf)
		for _, user := range append(users, site.User, site.Daemon.User) {
			keyrings = append(keyrings, confKeyrings(site.Conf, user)...)
		}
	}
	slices.Sort(keyrings)
	for _, file := range slices.Compact(keyrings) {
		for _, key := range optionRE("key").FindAllStringSubmatch(smallFile(file), -1) {
			s.addForms(key[1])
		}
	}
	return s
}

// optionRE finds the values of an option in a conf or keyring. Ceph takes blanks and
// underscores for the same, and what follows ; or # for a remark.
func optionRE(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^[ \t]*` + name + `[ \t]*=[ \t]*"?([^\s";#]+)`)
}

// confKeyrings are the keyrings that a conf names for a user, and those that Ceph looks
// for where it names none (common/options.cc, keyring).
func confKeyrings(conf, user string) (out []string) {
	if user == "" || conf == "" {
		return nil
	}
	expand := strings.NewReplacer("$cluster", strings.TrimSuffix(filepath.Base(conf), ".conf"), "$name", user,
		"$type", "client", "$id", strings.TrimPrefix(user, "client."))
	named := []string{"/etc/ceph/$cluster.$name.keyring", "/etc/ceph/$cluster.keyring"}
	for _, option := range optionRE("keyring").FindAllStringSubmatch(smallFile(conf), -1) {
		named = append(named, strings.Split(option[1], ",")...)
	}
	for _, file := range named {
		out = append(out, expand.Replace(file))
	}
	return out
}

// smallFile is the content of a file; "" where it cannot be read, or is no plain one.
func smallFile(path string) string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	file, err := os.Open(path) // #nosec G304 -- the plan's author names the file
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxKeyring))
	if err != nil {
		return ""
	}
	return string(text)
}

// secretNameRE finds the variables that hold secrets by custom.
var secretNameRE = regexp.MustCompile(`(?i)PASS(WORD|WD|PHRASE)?$|PGPASSWORD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY`)

// withEnv adds what of an environment must not be shown.
func (s secrets) withEnv(env []string) secrets {
	out := slices.Clone(s)
	for _, line := range env {
		if name, value, _ := strings.Cut(line, "="); len(value) >= minHidden && secretNameRE.MatchString(name) && !filepath.IsAbs(value) {
			out.addForms(value)
		}
	}
	return out
}

// from is a text without the secrets.
func (s secrets) from(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, hiddenText)
	}
	return text
}

// withoutBegun is a text that was cut off, without a secret that begins at its
// end and is not whole.
func (s secrets) withoutBegun(text string) string {
	for _, secret := range s {
		for n := min(len(secret)-1, len(text)); n > 0; n-- {
			if strings.HasSuffix(text, secret[:n]) {
				text = text[:len(text)-n]
				break
			}
		}
	}
	return text
}

// withoutEnded is a text whose beginning was cut off, without the rest of a secret that
// it may begin with.
func (s secrets) withoutEnded(text string) string {
	cut := 0
	for _, secret := range s {
		for n := min(len(secret)-1, len(text)); n > cut; n-- {
			if strings.HasPrefix(text, secret[len(secret)-n:]) {
				cut = n
				break
			}
		}
	}
	return text[cut:]
}

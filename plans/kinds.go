package plans

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// kind is a kind of text that a plan holds: what its form is for an editor,
// and what is wrong with a text of another.
type kind struct {
	code    Code
	pattern string                             // for the JSON Schema; may be weaker than check
	check   func(text string) (problem string) // empty: nothing is wrong
	instead string                             // what would be right
}

const (
	namePattern   = `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`
	userPattern   = `^client\.[A-Za-z0-9_][A-Za-z0-9._-]{0,126}$`
	optionPattern = `^[a-z][a-z0-9_ -]{0,126}$`
	unitPattern   = `^[A-Za-z0-9:_.@\\-]{1,200}\.service$`
	suffixPattern = `^[A-Za-z0-9._-]{1,63}$`
)

var (
	nameRE   = regexp.MustCompile(namePattern)
	userRE   = regexp.MustCompile(userPattern)
	optionRE = regexp.MustCompile(optionPattern)
	unitRE   = regexp.MustCompile(unitPattern)
	suffixRE = regexp.MustCompile(suffixPattern)
	envRE    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	headerRE = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
)

// kinds is the table of the kinds of text that the is tags name.
var kinds = map[string]kind{
	"name": {
		code: CodeBadName, pattern: namePattern, check: byPattern(nameRE, "is not a safe name"),
		instead: "use letters, digits, '.', '_' and '-', a letter or digit first, 63 at most",
	},
	"pool": {
		code: CodeBadName, pattern: `^[^/@]{1,255}$`, check: objectName,
		instead: "use a name without '/', '@', control characters, spaces around it or a leading '-'",
	},
	"image": {
		code: CodeBadName, pattern: `^[^/@]{1,255}$`, check: objectName,
		instead: "use a name without '/', '@', control characters, spaces around it or a leading '-'",
	},
	"namespace": {
		code: CodeBadName, pattern: `^[^/@.][^/@]{0,254}$`, check: namespaceName,
		instead: "use a name without '/', '@', control characters, spaces around it or a leading '.' or '-'",
	},
	"glob":          {code: CodeBadGlob, check: globPattern, instead: "write a shell pattern with *, ? or [a-z], such as volume-*; for one image write name"},
	"image-or-glob": {code: CodeBadGlob, check: nameOrGlob, instead: "write an image's name, or a shell pattern such as volume-*"},
	"suffix": {
		code: CodeBadName, pattern: suffixPattern, check: byPattern(suffixRE, "cannot end an image's name"),
		instead: "use letters, digits, '.', '_' and '-', 63 at most",
	},
	"user": {
		code: CodeBadUser, pattern: userPattern, check: byPattern(userRE, "is not a cephx user"),
		instead: "write it with its type, such as client.drover",
	},
	"option": {
		code: CodeBadName, pattern: optionPattern, check: byPattern(optionRE, "is not the name of a Ceph option"),
		instead: "write it as ceph.conf has it, such as rbd_mirror_sync_point_update_age",
	},
	"unit": {
		code: CodeBadName, pattern: unitPattern, check: byPattern(unitRE, "is not the name of a service unit"),
		instead: "write the whole name, such as ceph-rbd-mirror@rbd-mirror.site-b.service",
	},
	"env":      {code: CodeBadName, check: byPattern(envRE, "is not the name of an environment variable"), instead: "use letters, digits and '_'"},
	"header":   {code: CodeBadName, check: byPattern(headerRE, "is not the name of an HTTP header"), instead: "write it as in Content-Type"},
	"path":     {code: CodeBadPath, check: filePath, instead: "write an absolute path, or one that counts from the plan file's folder"},
	"program":  {code: CodeBadProgram, check: program, instead: "write an absolute path, or a bare name that is found in PATH"},
	"line":     {code: CodeBadText, check: oneLine, instead: "write one line without spaces around it"},
	"url":      {code: CodeBadURL, pattern: `^https?://`, check: webAddress, instead: "write it as in https://host:port/path; what is secret in it belongs into a header"},
	"address":  {code: CodeBadAddress, check: hostPort, instead: "write host:port, such as mail.example.org:587"},
	"listen":   {code: CodeBadAddress, check: listenAddress, instead: "write host:port, such as 127.0.0.1:9823"},
	"mail":     {code: CodeBadAddress, check: mailAddress, instead: "write it as in drover@example.org"},
	"interval": {code: CodeBadInterval, pattern: intervalPattern, check: interval, instead: "write a whole number of minutes, hours or days, such as 5m, 1h or 1d"},
	"start":    {code: CodeBadStart, pattern: startPattern, check: byPattern(startRE, "is not a start time"), instead: "write hours and minutes, with a time zone if not UTC, such as 14:00:00-05:00"},
	"cron":     {code: CodeBadCron, check: cronLine, instead: "write five fields (minute hour day month weekday) such as \"30 2 * * 6\", or @hourly, @daily, @every 5m"},
	"zone":     {code: CodeBadZone, check: timeZone, instead: "write a name of the IANA list, such as UTC or Europe/Berlin"},
}

func byPattern(re *regexp.Regexp, problem string) func(string) string {
	return func(text string) string {
		if re.MatchString(text) {
			return ""
		}
		return problem
	}
}

func isControlOrNewline(r rune) bool {
	return unicode.IsControl(r) || isControl(r) || r == unicode.ReplacementChar
}

// objectName checks the name of a pool or image: what rbd's own specs
// (POOL/NAMESPACE/IMAGE@SNAP, tools/rbd/Utils.cc) and command lines can carry.
func objectName(text string) string {
	switch {
	case strings.ContainsAny(text, "/@"):
		return "holds '/' or '@', which separate names in Ceph's specs"
	case strings.ContainsFunc(text, isControlOrNewline):
		return "holds a control character"
	case strings.TrimSpace(text) != text:
		return "begins or ends with a space"
	case strings.HasPrefix(text, "-"):
		return "begins with '-', which commands take for an option"
	case text == "." || text == "..":
		return "is a folder's name"
	case len(text) > 255:
		return "is longer than 255 bytes"
	}
	return ""
}

func namespaceName(text string) string {
	if strings.HasPrefix(text, ".") {
		return "begins with '.', which is kept for Ceph's own"
	}
	return objectName(text)
}

func isGlob(text string) bool { return strings.ContainsAny(text, `*?[\`) }

func globPattern(text string) string {
	if !isGlob(text) {
		return "is no shell pattern"
	}
	if _, err := path.Match(text, ""); errors.Is(err, path.ErrBadPattern) {
		return "is a broken shell pattern"
	}
	return objectName(text)
}

func nameOrGlob(text string) string {
	if isGlob(text) {
		return globPattern(text)
	}
	return objectName(text)
}

func filePath(text string) string {
	switch {
	case strings.ContainsFunc(text, isControlOrNewline):
		return "holds a control character"
	case strings.TrimSpace(text) != text:
		return "begins or ends with a space"
	case strings.HasPrefix(text, "~"):
		return "begins with '~', which only a shell resolves"
	case len(text) > 4096:
		return "is longer than 4096 bytes"
	}
	return ""
}

// program refuses relative paths: the daemon's working directory is not that
// of the person who wrote the plan.
func program(text string) string {
	if strings.Contains(text, "/") && !filepath.IsAbs(text) {
		return "is a relative path"
	}
	if text == "" {
		return "names no program"
	}
	return filePath(text)
}

func oneLine(text string) string {
	if strings.ContainsFunc(text, isControlOrNewline) || strings.TrimSpace(text) != text {
		return "is not one plain line"
	}
	return ""
}

func webAddress(text string) string {
	parsed, err := url.Parse(text)
	switch {
	case err != nil, strings.ContainsFunc(text, isControlOrNewline), strings.Contains(text, " "):
		return "is not a URL"
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return "is not an http or https URL"
	case parsed.Hostname() == "":
		return "names no host"
	case parsed.User != nil:
		return "holds a login"
	}
	return ""
}

func hostPort(text string) string {
	if problem := listenAddress(text); problem != "" {
		return problem
	}
	if host, port, err := net.SplitHostPort(text); err != nil || host == "" || port == "0" {
		return "does not name a host and a port"
	}
	return ""
}

// listenAddress allows what only a listener can use: no host (every address)
// and port 0 (any that is free).
func listenAddress(text string) string {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "is not host:port"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "has no port between 0 and 65535"
	}
	if strings.ContainsFunc(host, func(r rune) bool { return isControlOrNewline(r) || r == ' ' || r == '/' }) {
		return "has no usable host"
	}
	return ""
}

func mailAddress(text string) string {
	if parsed, err := mail.ParseAddress(text); err != nil || parsed.Address == "" || strings.ContainsFunc(text, isControlOrNewline) {
		return "is not a mail address"
	}
	return ""
}

func interval(text string) string {
	switch {
	case !intervalRE.MatchString(text):
		return "is not an interval"
	case Schedule{Every: text}.Interval() == 0:
		return "is no time at all, or more than 292 years"
	}
	return ""
}

// describe says what is wrong with a text of a kind.
func (k kind) describe(text, problem string) string {
	return fmt.Sprintf("%s %s", quote(text), problem)
}

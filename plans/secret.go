package plans

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Secret is a token, password or address that must not be seen. A plan only
// says where it is kept, as one of {file: PATH}, {env: NAME} and
// {credential: NAME} (a systemd credential); [Secret.Reveal] reads it. However
// it is printed, logged or marshalled it shows as <secret>.
//
// The zero Secret is one that the plan does not give.
type Secret struct {
	// kept is a pointer because fmt, for a verb that does not suit a value
	// around the secret, prints what lies inside without asking it; what lies
	// behind a second pointer it then shows as a number.
	kept *place
}

// place is where a secret is kept.
type place struct {
	from  secretSource
	where string
}

// HeaderValue is the value of an HTTP header: a [Secret], or a plain text,
// which is hidden like one all the same.
type HeaderValue struct {
	Secret
	plain *string // a pointer for the same reason as kept
}

// secretSource is the key under which a plan says where a secret is kept.
type secretSource string

const (
	secretFile       secretSource = "file"
	secretEnv        secretSource = "env"
	secretCredential secretSource = "credential"

	hidden = "<secret>"

	// maxSecret bounds what is read: a secret is short, and a wrong path may
	// name a disk.
	maxSecret = 64 << 10

	credentialsDirectory = "CREDENTIALS_DIRECTORY"
)

var secretSources = []secretSource{secretFile, secretEnv, secretCredential}

// The reasons why a secret cannot be read, for [errors.Is].
var (
	ErrSecretUnset = errors.New("the plan gives no secret here")
	ErrSecretEmpty = errors.New("the secret is empty")
	ErrSecretLarge = errors.New("the secret is larger than 64 KiB")
)

// SecretFromFile returns the secret kept in a file.
func SecretFromFile(path string) Secret { return Secret{&place{secretFile, path}} }

// SecretFromEnv returns the secret kept in an environment variable.
func SecretFromEnv(name string) Secret { return Secret{&place{secretEnv, name}} }

// SecretFromCredential returns the secret kept in a systemd credential.
func SecretFromCredential(name string) Secret { return Secret{&place{secretCredential, name}} }

// PlainHeader returns a header value that is written in the plan itself.
func PlainHeader(value string) HeaderValue { return HeaderValue{plain: &value} }

// IsSet says whether the plan gives the secret.
func (s Secret) IsSet() bool { return s.kept != nil }

// IsZero says whether the plan does not give the secret.
func (s Secret) IsZero() bool { return !s.IsSet() }

// Where says where the secret is kept, never what it is: "file /etc/x".
func (s Secret) Where() string {
	if !s.IsSet() {
		return "nowhere"
	}
	return string(s.kept.from) + " " + s.kept.where
}

// Reveal reads the secret, without one line end after it. The caller must keep
// it out of logs and messages. Errors name where it is kept, and wrap the
// cause: [ErrSecretUnset], [ErrSecretEmpty], [ErrSecretLarge] or one of the
// file's.
func (s Secret) Reveal() (string, error) {
	text, err := s.read()
	if err != nil {
		return "", fmt.Errorf("secret in %s: %w", s.Where(), err)
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("secret in %s: %w", s.Where(), ErrSecretEmpty)
	}
	return text, nil
}

func (s Secret) read() (string, error) {
	if !s.IsSet() {
		return "", ErrSecretUnset
	}
	switch s.kept.from {
	case secretEnv:
		return os.Getenv(s.kept.where), nil
	case secretCredential:
		folder := os.Getenv(credentialsDirectory)
		if folder == "" {
			return "", fmt.Errorf("%s is not set: %w", credentialsDirectory, os.ErrNotExist)
		}
		return readSecretFile(filepath.Join(folder, filepath.Base(s.kept.where)))
	default:
		return readSecretFile(s.kept.where)
	}
}

func readSecretFile(path string) (text string, err error) {
	file, err := os.Open(path) // #nosec G304 -- the plan's author names the file
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxSecret {
		return "", ErrSecretLarge
	}
	return string(data), nil
}

// String returns <secret>, or nothing when the plan gives none.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return hidden
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return hidden }

// Format hides the secret from every verb.
func (s Secret) Format(state fmt.State, _ rune) {
	// A fmt.State keeps its own errors; there is nobody to tell here.
	_, _ = io.WriteString(state, s.String())
}

// LogValue hides the secret from log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from every encoder that knows texts.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON hides the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML hides the secret.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// moved returns the secret with another path, when it is kept in a file.
func (s Secret) moved(replace func(string) string) Secret {
	if !s.IsSet() || s.kept.from != secretFile {
		return s
	}
	return SecretFromFile(replace(s.kept.where))
}

// reference is what the plan says of the secret, for the plan's fingerprint.
func (s Secret) reference() string {
	if !s.IsSet() {
		return ""
	}
	return string(s.kept.from) + ":" + s.kept.where
}

// IsSet says whether the header has a value.
func (h HeaderValue) IsSet() bool { return h.Secret.IsSet() || h.plain != nil }

// IsZero says whether the header has no value.
func (h HeaderValue) IsZero() bool { return !h.IsSet() }

// Reveal returns the header's value, read from where it is kept unless it is a
// plain one. Errors are those of [Secret.Reveal].
func (h HeaderValue) Reveal() (string, error) {
	if h.plain != nil {
		return *h.plain, nil
	}
	return h.Secret.Reveal()
}

// String returns <secret>, for a plain value too: people put tokens there.
func (h HeaderValue) String() string { return hidden }

// GoString hides the value from %#v.
func (h HeaderValue) GoString() string { return hidden }

// Format hides the value from every verb.
func (h HeaderValue) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, hidden)
}

// LogValue hides the value from log/slog.
func (h HeaderValue) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the value from every encoder that knows texts.
func (h HeaderValue) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON hides the value.
func (h HeaderValue) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalYAML hides the value.
func (h HeaderValue) MarshalYAML() (any, error) { return hidden, nil }

func (h HeaderValue) reference() string {
	if h.plain != nil {
		return "plain:" + *h.plain
	}
	return h.Secret.reference()
}

// Secrets reads all secrets of the plan, each once, for whoever must hide them. One that
// cannot be read is left out.
func (p *Plan) Secrets() []string {
	found := map[string]bool{}
	collectSecrets(reflect.ValueOf(p).Elem(), func(s Secret) {
		if text, err := s.Reveal(); err == nil {
			found[text] = true
		}
	})
	return slices.Sorted(maps.Keys(found))
}

// collectSecrets goes through a value by the rows of the language.
func collectSecrets(v reflect.Value, found func(Secret)) {
	switch t := v.Type(); {
	case t == headerType:
		found(v.Interface().(HeaderValue).Secret)
	case t == secretType:
		found(v.Interface().(Secret))
	case t.Kind() == reflect.Pointer:
		if !v.IsNil() {
			collectSecrets(v.Elem(), found)
		}
	case isMapping(t):
		for _, f := range fieldsOf(t) {
			collectSecrets(v.Field(f.index), found)
		}
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			collectSecrets(v.Index(i), found)
		}
	case t.Kind() == reflect.Map:
		for _, key := range v.MapKeys() {
			collectSecrets(v.MapIndex(key), found)
		}
	}
}

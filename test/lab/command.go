package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// CommandError says which command failed and what it said.
type CommandError struct {
	Args   []string
	Stderr string
	Err    error // as from os/exec
}

// Error names the command, the cause and the last lines of standard error.
func (e *CommandError) Error() string {
	return fmt.Sprintf("%s: %v: %s", strings.Join(e.Args, " "), e.Err, lastLines(e.Stderr, 5))
}

// Unwrap gives the cause, such as an *exec.ExitError.
func (e *CommandError) Unwrap() error { return e.Err }

// ExitCode is the command's exit code (the errno, for most of Ceph's commands),
// or -1 when it did not exit by itself.
func (e *CommandError) ExitCode() int {
	if exit, ok := e.Err.(*exec.ExitError); ok { //nolint:errorlint // never wrapped: Err is as os/exec gave it
		return exit.ExitCode()
	}
	return -1
}

// User runs plain commands at a site as one cephx user.
type User struct {
	site *Site
	name string
}

// As returns a runner of commands as that user, such as client.drover.
func (s *Site) As(user string) User { return User{site: s, name: user} }

// Ceph runs `ceph` as client.admin and returns its standard output.
func (s *Site) Ceph(ctx context.Context, args ...string) ([]byte, error) {
	return s.As(adminUser).Ceph(ctx, args...)
}

// Rbd runs `rbd` as client.admin and returns its standard output.
func (s *Site) Rbd(ctx context.Context, args ...string) ([]byte, error) {
	return s.As(adminUser).Rbd(ctx, args...)
}

// Rados runs `rados` as client.admin and returns its standard output.
func (s *Site) Rados(ctx context.Context, args ...string) ([]byte, error) {
	return s.As(adminUser).Rados(ctx, args...)
}

// Ceph runs `ceph` and returns its standard output. Errors are *CommandError.
func (u User) Ceph(ctx context.Context, args ...string) ([]byte, error) {
	return u.run(ctx, nil, "ceph", append([]string{"--connect-timeout", "20"}, args...)...)
}

// Rbd runs `rbd` and returns its standard output. Errors are *CommandError.
func (u User) Rbd(ctx context.Context, args ...string) ([]byte, error) {
	return u.run(ctx, nil, "rbd", args...)
}

// RbdInput is Rbd with standard input, for `rbd import -` and the like.
func (u User) RbdInput(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	return u.run(ctx, input, "rbd", args...)
}

// Rados runs `rados` and returns its standard output. Errors are *CommandError.
func (u User) Rados(ctx context.Context, args ...string) ([]byte, error) {
	return u.run(ctx, nil, "rados", args...)
}

// Export writes what an image holds, with zeros where nothing was ever written, to a
// writer as it comes: images are large. Errors are *CommandError.
func (s *Site) Export(ctx context.Context, image string, to io.Writer) error {
	u := s.As(adminUser)
	return s.lab.stream(ctx, nil, to, "rbd", u.args("export", "--no-progress", image, "-")...)
}

func (u User) run(ctx context.Context, input []byte, program string, args ...string) ([]byte, error) {
	return u.site.lab.command(ctx, input, program, u.args(args...)...)
}

// args are those of a command that the user runs.
func (u User) args(args ...string) []string {
	return append([]string{
		"-c", u.site.Conf(), "--cluster", u.site.Name,
		"--name", u.name, "--keyring", u.site.Keyring(u.name),
	}, args...)
}

// commandTime is the longest that a command may take: Ceph's wait for ever for a
// cluster that does not answer.
const commandTime = 5 * time.Minute

// command runs a program to its end, in an environment that says nothing of
// any other Ceph cluster, and kills it when ctx ends or it takes too long.
func (l *Lab) command(ctx context.Context, input []byte, program string, args ...string) ([]byte, error) {
	var stdout bytes.Buffer
	err := l.stream(ctx, input, &stdout, program, args...)
	return stdout.Bytes(), err
}

// stream is command for one whose standard output goes to a writer as it comes.
func (l *Lab) stream(ctx context.Context, input []byte, stdout io.Writer, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = CleanEnv(os.Environ())
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
	cmd.WaitDelay = 30 * time.Second // a large output takes a while on a busy machine
	err := l.spawner.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	if err != nil {
		return &CommandError{
			Args: append([]string{program}, args...), Stderr: stderr.String(), Err: err,
		}
	}
	return nil
}

// CleanEnv returns env without the variables that would turn a Ceph program to
// another cluster.
func CleanEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"CEPH_CONF", "CEPH_ARGS", "CEPH_KEYRING", "CEPH_LIB"}, name)
	})
}

// lastLines returns the last n lines of text that say anything.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

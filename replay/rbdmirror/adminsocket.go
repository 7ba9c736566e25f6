package rbdmirror

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// answerLimit bounds an admin socket's answer, in bytes.
const answerLimit = 64 << 20

// socketPatience is how long a single socket may take to answer while the right
// one is looked for.
const socketPatience = 2 * time.Second

// ErrNoSocket says that no daemon's admin socket answers.
var ErrNoSocket = errors.New("no admin socket of an rbd-mirror daemon")

// ErrRefused says that the daemon answered that it cannot, or does not know the command.
var ErrRefused = errors.New("refused by the daemon")

// ErrNoTarget says that the daemon does not replay that pool or image, or not
// just now: while a replayer starts anew, for about a second, its commands are gone.
var ErrNoTarget = errors.New("no such replayer in the daemon")

// AdminSocket is a daemon's admin socket. Calls end when ctx does.
type AdminSocket struct{ Path string }

// Target is what a command is for: everything (the zero value), one pool
// replayer ([PoolTarget]) or one image ([ImageTarget]).
type Target struct{ words string }

// PoolTarget is the replayer of a pool from a peer, by the peer's site name. A
// pool in a namespace has none of its own.
func PoolTarget(pool, peerSite string) Target { return Target{pool + " " + peerSite} }

// ImageTarget is the replayer of one image: "pool/image" or
// "pool/namespace/image".
func ImageTarget(image string) Target { return Target{image} }

// Status is the daemon's own view, as JSON.
func (a AdminSocket) Status(ctx context.Context, t Target) (json.RawMessage, error) {
	out, err := a.Command(ctx, t.command("status"))
	if err != nil {
		return nil, err
	}
	if !json.Valid(out) {
		return nil, a.fail("rbd mirror status", fmt.Errorf("answer is no JSON: %.80q", out))
	}
	return out, nil
}

// Start starts replay. The daemon acts at once; its report on the image follows
// within half a minute.
func (a AdminSocket) Start(ctx context.Context, t Target) error { return a.order(ctx, "start", t) }

// Stop stops replay until it is started again: also by a restart of the daemon.
func (a AdminSocket) Stop(ctx context.Context, t Target) error { return a.order(ctx, "stop", t) }

// Restart stops and starts replay.
func (a AdminSocket) Restart(ctx context.Context, t Target) error { return a.order(ctx, "restart", t) }

// Flush makes replay write down how far it is.
func (a AdminSocket) Flush(ctx context.Context, t Target) error { return a.order(ctx, "flush", t) }

func (t Target) command(verb string) string {
	return strings.TrimSpace("rbd mirror " + verb + " " + t.words)
}

func (a AdminSocket) order(ctx context.Context, verb string, t Target) error {
	_, err := a.Command(ctx, t.command(verb))
	return err
}

// Commands lists what the daemon answers to, with what it says of each.
func (a AdminSocket) Commands(ctx context.Context) (map[string]string, error) {
	out, err := a.Command(ctx, "help")
	if err != nil {
		return nil, err
	}
	var commands map[string]string
	if err := json.Unmarshal(out, &commands); err != nil {
		return nil, a.fail("help", err)
	}
	return commands, nil
}

// Command sends one command and answers with what comes back. The protocol is
// common/admin_socket.cc's: a JSON object and a zero byte; then four bytes of
// length, big-endian, and as much answer. An error comes as such: a length with
// an "ERROR:" text, or an end without an answer.
func (a AdminSocket) Command(ctx context.Context, prefix string) ([]byte, error) {
	out, err := a.exchange(ctx, prefix)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, a.fail(prefix, err)
	}
	return out, nil
}

func (a AdminSocket) exchange(ctx context.Context, prefix string) ([]byte, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", a.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	// Whatever hangs, ends with ctx.
	release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer release()

	request, err := json.Marshal(map[string]string{"prefix": prefix, "format": "json"})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(request, 0)); err != nil {
		return nil, err
	}
	var header [4]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: no such command", ErrRefused)
		}
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if length > answerLimit {
		return nil, fmt.Errorf("an answer of %d bytes is announced: this is no admin socket", length)
	}
	answer := make([]byte, 0, min(length, 64<<10))
	answer, err = readN(conn, answer, int(length))
	if err != nil {
		return nil, fmt.Errorf("answer cut short: %w", err)
	}
	if text := strings.TrimSpace(string(answer)); strings.HasPrefix(text, "ERROR") {
		if strings.Contains(text, "unknown command") || strings.Contains(text, "no valid command") {
			return nil, fmt.Errorf("%w: %w: %s", ErrRefused, ErrNoTarget, text)
		}
		return nil, fmt.Errorf("%w: %s", ErrRefused, text)
	}
	return answer, nil
}

// readN reads n bytes, growing as they come: a length is only a claim.
func readN(r io.Reader, buf []byte, n int) ([]byte, error) {
	var chunk [32 << 10]byte
	for len(buf) < n {
		got, err := io.ReadFull(r, chunk[:min(len(chunk), n-len(buf))])
		buf = append(buf, chunk[:got]...)
		if err != nil {
			return nil, err
		}
	}
	return buf, nil
}

func (a AdminSocket) fail(prefix string, err error) error {
	return fmt.Errorf("admin socket %s: %s: %w", a.Path, prefix, err)
}

// FindAdminSocket finds, in a folder, the one socket that steers a daemon: it
// knows "rbd mirror status". The daemon opens one for each cluster connection,
// and those of dead daemons stay behind.
func FindAdminSocket(ctx context.Context, folder string) (AdminSocket, error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(folder), socketGlob))
	if err != nil {
		return AdminSocket{}, err
	}
	sort.Slice(paths, func(i, j int) bool { return modified(paths[i]).After(modified(paths[j])) })
	var causes []error
	for _, path := range paths {
		a := AdminSocket{Path: path}
		patience, cancel := context.WithTimeout(ctx, socketPatience)
		commands, err := a.Commands(patience)
		cancel()
		if err != nil {
			causes = append(causes, err)
			continue
		}
		if _, ok := commands["rbd mirror status"]; ok {
			return a, nil
		}
	}
	return AdminSocket{}, replay.OneLine(append([]error{fmt.Errorf("%s: %w", folder, ErrNoSocket)}, causes...)...)
}

func modified(path string) time.Time {
	info, err := os.Lstat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

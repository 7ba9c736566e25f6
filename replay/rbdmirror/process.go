package rbdmirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/drover-io/drover/replay"
)

// pollEvery is how often a process, a lock or a socket is looked at while it is
// waited for.
const pollEvery = 50 * time.Millisecond

// PeerConf is how a cluster is reached by conf file, by its cluster name.
type PeerConf struct {
	Cluster string // name by which peers list it: CLUSTER.conf
	Conf    string // path
	Keyring string // path; empty: as the conf says
	User    string // such as client.admin; needed with Keyring
}

// Process is an rbd-mirror that Drover itself starts, detached: it outlives the
// Drover that started it, and any later one finds it by its pid file.
type Process struct {
	Site string // name in the plan
	Plan string // name of the plan
	// Cluster is the name under which the daemon looks for its conf; empty: the
	// site's name.
	Cluster string
	Conf    string // path of the site's ceph conf
	User    string // cephx user, such as client.rbd-mirror.site-b
	Keyring string // path; empty: as the conf says
	// Peers are the clusters that are peers by conf file. Those by bootstrap
	// token need none.
	Peers []PeerConf
	// Dir is the run folder, of this daemon alone. It is made when missing.
	Dir    string
	Binary string // empty: rbd-mirror, from PATH
	// Options are Ceph options, on top of [DefaultOptions]. They are laid into the
	// conf that the daemon reads: it makes a client of its own for each pool and
	// cluster, and these know the conf and not the daemon's command line
	// (tools/rbd_mirror/PoolReplayer.cc: init_rados).
	Options map[string]string

	// StartTimeout is how long a start is watched (default 5 s): until the admin
	// socket answers, or the process ends.
	StartTimeout time.Duration
	// StopTimeout is how long it has to end by itself before it is killed
	// (default 15 s).
	StopTimeout time.Duration
}

var _ Runner = (*Process)(nil)

// DefaultOptions are what Ceph has otherwise for the daemon.
//
// A demotion reaches a copy in journal mode when rbd-mirror looks for journal
// events the next time, every 5 s by default, and a switchover waits for that. The
// price of a second is one small read a second for each image that is idle.
var DefaultOptions = map[string]string{"rbd_mirror_journal_poll_age": "1"}

// ConfLines are what the daemon's user has in the conf beside what is there,
// sorted, each as NAME = VALUE.
func (p *Process) ConfLines() []string { return lines(p.settings(nil)) }

// settings are the options, those of the plan and of the defaults that the conf
// does not name itself.
func (p *Process) settings(conf []byte) map[string]string {
	all := map[string]string{}
	for name, value := range DefaultOptions {
		if !names(conf, name) {
			all[name] = value
		}
	}
	for name, value := range p.Options {
		all[optionName(name)] = value
	}
	return all
}

// optionName is an option's name with the separators that it has in Ceph's source:
// a conf takes blanks and hyphens too.
func optionName(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || unicode.IsSpace(r) }), "_")
}

// names reports whether a conf sets an option, in whichever section.
func names(conf []byte, option string) bool {
	for line := range strings.Lines(string(conf)) {
		if name, _, ok := strings.Cut(line, "="); ok && optionName(name) == option {
			return true
		}
	}
	return false
}

// lines are the lines of a conf that set options.
func lines(options map[string]string) []string {
	out := make([]string, 0, len(options))
	for _, name := range slices.Sorted(maps.Keys(options)) {
		value := options[name]
		if strings.ContainsAny(value, "#;") && !strings.ContainsRune(value, '"') { // they would begin a comment
			value = `"` + value + `"`
		}
		out = append(out, name+" = "+value)
	}
	return out
}

func (p *Process) fail(op string, err error, hint string) error {
	return &Error{Op: op, Site: p.Site, Err: err, Hint: hint}
}

// complete makes paths absolute and fills in defaults, in a copy.
func (p *Process) complete() (*Process, error) {
	c := *p
	c.Cluster = cmp.Or(c.Cluster, c.Site)
	c.Binary = cmp.Or(c.Binary, "rbd-mirror")
	c.StartTimeout = cmp.Or(c.StartTimeout, 5*time.Second)
	c.StopTimeout = cmp.Or(c.StopTimeout, 15*time.Second)
	if c.Dir == "" || c.Conf == "" || c.User == "" || c.Cluster == "" {
		return nil, p.fail("run rbd-mirror", ErrConf, "a run folder, a conf, a user and a cluster name are needed")
	}
	if strings.ContainsAny(c.Cluster, "/\x00") {
		return nil, p.fail("run rbd-mirror", ErrConf, fmt.Sprintf("%q cannot be a cluster name", c.Cluster))
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, p.fail("run rbd-mirror", fmt.Errorf("%w: %w", ErrFolder, err), "")
	}
	// As the kernel will tell the daemon's working directory.
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	c.Dir = dir
	return &c, nil
}

// args are the options of the daemon. Each of its Ceph contexts opens an admin
// socket, so the path must tell them apart.
func (p *Process) args() []string {
	args := []string{
		"--foreground",
		"--cluster", p.Cluster,
		"--id", strings.TrimPrefix(p.User, "client."),
		"--log-file", filepath.Join(p.Dir, logFile),
		"--admin-socket", filepath.Join(p.Dir, "$pid.$cctid.asok"),
	}
	// What the plan says is said to the daemon itself too: its conf may be another,
	// see layConf.
	for _, name := range slices.Sorted(maps.Keys(p.Options)) {
		args = append(args, "--"+strings.ReplaceAll(optionName(name), "_", "-")+"="+p.Options[name])
	}
	return args
}

// Ensure starts the daemon unless it runs, and watches the start.
func (p *Process) Ensure(ctx context.Context) (Status, error) {
	c, err := p.complete()
	if err != nil {
		return Status{Kind: KindProcess}, err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return Status{Kind: KindProcess}, err
	}
	defer unlock()
	return c.ensure(ctx)
}

func (p *Process) ensure(ctx context.Context) (Status, error) {
	st, _, err := p.look()
	if err != nil || st.Running {
		return st, err
	}
	if err := p.sweep(); err != nil {
		return st, err
	}
	// Before it is laid: what changes in between shows as outdated, not as current.
	contents, err := p.contents()
	if err := cmp.Or(p.prepare(), err); err != nil {
		return st, err
	}
	return p.start(ctx, contents)
}

// Status looks for the daemon.
func (p *Process) Status(context.Context) (Status, error) {
	c, err := p.complete()
	if err != nil {
		return Status{Kind: KindProcess}, err
	}
	st, _, err := c.look()
	return st, err
}

// Stop ends the daemon and removes what it leaves behind but its log.
func (p *Process) Stop(ctx context.Context) error {
	c, err := p.complete()
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return c.stop(ctx)
}

// Remove ends the daemon and removes its folder, log included. It holds the
// lock all the while: whoever waits for it finds a folder that is whole or none.
func (p *Process) Remove(ctx context.Context) error {
	c, err := p.complete()
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.stop(ctx); err != nil {
		return err
	}
	// The lock last: without its file the next Drover no longer waits for this one.
	if err := c.remove([]string{logFile, outputFile, lockFile}); err != nil {
		return err
	}
	// Not RemoveAll: what is not ours stays, and the folder with it; so does one
	// that the next Drover has begun to use.
	err = os.Remove(c.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return c.fail("remove run folder", fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
	}
	return nil
}

// Restart ends and starts the daemon, with the options of now. One that could not
// be started again is left running.
func (p *Process) Restart(ctx context.Context) (Status, error) {
	c, err := p.complete()
	if err != nil {
		return Status{Kind: KindProcess}, err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return Status{Kind: KindProcess}, err
	}
	defer unlock()
	if _, err := c.program(); err != nil {
		return Status{Kind: KindProcess}, err
	}
	if _, err := c.contents(); err != nil {
		return Status{Kind: KindProcess}, err
	}
	if err := c.stop(ctx); err != nil {
		return Status{Kind: KindProcess}, err
	}
	return c.ensure(ctx)
}

// look finds the daemon by its pid file; or, should the Drover that started it
// have died before it wrote one, by its working directory.
func (p *Process) look() (Status, processFacts, error) {
	st := Status{Kind: KindProcess, Folder: p.Dir, Log: filepath.Join(p.Dir, logFile), Detail: "not running"}
	r, err := readRecord(filepath.Join(p.Dir, recordFile))
	if err != nil {
		return st, processFacts{}, p.fail("read pid file", fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
	}
	facts, found, err := p.find(r)
	if err != nil {
		return st, processFacts{}, p.fail("find rbd-mirror", err, "")
	}
	if !found {
		st.Died = r != nil
		return st, processFacts{}, nil
	}
	st.Running, st.PID, st.Detail = true, facts.pid, "running"
	st.Outdated = p.outdated(facts)
	if since, err := startedAt(facts.start); err == nil {
		st.Since = since
	}
	return st, facts, nil
}

// outdated reports whether a daemon would be started otherwise now: with other
// options, of another program, with other confs or keyrings. What cannot be told
// does not count, but for a program that is not there: the restart tells.
func (p *Process) outdated(facts processFacts) bool {
	if len(facts.command) == 0 {
		return false
	}
	if !slices.Equal(facts.command[1:], p.args()) {
		return true
	}
	program, err := p.program()
	if err != nil || program != facts.command[0] && !sameFile(program, facts.command[0]) {
		return true
	}
	if facts.laid == "" {
		return false
	}
	contents, err := p.contents()
	return err == nil && contents != facts.laid
}

// sameFile reports whether two paths lead to one file, as /bin and /usr/bin do.
func sameFile(a, b string) bool {
	one, errOne := os.Stat(a)
	other, errOther := os.Stat(b)
	return errOne == nil && errOther == nil && os.SameFile(one, other)
}

// program is the path of the daemon's program.
func (p *Process) program() (string, error) {
	path, err := exec.LookPath(p.Binary)
	if err != nil {
		return "", p.fail("start rbd-mirror", fmt.Errorf("%w: %w", ErrNoBinary, err), "install it (Debian, Ubuntu: apt-get install rbd-mirror), or choose another run: for the site")
	}
	return path, nil
}

func (p *Process) find(r *record) (processFacts, bool, error) {
	if r != nil {
		alive, err := r.alive()
		if err != nil || alive {
			return processFacts{pid: r.PID, start: r.Start, command: append([]string{r.Binary}, r.Args...), laid: r.Laid}, alive, err
		}
	}
	candidates, err := processesIn(p.Dir)
	if err != nil {
		return processFacts{}, false, err
	}
	for _, c := range candidates {
		if !c.zombie && len(c.command) > 0 && filepath.Base(c.command[0]) == filepath.Base(p.Binary) {
			return c, true, nil
		}
	}
	return processFacts{}, false, nil
}

func (p *Process) start(ctx context.Context, contents string) (Status, error) {
	st := Status{Kind: KindProcess, Folder: p.Dir, Log: filepath.Join(p.Dir, logFile), Detail: "not running"}
	const op = "start rbd-mirror"
	binary, err := p.program()
	if err != nil {
		return st, err
	}
	output, err := os.OpenFile(filepath.Join(p.Dir, outputFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return st, p.fail(op, fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
	}
	defer func() { _ = output.Close() }() // the daemon has its own
	cmd := exec.Command(binary, p.args()...)
	cmd.Dir = p.Dir
	cmd.Env = daemonEnv(os.Environ(), p.Dir)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal's end is not its end
	if err := cmd.Start(); err != nil {
		return st, p.fail(op, err, "")
	}
	// Whoever started it must take its exit status, or it stays a zombie.
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	err = p.recordStart(cmd, contents)
	if errors.Is(err, errGone) {
		return st, p.died(<-ended)
	}
	if err != nil {
		// A daemon that nobody could find again must not run.
		failed := p.fail(op, fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
		return st, replay.OneLine(failed, cmd.Process.Kill(), awaitKilled(ended), p.sweep())
	}
	if err := p.watchStart(ctx, ended); err != nil {
		return st, err
	}
	st, _, err = p.look()
	return st, err
}

// awaitKilled waits for the end of a process that was killed: how it ended is
// known then, so only a failure to wait is an error.
func awaitKilled(ended <-chan error) error {
	err := <-ended
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// daemonEnv is an environment without what would lead Ceph to another conf.
func daemonEnv(env []string, home string) []string {
	kept := slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		return strings.HasPrefix(e, "CEPH_") || strings.HasPrefix(e, "HOME=")
	})
	return append(kept, "HOME="+home)
}

func (p *Process) recordStart(cmd *exec.Cmd, contents string) error {
	facts, err := inspect(cmd.Process.Pid)
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	return writeRecord(filepath.Join(p.Dir, recordFile), record{
		PID: facts.pid, Start: facts.start, Boot: boot, Binary: cmd.Args[0], Args: cmd.Args[1:], Laid: contents,
		Plan: p.Plan, Site: p.Site, Started: time.Now().UTC(),
	})
}

// watchStart waits until the daemon's admin socket is there, which it opens
// once it has read its conf; or until it has ended. One that does neither for
// StartTimeout is on its way: it may be waiting for its cluster.
func (p *Process) watchStart(ctx context.Context, ended <-chan error) error {
	deadline := time.NewTimer(p.StartTimeout)
	defer deadline.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case err := <-ended:
			return p.died(err)
		case <-ctx.Done():
			return p.fail("start rbd-mirror", ctx.Err(), "it goes on starting by itself")
		case <-deadline.C:
			return nil
		case <-poll.C:
			if _, err := FindAdminSocket(ctx, p.Dir); err == nil {
				return nil
			}
		}
	}
}

// died tells why a daemon ended at once: its last words.
func (p *Process) died(exit error) error {
	words := lastLines(filepath.Join(p.Dir, outputFile), 5)
	for _, line := range lastLines(filepath.Join(p.Dir, logFile), 5) {
		if !slices.Contains(words, line) { // it writes its errors to both
			words = append(words, line)
		}
	}
	cause := fmt.Errorf("%w (%s)", ErrDied, cmp.Or(errorText(exit), "exit status 0"))
	hint := "its log is " + filepath.Join(p.Dir, logFile)
	if len(words) > 0 {
		hint = "it said: " + strings.Join(words, " | ") + "; " + hint
	}
	return replay.OneLine(p.fail("start rbd-mirror", cause, hint), p.sweep())
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// lastLines are the last lines of a file that is not longer than it need be.
func lastLines(path string, n int) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	if len(data) > 64<<10 {
		data = data[len(data)-64<<10:]
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-n):]
}

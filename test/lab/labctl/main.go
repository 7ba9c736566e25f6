// Command labctl starts and ends the project's lab, real Ceph clusters on
// loopback, for people: `labctl up`, `labctl down`, `labctl run -- COMMAND`.
//
// It knows the flags and what is printed; how clusters are made is package
// lab's business.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/drover-io/drover/test/lab"
)

const usage = `usage:
  labctl up   [--dir DIR] [--sites N|NAME,NAME…] [--pools NAME,…] [--mirror SITE,…|all] [--store memstore|bluestore]
  labctl down [--dir DIR]
  labctl info [--dir DIR]
  labctl run  [flags of up] -- COMMAND [ARG…]
`

// Exit codes: 0 ok, 1 error, 2 wrong usage; run gives its command's.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	verbs := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"up": up, "down": down, "info": info, "run": run,
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		_, _ = io.WriteString(stderr, usage)
		return 2
	}
	err := verbs[args[0]](ctx, args[1:], stdout, stderr)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage) || errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprintf(stderr, "labctl: %v\n%s", err, usage)
		return 2
	case args[0] == "run" && errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	}
	_, _ = fmt.Fprintf(stderr, "labctl: %v\n", err)
	return 1
}

var errUsage = errors.New("wrong usage")

// options are what up and run take.
type options struct {
	dir, sites, pools, mirror, store string
}

func defineDir(flags *flag.FlagSet, dir *string) {
	flags.StringVar(dir, "dir", filepath.Join(os.TempDir(), "drover-lab"), "folder of the lab")
}

func parse(verb string, args []string, define func(*flag.FlagSet)) ([]string, error) {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	define(flags)
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return flags.Args(), nil
}

func (o *options) define(flags *flag.FlagSet) {
	flags.StringVar(&o.sites, "sites", "2", "how many sites (1 to 4), or their names")
	flags.StringVar(&o.pools, "pools", "rbd", "pools at every site")
	flags.StringVar(&o.mirror, "mirror", "", "sites where the lab itself runs rbd-mirror, or all")
	flags.StringVar(&o.store, "store", string(lab.MemStore), "object store of the OSDs")
}

// lab turns the flags into the package's options.
func (o *options) lab() (lab.Options, error) {
	l := lab.Options{Dir: o.dir, Pools: list(o.pools), Mirrors: list(o.mirror), Store: lab.Store(o.store)}
	numbered := []string{"site-a", "site-b", "site-c", "site-d"}
	switch o.sites {
	case "1", "2", "3", "4":
		l.Sites = numbered[:o.sites[0]-'0']
	default:
		l.Sites = list(o.sites)
	}
	if len(l.Sites) == 0 {
		return l, fmt.Errorf("%w: --sites names no site", errUsage)
	}
	if o.mirror == "all" {
		l.Mirrors = l.Sites
	}
	return l, nil
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

func up(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	rest, err := parse("up", args, func(f *flag.FlagSet) { defineDir(f, &o.dir); o.define(f) })
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: unexpected %q", errUsage, rest[0])
	}
	l, err := o.lab()
	if err != nil {
		return err
	}
	l.Log, l.Detached = stderr, true
	running, err := lab.Start(ctx, l)
	if err != nil {
		return err
	}
	return describe(stdout, running)
}

func down(_ context.Context, args []string, stdout, _ io.Writer) error {
	l, err := open("down", args)
	if err != nil {
		return err
	}
	if err := l.Stop(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "lab in %s ended and removed\n", l.Dir())
	return err
}

func info(_ context.Context, args []string, stdout, _ io.Writer) error {
	l, err := open("info", args)
	if err != nil {
		return err
	}
	return describe(stdout, l)
}

func open(verb string, args []string) (*lab.Lab, error) {
	var dir string
	rest, err := parse(verb, args, func(f *flag.FlagSet) { defineDir(f, &dir) })
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: unexpected %q", errUsage, rest[0])
	}
	return lab.Open(dir)
}

// run boots a lab, runs a command with LAB_DIR in its environment, and ends
// the lab with it.
func run(ctx context.Context, args []string, _, stderr io.Writer) (err error) {
	var o options
	command, err := parse("run", args, func(f *flag.FlagSet) {
		f.StringVar(&o.dir, "dir", "", "folder of the lab")
		o.define(f)
	})
	if err != nil {
		return err
	}
	if len(command) == 0 {
		return fmt.Errorf("%w: no command", errUsage)
	}
	lo, err := o.lab()
	if err != nil {
		return err
	}
	lo.Log = stderr
	l, err := lab.Start(ctx, lo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Stop()) }()
	plan, err := writePlan(l)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(lab.CleanEnv(os.Environ()), "LAB_DIR="+l.Dir(), "LAB_PLAN="+plan)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

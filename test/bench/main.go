// Command bench measures Drover on two real Ceph clusters that it boots
// itself, with each peer (what people use today) and floor (the bare calls)
// timed beside it in the same run. It prints a table and writes the same as
// JSON. Nothing in it is a test: machines are noisy, so ratios are reported and
// a miss is shown, with exit 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// bench is what every measurement works with.
type bench struct {
	lab      *lab.Lab
	a, b     *lab.Site
	drover   string
	folder   string
	enable   int    // images of the enablement
	images   int    // images of status, idle apply and memory
	sample   int    // images of the slow loops; the rest is extrapolated
	parallel int    // as Drover's default
	many     string // the plan of the images that replay, once they do
	trials   int    // of a second primary
	// daemonFor is how long the daemon is watched.
	daemonFor time.Duration
	only      *regexp.Regexp
}

// measurements are what is measured, in this order, on the same clusters.
var measurements = []struct {
	name    string
	measure func(context.Context, *bench) ([]Row, error)
}{
	{"verify", measureVerify},
	{"enable", measureEnable},
	{"many", measureMany},
	{"daemon", measureDaemon},
	{"simulated", measureSimDaemon},
	{"second-primary", measureSecondPrimary},
	{"switchover", measureSwitchover},
	{"first-sync", measureFirstSync},
	{"failover", measureFailover},
	{"drill", measureDrill},
}

func main() {
	b := bench{parallel: 16}
	json := flag.String("json", "", "write the rows as JSON to this file")
	flag.StringVar(&b.drover, "drover", "bin/drover", "path of the drover program")
	flag.IntVar(&b.enable, "enable", 200, "how many images to enable")
	flag.IntVar(&b.images, "images", 1000, "how many images for status, idle apply and memory")
	flag.IntVar(&b.sample, "sample", 200, "how many images the slow loops go through (their time is scaled up)")
	only := flag.String("only", "", "a regular expression: only these of verify, enable, many, daemon, simulated, second-primary, switchover, first-sync, failover and drill")
	flag.DurationVar(&b.daemonFor, "daemon-for", 10*time.Minute, "how long to watch the daemon")
	flag.IntVar(&b.trials, "trials", 100, "how many second primaries to make")
	bare := flag.String("bare", "", "for the bench itself: make the calls of a look at this pool; the arguments are conf and keyring of each site")
	images := flag.Int("simulated", 0, "for the bench itself: run a daemon over so many simulated images")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *bare != "":
		err = bareCalls(ctx, *bare, flag.Args())
	case *images > 0:
		err = simulated(ctx, *images)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop only frees a signal handler
	}
	if *bare != "" || *images > 0 {
		return
	}
	if b.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -only:", err)
		os.Exit(2)
	}

	missed, err := run(ctx, &b, *json)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // the lab has been stopped; stop only frees a signal handler
	case missed:
		fmt.Fprintln(os.Stderr, "bench: a target was missed")
		os.Exit(1)
	}
}

func run(ctx context.Context, b *bench, json string) (missed bool, err error) {
	b.folder, err = os.MkdirTemp("", "drover-bench-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	defer func() { err = errors.Join(err, b.end()) }()
	// One that fails takes nothing from the others, and what is known is told at
	// once: the whole takes many minutes.
	var rows []Row
	var failed []error
	for _, m := range measurements {
		if !b.only.MatchString(m.name) || ctx.Err() != nil {
			continue
		}
		if err := b.boot(ctx); err != nil {
			return false, err
		}
		more, err := m.measure(ctx, b)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
		}
		for _, r := range more {
			fmt.Fprintln(os.Stderr, "bench:", r.line())
			missed = missed || !r.OK
		}
		rows = append(rows, more...)
	}
	return missed, errors.Join(append(failed, report(os.Stdout, rows, json))...)
}

// boot starts the clusters, unless they run.
func (b *bench) boot(ctx context.Context) (err error) {
	if b.lab != nil {
		return nil
	}
	b.lab, err = lab.Start(ctx, lab.Options{Log: os.Stderr, CephPace: true})
	if err != nil {
		return err
	}
	b.a, b.b = b.lab.Site("site-a"), b.lab.Site("site-b")
	return nil
}

// end stops the clusters that run.
func (b *bench) end() error {
	if b.lab == nil {
		return nil
	}
	l := b.lab
	b.lab = nil
	return l.Stop()
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// daemonPeriod is how often the daemon, and its peer, look.
	daemonPeriod = 10 * time.Second
	// clockTicks is the unit of times in /proc/PID/stat, of a second (USER_HZ).
	clockTicks = 100
)

// sample is what a process held at one time.
type sample struct {
	at         time.Duration
	memory     float64 // resident, MB
	goroutines float64
	files      float64
}

// measureDaemon has the daemon look at many images that replay, every ten seconds,
// beside a process that makes the same bulk calls and does nothing with them.
func measureDaemon(ctx context.Context, b *bench) ([]Row, error) {
	const pool = "many"
	if b.many == "" {
		var err error
		if b.many, _, err = b.manyReplaying(ctx, pool); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(b.many)
	if err != nil {
		return nil, err
	}
	plan := filepath.Join(b.folder, "daemon.yaml")
	more := fmt.Sprintf("checks: {schedule: %q}\nhttp: {listen: \"127.0.0.1:0\"}\n", "@every "+daemonPeriod.String())
	if err := os.WriteFile(plan, append(text, more...), 0o600); err != nil {
		return nil, err
	}
	d, err := b.background(ctx, plan)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, d.end())
	}
	bare := exec.CommandContext(ctx, self, "-bare", pool, b.a.Conf(), b.a.Keyring("client.drover"), b.b.Conf(), b.b.Keyring("client.drover"))
	bare.Stderr = os.Stderr
	if err := bare.Start(); err != nil {
		return nil, errors.Join(err, d.end())
	}
	samples, burnt, floor, err := watchCost(ctx, d, bare.Process.Pid, b.daemonFor)
	_ = bare.Process.Kill() // it has no end of its own
	_ = bare.Wait()
	peak := peakMemory(d.cmd.Process.Pid)
	if err := errors.Join(err, d.end()); err != nil {
		return nil, err
	}
	second := samples[len(samples)/2:]
	work := fmt.Sprintf("daemon, %d images, a check every %v", b.images, daemonPeriod)
	note := fmt.Sprintf("over %v; all: %.2f%%, the bare calls alone: %.2f%%", b.daemonFor, 100*burnt, 100*floor)
	rows := []Row{
		limit(work+": CPU beyond the bare calls", "% of a core", max(0, 100*(burnt-floor)), 3, note),
		limit(work+": peak memory", "MB", peak, 150, "resident set"),
	}
	for _, what := range []struct {
		name string
		of   func(sample) float64
		may  float64 // grow, in ten minutes
	}{
		{"memory", func(s sample) float64 { return s.memory }, 3},
		{"goroutines", func(s sample) float64 { return s.goroutines }, 3},
		{"file handles", func(s sample) float64 { return s.files }, 1},
	} {
		grown := slope(second, what.of) * (10 * time.Minute).Minutes()
		rows = append(rows, limit(work+": growth of "+what.name, "in 10 min", max(0, grown), what.may,
			fmt.Sprintf("slope of the second half; at the end %.0f", what.of(second[len(second)-1]))))
	}
	return rows, nil
}

// watchCost samples the daemon, and answers with the share of a core that it and the
// bare calls have used. The first period is not counted: both connect in it.
func watchCost(ctx context.Context, d *daemonProcess, bare int, span time.Duration) (samples []sample, burnt, floor float64, err error) {
	if err := pause(ctx, 2*daemonPeriod); err != nil {
		return nil, 0, 0, err
	}
	began, cpu, bareCPU := time.Now(), cpuTime(d.cmd.Process.Pid), cpuTime(bare)
	for time.Since(began) < span || len(samples) < 4 {
		if err := pause(ctx, min(span/20, daemonPeriod)); err != nil {
			return nil, 0, 0, err
		}
		one, err := d.sample(time.Since(began))
		if err != nil {
			return nil, 0, 0, err
		}
		samples = append(samples, one)
	}
	took := time.Since(began).Seconds()
	return samples, (cpuTime(d.cmd.Process.Pid) - cpu).Seconds() / took, (cpuTime(bare) - bareCPU).Seconds() / took, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// slope is by how much something grows in a minute, by least squares.
func slope(samples []sample, of func(sample) float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, s := range samples {
		x, y := s.at.Minutes(), of(s)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}

// cpuTime is what a process has used of the CPU so far.
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold blanks.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / clockTicks
}

// procStatus is a line of /proc/PID/status in MB.
func procStatus(pid int, key string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

func peakMemory(pid int) float64 { return procStatus(pid, "VmHWM") }

// daemonProcess is a drover daemon that runs.
type daemonProcess struct {
	cmd *exec.Cmd
	url string
}

// background starts a daemon for a plan, which tells where it listens.
func (b *bench) background(ctx context.Context, plan string, env ...string) (*daemonProcess, error) {
	d := &daemonProcess{cmd: exec.CommandContext(ctx, b.drover, "daemon", plan, "--log-format", "json")}
	d.cmd.Env = append(os.Environ(), env...)
	log, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var one struct {
			Listens string `json:"listens"`
		}
		if json.Unmarshal(lines.Bytes(), &one) == nil && one.Listens != "" {
			d.url = "http://" + one.Listens
			break
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, log) }() // it must not be held up
	if d.url == "" {
		return nil, errors.Join(errors.New("drover daemon does not listen"), d.cmd.Wait())
	}
	return d, nil
}

func (d *daemonProcess) end() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return d.cmd.Wait()
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\S+)$`)

// sample tells what the daemon holds now.
func (d *daemonProcess) sample(at time.Duration) (s sample, err error) {
	pid := d.cmd.Process.Pid
	s.at, s.memory = at, procStatus(pid, "VmRSS")
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return s, err
	}
	s.files = float64(len(files))
	response, err := http.Get(d.url + "/metrics")
	if err != nil {
		return s, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return s, err
	}
	m := goroutines.FindSubmatch(text)
	if m == nil {
		return s, errors.New("the daemon does not tell its goroutines")
	}
	s.goroutines, err = strconv.ParseFloat(string(m[1]), 64)
	return s, err
}

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// sleeping is a drover that was stopped in the middle of what it did.
type sleeping struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr awaited
	ended  chan error
	over   bool // it had ended before it could be stopped
	inRun  bool // it has a run in its hands
}

// awaited keeps what is written, and tells when that has some words.
type awaited struct {
	text  bytes.Buffer // not embedded: what is copied to it by ReadFrom passes no Write
	words string
	said  chan struct{}
	found bool
}

func (a *awaited) Write(p []byte) (int, error) {
	n, err := a.text.Write(p)
	if !a.found && strings.Contains(a.text.String(), a.words) {
		a.found = true
		close(a.said)
	}
	return n, err
}

// putToSleep runs drover and stops it (SIGSTOP) some time after it has said
// something: all its threads, whatever librados and librbd are at.
func putToSleep(t *testing.T, words string, after time.Duration, args ...string) *sleeping {
	t.Helper()
	s := &sleeping{cmd: exec.Command(drover, args...), ended: make(chan error, 1)}
	s.stderr = awaited{words: words, said: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Error(err)
		s.over = true
		return s
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // where the test has failed before it was woken
	go func() { s.ended <- s.cmd.Wait() }()
	moment := make(chan struct{})
	go func() {
		select {
		case <-s.stderr.said:
			time.AfterFunc(after, func() { close(moment) })
		case <-t.Context().Done():
		}
	}()
	select {
	case err := <-s.ended:
		s.over = true
		s.ended <- err
	case <-moment:
		if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Error(err)
		}
	}
	return s
}

// wake lets it go on, and answers with how it ended.
func (s *sleeping) wake(t *testing.T) (r result) {
	t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	select {
	case err := <-s.ended:
		if err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it has not ended a minute after it was woken")
		return result{args: s.cmd.Args[1:]}
	}
	return result{args: s.cmd.Args[1:], stdout: s.stdout.String(), stderr: s.stderr.text.String(), code: s.cmd.ProcessState.ExitCode(), took: time.Since(began)}
}

// TestSleeperIsShutOut stops switchovers in the middle, has others complete
// them, hands the images back by hand and writes to them. Then it wakes the
// first ones: in the middle of demotions of what is a valid primary.
func TestSleeperIsShutOut(t *testing.T) {
	t.Parallel()
	const least = 3 // that have to be in mid-run
	moments := []time.Duration{0, 60 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 700 * time.Millisecond}
	l, a, b := mirroredBothWays(t)
	all, images := herds(t, l, len(moments))
	var (
		wg    sync.WaitGroup
		files []string
	)
	for _, h := range all {
		files = append(files, h.file)
	}
	before := images.digests(t, a)

	sleepers := make([]*sleeping, len(files))
	for i, file := range files {
		wg.Go(func() {
			sleepers[i] = putToSleep(t, "run switchover-", moments[i], "switchover", "--yes", "--to", "site-b", file)
		})
	}
	wg.Wait()
	inRun := 0
	for i, file := range files {
		if s := sleepers[i]; !s.over && len(runsOf(t, file).open()) > 0 {
			s.inRun = true
			inRun++
		} else if s.over {
			t.Logf("it was not put to sleep: exit %d\n%s", s.cmd.ProcessState.ExitCode(), s.stderr.text.String())
		}
	}
	t.Logf("%d of %d sleep in mid-run", inRun, len(files))
	if inRun < least {
		t.Fatalf("want %d at least", least)
	}

	for i, file := range files {
		wg.Go(func() {
			if r := takenOver(t, file, b, sleepers[i]); r.code != 0 {
				t.Errorf("want the run completed\n%s", r)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for i, file := range files {
		if sleepers[i].inRun {
			wantShutOut(t, l, file)
		}
	}
	images.want(t, b, a, before)
	handBack(t, images, b, a)
	before = images.digests(t, a)

	for _, s := range sleepers {
		if s.over {
			continue
		}
		wg.Go(func() {
			r := s.wake(t)
			t.Logf("woken, in mid-run %t: exit %d after %s", s.inRun, r.code, r.took)
			if s.inRun && (r.code != 10 || !strings.Contains(r.stderr, "has taken over, and has shut this process out")) {
				t.Errorf("want it to say that it was shut out\n%s", r)
			}
		})
	}
	wg.Wait()
	images.want(t, a, b, before)
}

// takenOver completes what a sleeper was at, once its lease has ended.
func takenOver(t *testing.T, file string, to *lab.Site, s *sleeping) (r result) {
	t.Helper()
	eventually(t, 2*time.Minute, "end of a sleeper's lease", func() (bool, string) {
		args := []string{"switchover", "--yes", "--to", to.Name, file}
		if s.inRun {
			args = []string{"runs", "resume", "--yes", file}
		}
		r = call(t, args...)
		return r.code != 10 && r.code != 13, r.String()
	})
	if s.inRun && (!strings.Contains(r.stdout, "which did not end its session, is shut out at site-a") || !strings.Contains(r.stdout, "is shut out at site-b")) {
		t.Errorf("want it said that the sleeper is shut out\n%s", r)
	}
	return r
}

// wantShutOut fails the test unless the clusters have on their blocklists whom
// the newest run of a plan says to have shut out, at both sites.
func wantShutOut(t *testing.T, l *lab.Lab, file string) {
	t.Helper()
	var story struct {
		ShutOut []struct {
			Site      string   `json:"site"`
			Addresses []string `json:"addresses"`
		} `json:"shut_out"`
	}
	runs := runsOf(t, file).Runs
	ok(t, "runs", "show", "-o", "json", file, runs[len(runs)-1].ID).decode(t, &story)
	if len(story.ShutOut) != len(l.Sites()) {
		t.Errorf("want a process shut out at each site: %+v", story.ShutOut)
	}
	for _, out := range story.ShutOut {
		list := ceph(t, l.Site(out.Site), "osd", "blocklist", "ls")
		for _, address := range out.Addresses {
			if !strings.Contains(list, address+" ") {
				t.Errorf("%s is not on the blocklist of %s:\n%s", address, out.Site, list)
			}
		}
	}
}

// handBack moves images by hand, and writes to them.
func handBack(t *testing.T, images moving, from, to *lab.Site) {
	t.Helper()
	var jobs []func() error
	for image := range images {
		jobs = append(jobs, func() error {
			if _, err := from.Rbd(t.Context(), "mirror", "image", "demote", image); err != nil {
				return err
			}
			eventually(t, 2*time.Minute, image+" primary at "+to.Name, func() (bool, string) {
				_, err := to.Rbd(t.Context(), "mirror", "image", "promote", image)
				return err == nil, fmt.Sprint(err)
			})
			return scribble(t, to, image)
		})
	}
	sideBySide(t, jobs)
}

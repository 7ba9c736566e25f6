package orchestrator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A name says enough to tell which runs cannot be at work any more.
func TestVerifyRunDead(t *testing.T) {
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	self := newVerifyRun(now)
	judge := verifyJudge{self: self, now: now, booted: now.Add(-time.Hour)}
	at := func(age time.Duration, change func(*verifyRun)) verifyRun {
		r := self
		r.at = now.Add(-age)
		change(&r)
		return r
	}
	otherHost := func(r *verifyRun) { r.host, r.boot = "1", "1" }
	otherBoot := func(r *verifyRun) { r.boot = "1" }
	otherContainer := func(r *verifyRun) { r.space = "1" }
	for name, c := range map[string]struct {
		run   verifyRun
		dead  bool
		clean bool // with that asked for
		why   string
	}{
		"itself":                 {self, false, false, "of this run"},
		"process at work":        {at(time.Minute, func(*verifyRun) {}), false, false, "still at work"},
		"process at work of old": {at(100*time.Hour, func(*verifyRun) {}), false, false, "still at work"},
		"pid used again":         {at(time.Minute, func(r *verifyRun) { r.start++ }), true, true, "has ended"},
		"before the reboot":      {at(2*time.Hour, otherBoot), true, true, "started anew"},
		"cloned host":            {at(time.Minute, otherBoot), false, true, "on another host"},
		"another container":      {at(time.Minute, otherContainer), false, true, "in another container"},
		"container of old":       {at(25*time.Hour, otherContainer), true, true, "older than a day"},
		"another host":           {at(2*time.Hour, otherHost), false, true, "on another host"},
		"another host of old":    {at(25*time.Hour, otherHost), true, true, "older than a day"},
	} {
		t.Run(name, func(t *testing.T) {
			read, ok := parseVerifyRun(c.run.sequence(3))
			if !ok || read != c.run {
				t.Fatalf("%s: read as %+v, %v", c.run.sequence(3), read, ok)
			}
			if dead, why := judge.dead(read); dead != c.dead || !strings.Contains(why, c.why) {
				t.Errorf("dead %v: %s", dead, why)
			}
			asked := judge
			asked.clean = true
			if dead, why := asked.dead(read); dead != c.clean {
				t.Errorf("with --clean: dead %v: %s", dead, why)
			}
		})
	}
}

// A reboot changes the boot and not the host; without a machine-id it changes
// both.
func TestWhereabouts(t *testing.T) {
	root := t.TempDir()
	put := func(file, text string) {
		t.Helper()
		file = filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const machine, bootID = "etc/machine-id", "proc/sys/kernel/random/boot_id"
	put(machine, "m\n")
	put(bootID, "first\n")
	put("proc/self/ns/of-no-use", "")
	host, boot, space := whereabouts(root)
	if again, same, other := whereabouts(root); again != host || same != boot || other == space {
		t.Errorf("%s %s %s, then %s %s %s: want the same host and boot, and a namespace that is not known", host, boot, space, again, same, other)
	}
	put(bootID, "second\n")
	if again, other, _ := whereabouts(root); again != host || other == boot {
		t.Errorf("after a reboot: host %s, then %s; boot %s, then %s", host, again, boot, other)
	}
	put(machine, "")
	host, _, _ = whereabouts(root)
	put(bootID, "third\n")
	if again, _, _ := whereabouts(root); again == host {
		t.Error("a host without machine-id is the same after a reboot")
	}
	if at := bootTime(); at.IsZero() || at.After(time.Now()) {
		t.Errorf("booted at %s", at)
	}
}

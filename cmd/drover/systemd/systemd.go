// Package systemd tells the service manager how the daemon is: ready,
// reloading, stopping, alive (sd_notify(3)). Where no service manager has
// started the process, everything here does nothing.
package systemd

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-systemd/v22/daemon"
)

// maxStatus bounds a status line, in bytes.
const maxStatus = 200

// Supervised reports whether a service manager wants to be told.
func Supervised() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// Ready says that the daemon does its work: after its start, and after a reload
// whether or not that changed anything. The status is what `systemctl status`
// shows; "" leaves it.
func Ready(status string) error { return notify(daemon.SdNotifyReady, status) }

// Reloading says that a reload has begun. [Ready] must follow.
func Reloading(status string) error {
	return notify(daemon.SdNotifyReloading+"\n"+strings.TrimSpace(daemon.SdNotifyMonotonicUsec()), status)
}

// Stopping says that the daemon has begun to end.
func Stopping(status string) error { return notify(daemon.SdNotifyStopping, status) }

// Status says what the daemon is doing, in one line.
func Status(status string) error { return notify("", status) }

// WatchdogInterval is how often the service manager wants to hear that this
// process is alive; 0: it does not want to.
func WatchdogInterval() (time.Duration, error) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("systemd: watchdog: %w", err)
	}
	return limit, nil
}

// Watch says that the daemon is alive, twice in each interval of the watchdog
// and only while alive says so, until ctx ends. It returns at once where nobody
// wants to hear it. An error to say so is given to failed, if that is not nil,
// and ends nothing.
func Watch(ctx context.Context, alive func() bool, failed func(error)) error {
	limit, err := WatchdogInterval()
	if err != nil || limit == 0 {
		return err
	}
	tick := time.NewTicker(max(limit/2, time.Millisecond))
	defer tick.Stop()
	for {
		if alive() {
			if err := notify(daemon.SdNotifyWatchdog, ""); err != nil && failed != nil {
				failed(err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// notify sends assignments and a status, in one message.
func notify(assignments, status string) error {
	var lines []string
	if assignments != "" {
		lines = append(lines, assignments)
	}
	if status = line(status); status != "" {
		lines = append(lines, "STATUS="+status)
	}
	if len(lines) == 0 {
		return nil
	}
	// Not sent, and no error: nobody wants to hear it.
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		return fmt.Errorf("systemd: the service manager could not be told: %w", err)
	}
	return nil
}

// line makes one short line of a text: a line end in a text of a cluster must
// not begin another assignment.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(text))
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "") + "…"
	}
	return text
}

package daemon

import (
	"os"
	"runtime/debug"
)

// frugalGC is by how much of what is in use, in percent, the heap may grow until it
// is swept. Checks are made all at once and then for long none: the usual 100 would
// have the process hold twice what it needs.
const frugalGC = 30

// Frugal has the process, which runs for months beside others, spare memory rather
// than a little time, unless GOGC says otherwise.
func Frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(frugalGC)
	}
}

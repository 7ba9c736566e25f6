// Package serve is what the daemon shows of itself over HTTP: metrics, whether
// the process lives, and whether it can do its work. It is read-only: it knows
// reports and counts events that others tell it of, and must never ask a site
// or change anything.
package serve

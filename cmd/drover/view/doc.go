// Package view turns results into what a person or a program reads: tables,
// JSON, YAML, progress, and errors with their next step.
//
// It knows how things look (columns, colour, units, plain lines where there is
// no terminal). It must never know how a result came about, ask a site for
// anything, or decide anything.
package view

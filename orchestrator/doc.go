// Package orchestrator decides what to do: it observes the sites of a plan,
// tells how they differ from it, and carries out the changes as a graph of
// steps that can be stopped and taken up again at any point.
//
// It knows plans (what is wanted) and replay's types (what is true), and sees
// a site only through the small interfaces that it defines itself. It must
// never know how a cluster is reached, never import cgo, and never remember
// the state of an image: each time it looks again, at all sites.
package orchestrator

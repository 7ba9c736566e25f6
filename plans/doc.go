// Package plans is the language in which a person says what two or more Ceph
// sites shall look like.
//
// It knows the words of a plan file, what each means when it is absent, and
// which plans can never work; it reads a file strictly and reports every
// mistake at once, each with its place and what would be right. The rows of
// the language are the tagged fields of [Plan] and the types below it: loader,
// JSON Schema ([Schema]) and documentation ([Reference]) are made from them.
//
// It must never know what is true at a site, what Drover will do about it, or
// anything else of Drover: it imports nothing of the project and does no I/O
// but reading the plan file (and a secret, when one is asked for by
// [Secret.Reveal]).
package plans

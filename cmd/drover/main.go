// Command drover keeps Ceph RBD images mirrored between sites as a plan says,
// and shows and proves that they are.
//
// It parses, calls and renders: what is wanted is in package plans, what to do
// in orchestrator, what is true in replay, and how things look in view. No
// decision is made here.
package main

import (
	"context"
	"io"
	"os"

	"github.com/drover-io/drover/cmd/drover/exit"
	"github.com/drover-io/drover/cmd/drover/view"
)

func main() {
	ctx, stop := untilSignal(context.Background(), os.Stderr)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(int(code))
}

// run is drover as a function: arguments and streams in, exit code out.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) exit.Code {
	s := &session{in: stdin, out: stdout, err: stderr, getenv: os.Getenv}
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	called, err := root.ExecuteContextC(ctx)
	code := exit.OfContext(ctx, err)
	if err != nil && code != exit.Changes {
		view.Failure(stderr, s.errPalette(), view.NameFile(operation(called, err), s.file))
	}
	return code
}

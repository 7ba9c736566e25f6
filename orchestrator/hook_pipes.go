package orchestrator

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// commandPipes carry the input and the output of a command. They are pipes of
// our own because those of os/exec would make waiting for the command a wait
// for whatever else has them open.
type commandPipes struct {
	theirIn, ourIn   *os.File
	ourOut, theirOut *os.File
	written          *tail
	fed, drained     chan struct{}
}

func openPipes(hidden secrets) (*commandPipes, error) {
	p := &commandPipes{written: &tail{limit: maxOutput, hidden: hidden}}
	var err error
	if p.theirIn, p.ourIn, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	if p.ourOut, p.theirOut, err = os.Pipe(); err != nil {
		return nil, errors.Join(fmt.Errorf("making a pipe: %w", err), p.theirIn.Close(), p.ourIn.Close())
	}
	return p, nil
}

// begin gives the started command its input, and reads what it writes.
func (p *commandPipes) begin(input []byte) {
	p.fed, p.drained = make(chan struct{}), make(chan struct{})
	// The command has its own; with ours open no reader would see the end.
	closeAll(p.theirIn, p.theirOut)
	go func() {
		defer close(p.fed)
		// A command need not read what it is told.
		_, _ = p.ourIn.Write(input)
		closeAll(p.ourIn)
	}()
	go func() {
		defer close(p.drained)
		// An end that is not the end of the file is ours, in output.
		_, _ = io.Copy(p.written, p.ourOut)
	}()
}

// output is the end of what was written, once the command has ended. It waits
// a little for what is still in the pipe.
func (p *commandPipes) output() string {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-p.drained:
	case <-timer.C:
		closeAll(p.ourOut)
		<-p.drained
	}
	return p.written.text()
}

// close leaves nothing open and nothing running.
func (p *commandPipes) close() {
	closeAll(p.theirIn, p.ourIn, p.ourOut, p.theirOut)
	if p.fed != nil {
		<-p.fed
		<-p.drained
	}
}

// closeAll closes files; one that is closed already is no fault, and nothing
// is lost with a pipe that nobody reads any more.
func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

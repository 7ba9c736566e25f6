package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/drover-io/drover/cmd/drover/exit"
	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
)

// confirm asks for the plan's name to be typed before something that cannot
// be undone. Anything else refuses.
func (s *session) confirm(ctx context.Context, what, name string) error {
	fmt.Fprintf(s.err, "%s %s\n", s.errPalette().Warn("This cannot be undone:"), what)
	return s.confirmName(ctx, name)
}

// confirmName asks for the plan's name to be typed. Anything else refuses.
func (s *session) confirmName(ctx context.Context, name string) error {
	typed, err := s.ask(ctx, fmt.Sprintf("Type the plan's name (%s) to go on: ", s.errPalette().Strong(name)))
	switch {
	case err != nil:
		return err
	case typed == name:
		return nil
	}
	return view.Next(fmt.Errorf("%w: %q is not the plan's name", orchestrator.ErrRefused, typed), "type %s, or leave it", name)
}

// ask asks a person for one line. Where nobody is there to answer, it refuses.
func (s *session) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(s.err, question)
	if s.answers == nil {
		s.answers = bufio.NewReader(s.in) // one for all questions: it reads ahead
	}
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := s.answers.ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return "", exit.ErrInterrupted
	case a := <-answers:
		typed := strings.TrimSpace(a.line)
		if typed == "" && errors.Is(a.err, io.EOF) {
			fmt.Fprintln(s.err)
			return "", view.Next(fmt.Errorf("%w: nobody is there to confirm", orchestrator.ErrRefused), "give --yes in scripts")
		}
		return typed, nil
	}
}

package plans

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Load reads a plan file, fills every default and checks the whole. An error
// is either one of reading the file or [Errors], which holds every mistake at
// once.
//
// Paths in a plan may be relative: they count from the folder of the plan
// file. That holds for conf files, keyrings, daemon directories, secrets in
// files, TLS files and the folder for preserved copies; programs are looked up
// in PATH or must be absolute.
func Load(path string) (*Plan, error) {
	file, err := os.Open(path) // #nosec G304 -- reading the file that the user names is the purpose
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	data, err := readPlan(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	return Parse(path, data)
}

// readPlan reads a file, but only so much of one that is too large that Parse
// refuses it.
func readPlan(file *os.File) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	size := min(info.Size(), maxFile)
	if !info.Mode().IsRegular() {
		size = 0 // a pipe: how much comes is not known
	}
	data := make([]byte, size+1)
	n, err := io.ReadFull(file, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return data[:n], nil
	}
	if err != nil {
		return nil, err
	}
	if size == maxFile {
		return data, nil // one byte more than a plan may have
	}
	rest, err := io.ReadAll(io.LimitReader(file, maxFile-size))
	return slices.Concat(data, rest), err
}

// Parse reads a plan from text that was read from a file of that name. An
// empty name or "-" stands for a file in the working directory. The error, if
// any, is [Errors].
func Parse(file string, data []byte) (*Plan, error) {
	text, problem := scan(data)
	if problem != nil {
		problem.File = file
		return nil, Errors{*problem}
	}
	document, errs := parseYAML(text)
	if document == nil {
		return nil, named(errs, file)
	}
	plan := &Plan{File: file}
	decoder := newDecoder()
	decoder.document(document, plan)
	errs = append(errs, decoder.errs...)

	plan.Source = decoder.source
	plan.complete()
	if !decoder.gaveUp() {
		errs = append(errs, check(plan, errs)...)
	}
	if err := named(errs, file).orNil(); err != nil {
		return nil, err
	}
	return plan, nil
}

// Validate checks a plan again that was changed after it was loaded. The
// error, if any, is [Errors]; values that were not in the file are placed
// where the nearest value around them is.
func (p *Plan) Validate() error {
	return named(check(p, nil), p.File).orNil()
}

func named(errs Errors, file string) Errors {
	if file == "" {
		file = "-"
	}
	for i := range errs {
		errs[i].File = file
	}
	return errs.finish()
}

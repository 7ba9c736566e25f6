package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Sweep removes what labs of this user left behind whose process died: their
// daemons (none, as a rule: they died with it), nftables tables, folders and
// claims. Labs that are held, and detached ones of which a daemon runs, are
// left alone.
func Sweep() error {
	files, err := filepath.Glob(filepath.Join(register(), "127.*.json"))
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	var errs []error
	for _, file := range files {
		c, err := readClaim(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another sweep, or the lab's own Stop, was faster
		}
		if err == nil && !c.held() {
			err = c.clear()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sweep: %w", err))
		}
	}
	return errors.Join(errs...)
}

func readClaim(file string) (claim, error) {
	var c claim
	data, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// held tells whether somebody still has the lab.
func (c claim) held() bool {
	if c.Owner.alive() {
		return true
	}
	if !c.Detached {
		return false
	}
	for _, p := range c.processes() {
		if p.alive() {
			return true
		}
	}
	return false
}

func (c claim) processes() []process {
	files, err := pidFiles(c.Dir)
	if err != nil {
		return nil
	}
	var found []process
	for _, f := range files {
		if p, err := readPidFile(f); err == nil {
			found = append(found, p)
		}
	}
	return found
}

// clear ends and removes everything of a lab that nobody holds.
func (c claim) clear() error {
	var errs []error
	for _, p := range c.processes() {
		errs = append(errs, p.kill())
	}
	errs = append(errs, deleteTable(c.Network.table()))
	// The folder goes only if it is this lab's still: a person may have put
	// another one in its place.
	if r, err := readRecord(c.Dir); err == nil && r.Network == c.Network {
		errs = append(errs, os.RemoveAll(c.Dir))
	}
	errs = append(errs, c.Network.release())
	return errors.Join(errs...)
}

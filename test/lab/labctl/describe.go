package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

// describe tells a person what there is and how to use it.
func describe(w io.Writer, l *lab.Lab) error {
	plan, err := writePlan(l)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "lab: %s\n", l.Dir())
	for _, s := range l.Sites() {
		fmt.Fprintf(&b, "\n%s\n", s.Name)
		fmt.Fprintf(&b, "  conf      %s\n", s.Conf())
		fmt.Fprintf(&b, "  fsid      %s\n", s.FSID())
		fmt.Fprintf(&b, "  mon host  %s\n", s.MonHost())
		for _, user := range []string{"client.admin", replay.DroverCaps().Name, replay.MirrorCaps(s.Name).Name} {
			fmt.Fprintf(&b, "  keyring   %s\n", s.Keyring(user))
		}
		fmt.Fprintf(&b, "  plain     rbd -c %s mirror pool status rbd\n", s.Conf())
		fmt.Fprintf(&b, "            export CEPH_CONF=%s\n", s.Conf())
	}
	fmt.Fprintf(&b, "\na plan to try: %s\n", plan)
	fmt.Fprintf(&b, "end it with:   labctl down --dir %s\n", l.Dir())
	_, err = io.WriteString(w, b.String())
	return err
}

// writePlan puts a plan for the lab into its folder: one image of 1 GiB, from
// the first site to all others, by rbd-mirror daemons that Drover runs.
func writePlan(l *lab.Lab) (string, error) {
	sites := l.Sites()
	var b strings.Builder
	b.WriteString("version: 1\nname: lab\n")
	fmt.Fprintf(&b, "direction: one-way\nprimary: %s\nsites:\n", sites[0].Name)
	for i, s := range sites {
		drover := replay.DroverCaps().Name
		fmt.Fprintf(&b, "  - name: %s\n    conf: %s\n    user: %s\n    keyring: %s\n",
			s.Name, s.Conf(), drover, s.Keyring(drover))
		if i == 0 {
			continue // one-way: the primary site needs no daemon
		}
		mirror := replay.MirrorCaps(s.Name).Name
		fmt.Fprintf(&b, "    daemon:\n      run: process\n      user: %s\n      keyring: %s\n      directory: %s\n",
			mirror, s.Keyring(mirror), filepath.Join(l.Dir(), "drover", s.Name))
	}
	b.WriteString("peers:\n  by: token\npools:\n  - name: rbd\n    mirror: image\n    mode: journal\n")
	b.WriteString("    images:\n      - name: image-1\n        create:\n          size: 1GiB\n")
	path := filepath.Join(l.Dir(), "plan.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return "", fmt.Errorf("a plan to try: %w", err)
	}
	return path, nil
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// cut is one way between two sites that is closed.
type cut struct {
	a, b *Site
	how  string // what becomes of a packet, as nft says it
}

// ErrCannotCut is wrapped by Cut's error when this user may not, or the nft
// program (Debian package nftables) is missing.
var ErrCannotCut = errors.New("the way between sites cannot be cut here")

// Cut closes the way between two sites: their rbd-mirror daemons' connections
// to the other site are reset, and refused from then on. Everybody else, such
// as this process, still reaches both. It needs root and nft.
func (l *Lab) Cut(a, b string) error { return l.cut(a, b, "reject with tcp reset") }

// Swallow closes the way between two sites as Cut does, but packets vanish
// unanswered, as on a dead line: the daemons wait.
func (l *Lab) Swallow(a, b string) error { return l.cut(a, b, "drop") }

func (l *Lab) cut(a, b, how string) error {
	c := cut{a: l.Site(a), b: l.Site(b), how: how}
	if c.a == nil || c.b == nil || c.a == c.b {
		return fmt.Errorf("cut %s from %s: %w: want two of the lab's sites", a, b, ErrOptions)
	}
	l.cutMu.Lock()
	defer l.cutMu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(l.cuts), func(k cut) bool { return k.between(c.a, c.b) })
	return l.setCuts(append(kept, c))
}

// Heal opens the way between two sites again; one that is open is no error.
func (l *Lab) Heal(a, b string) error {
	l.cutMu.Lock()
	defer l.cutMu.Unlock()
	return l.setCuts(slices.DeleteFunc(slices.Clone(l.cuts), func(k cut) bool {
		return k.between(l.Site(a), l.Site(b))
	}))
}

func (c cut) between(a, b *Site) bool {
	return c.a == a && c.b == b || c.a == b && c.b == a
}

// setCuts puts the lab's whole table in place in one transaction.
func (l *Lab) setCuts(cuts []cut) error {
	if len(cuts) == 0 {
		if err := deleteTable(l.network.table()); err != nil {
			return err
		}
		l.cuts = nil
		return nil
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("%w: it needs root", ErrCannotCut)
	}
	var b strings.Builder
	table := l.network.table()
	// Deleting what does not exist fails, so the table is added first.
	fmt.Fprintf(&b, "table ip %s\ndelete table ip %s\ntable ip %s {\n", table, table, table)
	b.WriteString("\tchain out {\n\t\ttype filter hook output priority 0; policy accept;\n")
	for _, c := range cuts {
		for _, way := range []struct{ from, to *Site }{{c.a, c.b}, {c.b, c.a}} {
			fmt.Fprintf(&b, "\t\tmeta skuid %d meta l4proto tcp ip daddr %s %s\n",
				way.from.MirrorUser(), way.to.Address(), c.how)
		}
	}
	b.WriteString("\t}\n}\n")
	if err := nft(b.String()); err != nil {
		return err
	}
	l.cuts = cuts
	return nil
}

// deleteTable removes the table if there is one. Whoever may not list tables
// has made none.
func deleteTable(name string) error {
	if os.Getuid() != 0 {
		return nil
	}
	err := nft(fmt.Sprintf("table ip %s\ndelete table ip %s\n", name, name))
	if errors.Is(err, ErrCannotCut) {
		return nil
	}
	return err
}

// nft runs a script as one transaction.
func nft(script string) error {
	program, err := exec.LookPath("nft")
	if errors.Is(err, exec.ErrNotFound) {
		// Root's path, which a shell of sudo or cron may lack.
		program, err = exec.LookPath("/usr/sbin/nft")
	}
	if err != nil {
		return fmt.Errorf("%w: %w (Debian package nftables)", ErrCannotCut, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, lastLines(string(out), 5))
	}
	return nil
}

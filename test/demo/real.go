package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// realStage is two Ceph clusters on this machine.
type realStage struct{ lab *lab.Lab }

func (s *realStage) Boot(ctx context.Context, example string) (string, error) {
	fmt.Println("Booting two real Ceph clusters on loopback: monitor, manager and storage daemon each.")
	l, err := lab.Start(ctx, lab.Options{Log: os.Stdout})
	if err != nil {
		return "", err
	}
	s.lab = l
	version, err := l.Site("site-a").Ceph(ctx, "version")
	if err != nil {
		return "", err
	}
	fmt.Printf("%s\n", strings.TrimSpace(string(version)))
	paths := map[string]string{}
	for _, site := range l.Sites() {
		paths["/etc/ceph/"+site.Name+".conf"] = site.Conf()
		paths["/etc/ceph/"+site.Name+".client.drover.keyring"] = site.Keyring("client.drover")
		fmt.Printf("%s: fsid %s, %s\n", site.Name, site.FSID(), site.Conf())
	}
	mirror := l.Site("site-b").Keyring("client.rbd-mirror.site-b")
	paths["/etc/ceph/site-b.client.rbd-mirror.site-b.keyring"] = mirror
	return placePlan(example, l.Dir(), paths)
}

func (s *realStage) Env() []string { return nil }

func (s *realStage) Write(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "$ rbd bench --io-type write --io-size 64K --io-total 64M --io-pattern rand rbd/%s\n", image)
	text, err := s.lab.Site("site-a").Rbd(ctx, "bench", "--io-type", "write", "--io-size", "64K",
		"--io-total", "64M", "--io-pattern", "rand", "rbd/"+image)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	fmt.Fprintln(out, lines[len(lines)-1])
	return nil
}

func (s *realStage) Replaying(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	fmt.Fprintf(out, "$ rbd --cluster site-b mirror image status rbd/%s\n", image)
	for {
		text, err := s.lab.Site("site-b").Rbd(ctx, "mirror", "image", "status", "rbd/"+image)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "up+replaying") {
			fmt.Fprint(out, string(text))
			return nil
		}
		select { // reports lag by up to half a minute
		case <-ctx.Done():
			return fmt.Errorf("not up+replaying in time:\n%s", text)
		case <-time.After(time.Second):
		}
	}
}

func (s *realStage) Roles(ctx context.Context, out io.Writer) error {
	for i, site := range s.lab.Sites() {
		fmt.Fprintf(out, "$ rbd --cluster %s info rbd/%s\n", site.Name, image)
		text, err := site.Rbd(ctx, "info", "--format", "json", "rbd/"+image)
		if err != nil {
			return err
		}
		var info struct {
			Mirroring struct {
				State   string `json:"state"`
				Primary bool   `json:"primary"`
			} `json:"mirroring"`
		}
		if err := json.Unmarshal(text, &info); err != nil {
			return fmt.Errorf("rbd info at %s: %w", site.Name, err)
		}
		fmt.Fprintf(out, "mirroring state: %s, mirroring primary: %t\n", info.Mirroring.State, info.Mirroring.Primary)
		if want := i == 0; info.Mirroring.Primary != want {
			return fmt.Errorf("%s at %s: primary is %t, want %t", image, site.Name, info.Mirroring.Primary, want)
		}
	}
	return nil
}

func (s *realStage) Close() error {
	if s.lab == nil {
		return nil
	}
	return s.lab.Stop()
}

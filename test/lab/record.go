package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// record is what the lab's folder says of the lab, for Open and Sweep.
type record struct {
	Network  network              `json:"network"`
	Detached bool                 `json:"detached"`
	Store    Store                `json:"store"`
	Order    []string             `json:"order"`
	Pools    []string             `json:"pools"`
	Sites    map[string]siteFacts `json:"sites"`
}

const recordName = "lab.json"

func (l *Lab) writeRecord() error {
	r := record{
		Network: l.network, Detached: l.opts.Detached, Store: l.opts.Store,
		Order: l.opts.Sites, Pools: l.opts.Pools, Sites: map[string]siteFacts{},
	}
	for _, s := range l.sites {
		r.Sites[s.Name] = s.facts
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(l.dir, recordName), data, 0o644)
}

func readRecord(dir string) (record, error) {
	var r record
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, recordName), err)
	}
	return r, nil
}

// Open takes up the running lab in dir, which another process started, in most
// cases a detached one. What this process starts in it is as detached as the
// lab is. Cuts made by another process stay until this one's first Cut or Heal
// puts its own in their place.
func Open(dir string) (*Lab, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r, err := readRecord(abs)
	if err != nil {
		return nil, fmt.Errorf("no lab in %s: %w", dir, err)
	}
	o := Options{Sites: r.Order, Pools: r.Pools, Store: r.Store, Dir: abs, Log: io.Discard, Detached: r.Detached}
	l := &Lab{opts: o, dir: abs, network: r.Network, spawner: newSpawner(!r.Detached)}
	for i, name := range r.Order {
		l.sites = append(l.sites, &Site{
			Name: name, lab: l, index: i, dir: filepath.Join(abs, name), facts: r.Sites[name],
		})
	}
	return l, nil
}

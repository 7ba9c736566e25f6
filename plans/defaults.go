package plans

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// setDefaults fills the defaults of every key of a mapping that is not given.
func setDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		setDefault(v.Field(f.index), f)
	}
}

// setDefault fills what the absence of a key means. The defaults in the tags
// are checked by a test, so that they are always well-formed here.
func setDefault(v reflect.Value, f field) {
	switch t := v.Type(); {
	case isMapping(t):
		setDefaults(v)
	case f.def == "":
	case t == durationType:
		setDuration(v, f.def)
	case t == sizeType:
		setSize(v, f.def)
	case t == percentType:
		setPercent(v, f.def)
	case t.Kind() == reflect.Int:
		setInt(v, f.def)
	case t.Kind() == reflect.String:
		v.SetString(f.def)
	case t.Kind() == reflect.Slice:
		v.Set(reflect.ValueOf(strings.Split(f.def, ",")))
	}
}

const defaultPeerClient = "client.rbd-mirror-peer"

// complete fills the defaults that follow from other values and resolves
// relative paths.
func (p *Plan) complete() {
	p.resolvePaths()
	for i := range p.Sites {
		p.completeSite(&p.Sites[i])
	}
	if p.Peers.By == PeerByConf && p.Peers.Client == "" {
		p.Peers.Client = defaultPeerClient
	}
	for i := range p.Pools {
		pool := &p.Pools[i]
		if p.Preserve.Suffix != "" {
			pool.preserved = p.Preserve.Suffix + "-"
		}
		for j := range pool.Images {
			if pool.Images[j].Mode == "" {
				pool.Images[j].Mode = pool.Mode
			}
		}
	}
	secondaries := p.Secondaries()
	for i := range p.Drills {
		if p.Drills[i].Site == "" && len(secondaries) == 1 {
			p.Drills[i].Site = secondaries[0].Name
		}
		if len(p.Drills[i].Checks) == 0 {
			p.Drills[i].Checks = defaultChecks()
		}
	}
}

func (p *Plan) completeSite(s *Site) {
	if !nameRE.MatchString(s.Name) {
		return // refused; what is made of it would be refused again
	}
	if s.Cluster == "" {
		s.Cluster = s.Name
	}
	if s.MirrorName == "" {
		s.MirrorName = s.Name
	}
	switch s.Daemon.Run {
	case RunProcess:
		if s.Daemon.User == "" {
			s.Daemon.User = "client.rbd-mirror." + s.Name
		}
		if s.Daemon.Directory == "" {
			s.Daemon.Directory = runDirectory(p.Name, s.Name)
		}
	case RunSystemd:
		if s.Daemon.Unit == "" {
			s.Daemon.Unit = "ceph-rbd-mirror@rbd-mirror." + s.Name + ".service"
		}
	}
}

// runDirectory is where a site's daemon keeps its pid file when the plan does
// not say: root's is gone after a reboot, as the daemon then is. That of another
// user outlives their last session, as the daemon does (XDG_RUNTIME_DIR would not).
func runDirectory(plan, site string) string {
	if !nameRE.MatchString(plan) || !nameRE.MatchString(site) {
		return "" // refused elsewhere
	}
	base := "/run/drover"
	if uid := os.Geteuid(); uid != 0 {
		base = filepath.Join(os.TempDir(), "drover-"+strconv.Itoa(uid))
		if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
			base = filepath.Join(home, ".local", "state", "drover")
		}
		if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
			base = filepath.Join(state, "drover")
		}
	}
	return filepath.Join(base, plan, site)
}

// resolvePaths makes relative paths count from the plan file's folder.
func (p *Plan) resolvePaths() {
	folder := p.folder()
	eachPath(reflect.ValueOf(p).Elem(), func(path string) string {
		switch {
		case path == "" || filePath(path) != "":
			return path // refused as it stands
		case filepath.IsAbs(path):
			return filepath.Clean(path)
		}
		return filepath.Join(folder, path)
	})
}

// folder is the absolute folder of the plan file.
func (p *Plan) folder() string {
	file := p.File
	if file == "-" {
		file = ""
	}
	folder, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		// Without a working directory there is nothing better to count from.
		return filepath.Dir(file)
	}
	return folder
}

// eachPath replaces every path of a plan, those of secrets' files included.
func eachPath(v reflect.Value, replace func(string) string) {
	switch t := v.Type(); {
	case t == secretType:
		v.Set(reflect.ValueOf(v.Interface().(Secret).moved(replace)))
	case t == headerType:
		h := v.Interface().(HeaderValue)
		h.Secret = h.moved(replace)
		v.Set(reflect.ValueOf(h))
	case t.Kind() == reflect.Pointer:
		if !v.IsNil() {
			eachPath(v.Elem(), replace)
		}
	case isMapping(t):
		for _, f := range fieldsOf(t) {
			if f.is == "path" {
				v.Field(f.index).SetString(replace(v.Field(f.index).String()))
				continue
			}
			eachPath(v.Field(f.index), replace)
		}
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			eachPath(v.Index(i), replace)
		}
	case t.Kind() == reflect.Map && t.Elem() == headerType: // values of a map cannot be set in place
		for _, key := range v.MapKeys() {
			value := reflect.New(headerType).Elem()
			value.Set(v.MapIndex(key))
			eachPath(value, replace)
			v.SetMapIndex(key, value)
		}
	}
}

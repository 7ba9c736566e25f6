package plans

// Group is a set of images that move together.
type Group struct {
	Name   string     `yaml:"name" required:"true" is:"name" doc:"name of the group"`
	Wave   string     `yaml:"wave" is:"name" doc:"the wave it moves in"`
	Images []ImageRef `yaml:"images" required:"true" doc:"its images"`
}

// ImageRef names images of a pool of the plan. Either Name or Glob is set.
type ImageRef struct {
	Pool      string `yaml:"pool" required:"true" is:"pool" doc:"pool"`
	Namespace string `yaml:"namespace" is:"namespace" doc:"RADOS namespace"`
	Name      string `yaml:"name" is:"image" doc:"name of one image (or give glob)"`
	Glob      string `yaml:"glob" is:"glob" doc:"shell pattern over image names"`
}

// Wave is a step of the moving order.
type Wave struct {
	Name     string     `yaml:"name" required:"true" is:"name" doc:"name of the wave"`
	Priority int        `yaml:"priority" doc:"0 to 1000000; lower moves first; equal priorities move side by side"`
	Images   []ImageRef `yaml:"images" doc:"images that are in no group"`
}

// maxPriority is the largest priority of a wave.
const maxPriority = 1_000_000

// Matches says whether the reference covers an image.
func (r ImageRef) Matches(pool, namespace, name string) bool {
	return r.Pool == pool && r.Namespace == namespace && matches(r.Name, r.Glob, name)
}

// GroupOf returns the group that an image moves with, or nil. A reference by
// exact name counts before one by glob.
func (p *Plan) GroupOf(pool, namespace, name string) *Group {
	var byGlob *Group
	for i := range p.Groups {
		for _, ref := range p.Groups[i].Images {
			if !ref.Matches(pool, namespace, name) {
				continue
			}
			if ref.Name != "" {
				return &p.Groups[i]
			}
			if byGlob == nil {
				byGlob = &p.Groups[i]
			}
		}
	}
	return byGlob
}

// WaveOf returns the wave that an image moves in, by its group or by itself,
// or nil.
func (p *Plan) WaveOf(pool, namespace, name string) *Wave {
	if group := p.GroupOf(pool, namespace, name); group != nil {
		return p.wave(group.Wave)
	}
	var byGlob *Wave
	for i := range p.Waves {
		for _, ref := range p.Waves[i].Images {
			if !ref.Matches(pool, namespace, name) {
				continue
			}
			if ref.Name != "" {
				return &p.Waves[i]
			}
			if byGlob == nil {
				byGlob = &p.Waves[i]
			}
		}
	}
	return byGlob
}

func (p *Plan) wave(name string) *Wave {
	for i := range p.Waves {
		if p.Waves[i].Name == name {
			return &p.Waves[i]
		}
	}
	return nil
}

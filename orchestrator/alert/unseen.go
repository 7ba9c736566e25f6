package alert

import "slices"

// Unseen is something of which a check could not learn what holds, so that it is not
// over because nothing was found of it.
type Unseen struct {
	Site   string   // empty: any
	Codes  []string // none: all
	Images []string // none: all
}

// Blind are sites of which a check could learn nothing.
func Blind(sites ...string) []Unseen {
	all := make([]Unseen, 0, len(sites))
	for _, s := range sites {
		all = append(all, Unseen{Site: s})
	}
	return all
}

// unseen reports whether what was not found of a subject may hold all the same. in is
// its open incident; nil: it has none. What has no site may be hidden at any.
func unseen(of []Unseen, s subject, in *incident) bool {
	return s.Code != ChannelFailing && slices.ContainsFunc(of, func(u Unseen) bool {
		switch {
		case u.Site != "" && s.Site != "" && u.Site != s.Site,
			len(u.Codes) > 0 && !slices.Contains(u.Codes, s.Code):
			return false
		case len(u.Images) == 0:
			return true
		case in == nil:
			return false // it is found once it can be seen
		}
		// A message names the worst images only.
		return in.Now.Images > len(in.Now.Worst) || slices.ContainsFunc(in.Now.Worst, func(image string) bool { return slices.Contains(u.Images, image) })
	})
}

// anyBlind reports whether a site is hidden as a whole.
func anyBlind(of []Unseen) bool {
	return slices.ContainsFunc(of, func(u Unseen) bool { return len(u.Codes)+len(u.Images) == 0 })
}

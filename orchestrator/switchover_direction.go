package orchestrator

import (
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
)

// direction finds out between which sites images move.
func direction(plan *plans.Plan, stands []stand, from, to string) (string, string, error) {
	for _, name := range []string{from, to} {
		if name != "" && plan.Site(name) == nil {
			return "", "", refusal("name a site of the plan", "the plan has no site %q", name)
		}
	}
	if from == "" && to != "" {
		// Where the images are, unless they are there already.
		from = commonPrimary(stands, to)
	}
	if from == "" && to == "" {
		from = commonPrimary(stands, "")
	}
	split := slices.ContainsFunc(stands, func(s stand) bool { return len(s.primaries()) > 1 })
	if from == "" && split && plan.Primary != to {
		from = plan.Primary
	}
	if from == "" && len(plan.Sites) == 2 && to != "" {
		from = otherSites(plan, to)[0]
	}
	if from == "" {
		return "", "", refusal("say from where to where: --from SITE --to SITE", "the images are not all primary at one site")
	}
	if to == "" {
		others := otherSites(plan, from)
		if len(others) != 1 {
			return "", "", refusal("say which: --to SITE", "more than one site could become primary: %s", strings.Join(others, ", "))
		}
		to = others[0]
	}
	if from == to {
		return "", "", refusal("name another site", "%s cannot be both the old and the new primary", to)
	}
	return from, to, nil
}

// commonPrimary is the one site where all images are primary that are not at
// the excepted one; "" when there is none such.
func commonPrimary(stands []stand, except string) string {
	found := ""
	for i := range stands {
		at := stands[i].primaries()
		if len(at) > 1 {
			continue // which of them counts, a check asks
		}
		for _, site := range at {
			if site == except {
				continue
			}
			if found != "" && found != site {
				return ""
			}
			found = site
		}
	}
	return found
}

func otherSites(plan *plans.Plan, site string) []string {
	var out []string
	for _, s := range plan.Sites {
		if s.Name != site {
			out = append(out, s.Name)
		}
	}
	return out
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

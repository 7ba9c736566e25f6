package view

import (
	"io"
	"strings"

	"github.com/drover-io/drover/plans"
)

// Plan writes a plan: a summary as a table, the whole as YAML or JSON in the
// plan language's own keys.
func Plan(w io.Writer, f Format, p Palette, plan *plans.Plan) error {
	if f == Table {
		return planTable(w, p, plan)
	}
	return Encode(w, f, plan)
}

func planTable(w io.Writer, p Palette, plan *plans.Plan) error {
	if err := putf(w, "%s  %s, primary %s\n", p.Strong("Plan "+plan.Name), plan.Direction, plan.Primary); err != nil {
		return err
	}
	if plan.Description != "" {
		if err := putf(w, "%s\n", plan.Description); err != nil {
			return err
		}
	}
	if err := put(w, "\n"); err != nil {
		return err
	}
	sites := grid{header: []string{"site", "conf", "user", "rbd-mirror"}}
	for _, s := range plan.Sites {
		sites.rows = append(sites.rows, []string{s.Name, s.Conf, s.User, string(s.Daemon.Run)})
	}
	if err := sites.write(w, p); err != nil {
		return err
	}
	if err := put(w, "\n"); err != nil {
		return err
	}
	images := grid{header: []string{"pool", "image", "mode", "rpo", "schedule", "create"}}
	for i := range plan.Pools {
		pool := &plan.Pools[i]
		if pool.Mirror == plans.PoolModePool {
			images.rows = append(images.rows, []string{pool.Spec(), "(every journaled image)", string(pool.Mode), objective(plan.RPOFor(pool, "")), "-", "-"})
		}
		for _, image := range pool.Images {
			images.rows = append(images.rows, imageRow(plan, pool, image))
		}
	}
	return images.write(w, p)
}

func imageRow(plan *plans.Plan, pool *plans.Pool, image plans.Image) []string {
	name, rpo := image.Name, plan.RPO
	switch {
	case image.RPO != nil:
		rpo = *image.RPO
	case pool.RPO != nil:
		rpo = *pool.RPO
	}
	if name == "" {
		name = image.Glob
	}
	mode := image.Mode
	if mode == "" {
		mode = pool.Mode
	}
	schedules := image.Schedules
	if len(schedules) == 0 && mode == plans.ModeSnapshot {
		schedules = pool.Schedules
	}
	every := make([]string, len(schedules))
	for i, s := range schedules {
		every[i] = s.Every
	}
	create := "-"
	if image.Create != nil {
		create = image.Create.Size.String()
	}
	return []string{pool.Spec(), name, string(mode), objective(rpo), dash(strings.Join(every, ", ")), create}
}

func objective(d plans.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.String()
}

// dash stands for what there is none of, so that columns can be counted.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

package orchestrator

import (
	"container/heap"
	"slices"
	"sort"
	"strings"
)

// finish puts changes and notices into their order and drops needs that are
// no changes.
func (d *differ) finish() *Difference {
	rank := map[Kind]int{}
	for i, row := range Kinds {
		rank[row.Kind] = i
	}
	severity := map[Severity]int{SeverityError: 0, SeverityWarning: 1, SeverityInfo: 2}
	for i := range d.out.Changes {
		c := &d.out.Changes[i]
		// Several changes may have been given one list.
		c.Needs = slices.DeleteFunc(slices.Clone(c.Needs), func(id string) bool { return id == c.ID || !d.wants(id) })
		slices.Sort(c.Needs)
		c.Needs = slices.Compact(c.Needs)
	}
	siteRank := map[string]int{}
	for i, s := range d.plan.Sites {
		siteRank[s.Name] = i
	}
	slices.SortStableFunc(d.out.Changes, func(a, b Change) int {
		// Image by image, after what is done for sites and pools.
		if a.Image != "" && b.Image != "" {
			if c := a.Pool.Image(a.Image).Compare(b.Pool.Image(b.Image)); c != 0 {
				return c
			}
		} else if (a.Image == "") != (b.Image == "") && !isLast(a.Kind) && !isLast(b.Kind) {
			return boolRank(a.Image != "") - boolRank(b.Image != "")
		}
		if c := rank[a.Kind] - rank[b.Kind]; c != 0 {
			return c
		}
		if c := strings.Compare(a.Pool.String(), b.Pool.String()); c != 0 {
			return c
		}
		if c := siteRank[a.Site] - siteRank[b.Site]; c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	d.out.Changes = inOrder(d.out.Changes)
	slices.SortStableFunc(d.out.Notices, func(a, b Notice) int { return severity[a.Severity] - severity[b.Severity] })
	return d.out
}

// inOrder puts changes into an order in which a person could run them: each
// after those that it needs, else as they are. Changes that would need each
// other (there are none) would be left at the end.
func inOrder(changes []Change) []Change {
	index := make(map[string]int, len(changes))
	for i := range changes {
		index[changes[i].ID] = i
	}
	waiting := make([]int, len(changes))
	dependents := make([][]int, len(changes))
	ready := &lowest{}
	for i := range changes {
		for _, id := range changes[i].Needs {
			dependents[index[id]] = append(dependents[index[id]], i)
			waiting[i]++
		}
		if waiting[i] == 0 {
			heap.Push(ready, i)
		}
	}
	out := make([]Change, 0, len(changes))
	for ready.Len() > 0 {
		i, _ := heap.Pop(ready).(int)
		out = append(out, changes[i])
		waiting[i] = -1
		for _, j := range dependents[i] {
			if waiting[j]--; waiting[j] == 0 {
				heap.Push(ready, j)
			}
		}
	}
	for i := range changes {
		if waiting[i] > 0 {
			out = append(out, changes[i])
		}
	}
	return out
}

// lowest is a heap of indices.
type lowest struct{ sort.IntSlice }

// Push is for container/heap.
func (l *lowest) Push(x any) {
	if i, ok := x.(int); ok {
		l.IntSlice = append(l.IntSlice, i)
	}
}

// Pop is for container/heap.
func (l *lowest) Pop() any {
	last := l.IntSlice[len(l.IntSlice)-1]
	l.IntSlice = l.IntSlice[:len(l.IntSlice)-1]
	return last
}

// isLast tells the kinds that come after the images.
func isLast(k Kind) bool { return k == KindPoolDisable }

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
)

// The oracle knows what was done to the world, and nothing of how the daemon comes to
// its findings. Each trouble has one thing that must be told of it, within a time, if
// it lasts and can be seen for as long as that; and some that may be told beside it.

// tale is what was told of one incident on the channel that takes everything.
type tale struct {
	plan, code, site, image string
	id                      string
	host                    string // that has told it first
	from, to                time.Time
	last                    alert.Kind // that was told of it, and when
	said                    time.Time
	orphan                  bool // it cannot be known any more
}

func (t *tale) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s: %s of %s %s %s", t.plan, t.id, t.code, t.site, t.image))
}

// every is how often a plan is looked at.
var every = map[string]time.Duration{"shop": 30 * time.Second, "vault": time.Minute}

// main is the code that must be told of a trouble, and within which time after it has
// begun, for a plan.
func (f *trouble) main(plan string) (code string, within time.Duration) {
	looks := 2*every[plan] + 30*time.Second
	if plan == "vault" {
		looks += 2 * every[plan] // a clock that is set back may halve the checks
	}
	switch {
	case f.kind == "gone", f.kind == "frozen":
		return "site-unknown", 20*time.Second + looks
	case f.kind == "mirror" && f.at == "b": // its clients are taken for alive for 30 s
		return "no-daemon", 3*time.Minute + looks
	case f.kind == "mirror":
		return "no-standby-daemon", 4*time.Minute + looks
	case f.kind == "lag": // from the next write on
		return "rpo-exceeded", 5*time.Minute + looks
	case f.kind == "split":
		return "split-brain", looks
	}
	return "", 0
}

// beside are the codes that may be told of a trouble besides.
var beside = map[string][]string{
	"gone":   {"journal-held", "rpo-exceeded", "lag-unknown", "replay-stuck", "verification-failed"},
	"frozen": {"journal-held", "rpo-exceeded", "lag-unknown", "replay-stuck", "verification-failed"},
	"mirror": {"journal-held", "rpo-exceeded", "lag-unknown", "no-standby-daemon", "no-daemon", "report-stale", "replay-stuck"},
	"lag":    {"replay-stuck", "journal-held"},
	"split":  {"journal-held", "not-replaying", "report-missing", "secondary-missing", "verification-failed"},
	"slow":   {"verification-failed"},
	"mute":   {alert.ChannelFailing},
	"leap":   {"report-stale", "rpo-exceeded"},
	"clock":  {"report-stale", "rpo-exceeded", "replay-stuck", "journal-held"},
}

// explains reports whether a trouble is a reason to tell something.
func (s *storm) explains(f *trouble, t *tale) bool {
	if code, _ := f.main(t.plan); code == t.code {
		return s.concerns(f, t)
	}
	return slices.Contains(beside[f.kind], t.code)
}

// concerns reports whether a trouble is of the site or image that was told of.
func (s *storm) concerns(f *trouble, t *tale) bool {
	if f.kind == "split" {
		return f.image.String() == t.image
	}
	return f.at == t.site
}

// late is for how long after its end a trouble may still be the reason to tell.
const late = 6 * time.Minute

// ended is when a trouble was over.
func (s *storm) ended(f *trouble) time.Time {
	if f.to.IsZero() {
		return s.began.Add(stormDay())
	}
	return f.to
}

// judge returns what the daemons have done wrong.
func (s *storm) judge() []string {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	tales := s.tales(bad)
	for _, t := range tales {
		if s.judgeReason(t, bad); t.orphan {
			continue
		}
		s.judgeEnd(t, tales, bad)
		s.judgeOncall(t, bad)
	}
	s.judgeRepeats(tales, bad)
	for _, f := range s.troubles {
		for _, plan := range s.plans {
			s.judgeMiss(f, plan.Name, tales, bad)
		}
	}
	for _, f := range s.troubles {
		if f.to.IsZero() {
			bad("%s %s %s has not come to its end", f.kind, f.at, f.image)
		}
	}
	return wrong
}

func (s *storm) at(t time.Time) time.Duration { return t.Sub(s.began).Round(time.Second) }

// tales sorts what was told by incident; each must have one beginning and one end.
func (s *storm) tales(bad func(string, ...any)) []*tale {
	of := map[string]*tale{}
	var all []*tale
	for _, m := range s.heard {
		if m.channel != "log" {
			continue
		}
		t := of[m.ID]
		switch {
		case t == nil && m.Kind != alert.Opened:
			bad("%v: %s: %s of %s is told as %s before it has opened", s.at(m.when), m.Plan, m.ID, m.Code, m.Kind)
			continue
		case t == nil:
			t = &tale{plan: m.Plan, code: m.Code, site: m.Site, id: m.ID, host: m.host, from: m.when}
			if m.Code == "split-brain" && len(m.Worst) == 1 {
				t.image = m.Worst[0]
			}
			of[m.ID] = t
			all = append(all, t)
		case m.Kind != alert.Changed && m.Kind == t.last && s.cutOff(s.at(t.said)):
		case m.Kind == alert.Opened:
			bad("%v: %v is told as new again", s.at(m.when), t)
		case !t.to.IsZero() && !s.doubled(t):
			bad("%v: %v is told of (%s) after its end", s.at(m.when), t, m.Kind)
		case m.Kind == alert.Resolved:
			t.to = m.when
		default:
			t.to = time.Time{} // it goes on
		}
		t.last, t.said = m.Kind, m.when
	}
	for _, t := range all {
		if !t.to.IsZero() {
			continue
		}
		t.to = s.began.Add(stormDay())
		if t.orphan = s.orphaned(t); !t.orphan {
			bad("%v, told at %v, was left open", t, s.at(t.from))
		}
	}
	return all
}

// judgeReason wants a reason for what was told.
func (s *storm) judgeReason(t *tale, bad func(string, ...any)) {
	for _, f := range s.troubles {
		grace := late
		if code, _ := f.main(t.plan); code == t.code && code != "rpo-exceeded" {
			grace = every[t.plan] + 20*time.Second
		}
		if t.code == "site-unknown" && t.from.Sub(f.from) < 20*time.Second {
			continue
		}
		if s.explains(f, t) && !t.from.Before(f.from) && t.from.Before(s.ended(f).Add(grace)) {
			return
		}
	}
	bad("%v: %v was told without a reason", s.at(t.from), t)
}

// seen reports whether somebody was there in a second of the day who sees all sites.
func (s *storm) seen(second int) bool {
	at := s.began.Add(time.Duration(second) * time.Second)
	if second >= len(s.blurred) || s.blurred[second] {
		return false
	}
	return !slices.ContainsFunc(s.troubles, func(f *trouble) bool {
		return (f.kind == "gone" || f.kind == "frozen") && !at.Before(f.from.Add(-time.Second)) && !at.After(s.ended(f).Add(time.Second))
	})
}

// slowly are the codes of what only several checks of one daemon can find.
var slowly = []string{"replay-stuck", "journal-held"}

// judgeEnd wants an incident to be over soon after its reasons are, and not before.
func (s *storm) judgeEnd(t *tale, tales []*tale, bad func(string, ...any)) {
	var last time.Time
	for _, f := range s.troubles {
		if s.explains(f, t) && f.from.Before(t.to) && s.ended(f).After(last) {
			last = s.ended(f)
		}
		code, within := f.main(t.plan)
		if code == t.code && !s.misjudged(t) && (f.kind != "mirror" || !s.noneReplays(t.plan, int(t.to.Sub(s.began)/time.Second))) && s.concerns(f, t) && t.to.After(f.from.Add(within)) && t.to.Before(s.ended(f).Add(-time.Minute)) && !s.doubled(t) {
			bad("%v: %v was over while %s lasted", s.at(t.to), t, f.kind)
		}
	}
	limit := 2*time.Minute + 2*every[t.plan] + 2*time.Minute
	if slices.Contains(slowly, t.code) {
		limit += 10 * time.Minute
	}
	if t.code == orchestrator.SignalUnverified {
		limit += 2*time.Hour + 15*time.Minute // until the next try
	}
	if t.code == alert.ChannelFailing {
		limit += 5 * time.Minute
	}
	opens := 0
	for _, o := range tales {
		if o.plan == t.plan && o.code == t.code && o.site == t.site && !o.from.After(t.from) && t.from.Sub(o.from) < time.Hour {
			opens++
		}
	}
	if opens > 3 {
		limit += time.Hour
	}
	if last.IsZero() {
		return // that it was told without a reason is said
	}
	clear := time.Duration(0)
	for second := int(last.Sub(s.began) / time.Second); second < int(t.to.Sub(s.began)/time.Second); second++ {
		if clear += time.Second; !s.seen(second) || s.doubled(t) && s.stopped(t.host, second) {
			clear = 0
		}
		if clear > limit {
			bad("%v is over only at %v, though its reason was at %v", t, s.at(t.to), s.at(last))
			return
		}
	}
}

// doubled reports whether no site answered at some time of an incident: then both
// daemons tell people by themselves, and neither knows of the other.
func (s *storm) doubled(t *tale) bool {
	silent := func(site string, from, to time.Time) (out [][2]time.Time) {
		for _, f := range s.troubles {
			if (f.kind == "gone" || f.kind == "frozen") && f.at == site && f.from.Before(to) && s.ended(f).Add(time.Minute).After(from) {
				out = append(out, [2]time.Time{f.from, s.ended(f).Add(time.Minute)})
			}
		}
		return out
	}
	for _, a := range silent("a", t.from, t.to) {
		if len(silent("b", a[0], a[1])) > 0 {
			return true
		}
	}
	return false
}

// stopped reports whether the daemon of a host is stopped: what it alone has told
// nobody else can end.
func (s *storm) stopped(host string, second int) bool {
	at := s.began.Add(time.Duration(second) * time.Second)
	return slices.ContainsFunc(s.troubles, func(f *trouble) bool {
		return f.kind == "stopped" && f.at == host && !at.Before(f.from) && !at.After(s.ended(f))
	})
}

// misjudged reports whether a wrong clock may have hidden what an incident is of: by
// how much a copy is behind is told from when what it lacks was written.
func (s *storm) misjudged(t *tale) bool {
	return slices.Contains(beside["clock"], t.code) && slices.ContainsFunc(s.troubles, func(f *trouble) bool {
		return f.kind == "clock" && f.from.Before(t.to) && s.ended(f).Add(5*time.Minute).After(t.to)
	})
}

// orphaned reports whether the process that told of an incident alone, while no site
// answered, was killed before one did: then nobody can know that it has.
func (s *storm) orphaned(t *tale) bool {
	silent := func(at time.Time) bool {
		n := map[string]bool{}
		for _, f := range s.troubles {
			if (f.kind == "gone" || f.kind == "frozen") && !at.Before(f.from) && at.Before(s.ended(f).Add(orchestrator.LeaseTTL)) {
				n[f.at] = true
			}
		}
		return len(n) == 2
	}
	return silent(t.from) && slices.ContainsFunc(s.troubles, func(f *trouble) bool {
		return f.kind == "killed" && f.from.After(t.from) && silent(f.from)
	})
}

// judgeRepeats wants each incident to be of something new.
func (s *storm) judgeRepeats(tales []*tale, bad func(string, ...any)) {
	for i, t := range tales {
		for _, before := range tales[:i] {
			if before.plan != t.plan || before.code != t.code || before.site != t.site || before.image != t.image || s.doubled(t) || s.doubled(before) {
				continue
			}
			between := func(at time.Time) bool { return at.After(before.from.Add(-time.Minute)) && at.Before(t.from) }
			fresh := s.misjudged(before) || s.misjudged(t) || slices.ContainsFunc(s.troubles, func(f *trouble) bool {
				if code, _ := f.main(t.plan); code == t.code || f.kind == "killed" || f.kind == "stopped" {
					return code == t.code && s.concerns(f, t) && between(f.from)
				}
				return slices.Contains(beside[f.kind], t.code) && (between(f.from) || between(s.ended(f)))
			})
			if before.to.After(t.from) || !fresh {
				bad("%v: %v tells again what %s told at %v", s.at(t.from), t, before.id, s.at(before.from))
			}
		}
	}
}

// judgeMiss wants a trouble to be told of that has lasted, and could be seen, for long
// enough.
func (s *storm) judgeMiss(f *trouble, plan string, tales []*tale, bad func(string, ...any)) {
	code, within := f.main(plan)
	if code == "" || f.kind == "split" && s.planOf(f) != plan {
		return
	}
	visible := s.seen
	if code == "site-unknown" {
		visible = func(second int) bool { return second < len(s.blurred) && !s.blurred[second] }
	}
	clear := time.Duration(0)
	for second := int(f.from.Sub(s.began)/time.Second) + 1; second < int(s.ended(f).Sub(s.began)/time.Second); second++ {
		if clear += time.Second; !visible(second) ||
			f.kind == "lag" && (s.noneReplays(plan, second) || s.wrongClock(second)) {
			clear = 0
		}
		at := s.began.Add(time.Duration(second) * time.Second)
		if clear < within {
			continue
		}
		told := slices.ContainsFunc(tales, func(t *tale) bool {
			return (t.plan == plan || code == siteUnknown && s.together) && (t.code == code || isWorse(t.code, code)) && s.concerns(f, t) && !t.from.After(at) && t.to.After(at)
		})
		if !told {
			bad("%v: %s: nobody was told of %s %s %s, which has lasted since %v, and could be seen for %v", s.at(at), plan, f.kind, f.at, f.image, s.at(f.from), clear)
			return
		}
	}
}

// isWorse reports whether what is told by a code says all that the other one would: a
// site that has no daemon has none either where it is only to stand by.
func isWorse(told, wanted string) bool { return told == "no-daemon" && wanted == "no-standby-daemon" }

func (s *storm) planOf(f *trouble) string {
	if f.image.Pool.Name == "cold" {
		return "vault"
	}
	return "shop"
}

// wrongClock reports whether a clock of a daemon is wrong: what it takes for the time
// tells by how much copies are behind.
func (s *storm) wrongClock(second int) bool {
	at := s.began.Add(time.Duration(second) * time.Second)
	return slices.ContainsFunc(s.troubles, func(f *trouble) bool {
		return f.kind == "clock" && !at.Before(f.from) && at.Before(s.ended(f))
	})
}

// noneReplays reports whether all images of a plan are in a split-brain, or have just
// been in one, so that none can be behind.
func (s *storm) noneReplays(plan string, second int) bool {
	at := s.began.Add(time.Duration(second) * time.Second)
	for _, ref := range s.refs {
		split := slices.ContainsFunc(s.troubles, func(f *trouble) bool {
			return f.kind == "split" && f.image == ref && !at.Before(f.from) && at.Before(s.ended(f).Add(5*time.Minute))
		})
		if !split && s.planOf(&trouble{image: ref}) == plan {
			return false
		}
	}
	return true
}

// judgeOncall wants the channel that is mute now and then to have been told all, and
// nothing twice.
func (s *storm) judgeOncall(t *tale, bad func(string, ...any)) {
	var kinds []alert.Kind
	var whens []time.Duration
	grave := false
	for _, m := range s.heard {
		switch {
		case m.ID == t.id && m.channel == "oncall":
			kinds, whens = append(kinds, m.Kind), append(whens, s.at(m.when))
		case m.ID == t.id && m.Kind == alert.Opened:
			grave = m.Severity != alert.Info && m.Code != alert.ChannelFailing
		}
	}
	last := len(kinds) - 1
	known := *t
	if len(whens) > 0 {
		known.to = s.began.Add(whens[last] + time.Second)
	}
	if s.doubled(t) || s.doubled(&known) {
		return // what one has told alone the other does not know
	}
	for i, k := range kinds {
		if again := i > 0 && kinds[i-1] == k && s.cutOff(whens[i-1]); again {
			continue
		}
		if k == alert.Opened && i > 0 || k == alert.Resolved && i < last && (kinds[i+1] != k || !s.cutOff(whens[i])) {
			bad("%v: on call was told %v at %v", t, kinds, whens)
			return
		}
	}
	switch {
	case last >= 0 && kinds[last] != alert.Resolved:
		bad("%v: on call was told %v, and not of the end", t, kinds)
	case last < 0 && grave:
		mute := slices.ContainsFunc(s.troubles, func(f *trouble) bool {
			return f.kind == "mute" && !t.from.Before(f.from) && !t.to.After(s.ended(f).Add(5*time.Minute))
		})
		if !mute {
			bad("%v, told at %v, was never told to who is on call", t, s.at(t.from))
		}
	}
}

// cutOff reports whether a daemon was killed just when a message was taken, before it
// could remember that: such a message comes twice, lest it never come.
func (s *storm) cutOff(at time.Duration) bool {
	return slices.ContainsFunc(s.troubles, func(f *trouble) bool {
		return f.kind == "killed" && (s.at(f.from)-at).Abs() <= time.Second
	})
}

// chronicle is the day as it was: what happened, and what was told on the channel
// that takes everything.
func (s *storm) chronicle() string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, f := range s.troubles {
		lines = append(lines, line{f.from, fmt.Sprintf("%s %s %s begins", f.kind, f.at, f.image)})
		if !f.to.IsZero() {
			lines = append(lines, line{f.to, fmt.Sprintf("%s %s %s ends", f.kind, f.at, f.image)})
		}
	}
	for _, m := range s.heard {
		if m.channel == "log" {
			lines = append(lines, line{m.when, fmt.Sprintf("    %s: %s %s %s %s [%s] %d: %s", m.Plan, m.ID, m.Kind, m.Code, m.Site, m.Severity, m.Images, m.What)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var out strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&out, "%v %s\n", s.at(l.at), l.text)
	}
	return out.String()
}

package report

import "time"

// Summary is what a list of past reports shows of one.
type Summary struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Name    string    `json:"name,omitempty"`
	Plan    string    `json:"plan"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Scope   string    `json:"scope,omitempty"` // see [Report]
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"` // from the beginning to the end
	Verdict Verdict   `json:"verdict"`
	Why     string    `json:"why,omitempty"`
	Fault   bool      `json:"fault,omitempty"` // see [Report]

	Objectives Objectives `json:"objectives"`
	Achieved   Achieved   `json:"achieved"`
	Images     Counts     `json:"images"`
	Checks     Counts     `json:"checks"`
	Left       int        `json:"left,omitempty"` // how many things could not be cleaned up
}

// Whole reports whether it was all of what the plan's drill names, and so says
// something of that drill: one of a few chosen images does not stand for it.
func (s *Summary) Whole() bool { return s.Scope == "" }

// Counts are how many images or checks came to which verdict.
type Counts struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	Aborted int `json:"aborted"`
	None    int `json:"none,omitempty"` // without a verdict
}

// All is how many there are.
func (c Counts) All() int { return c.Passed + c.Failed + c.Skipped + c.Aborted + c.None }

func (c *Counts) add(v Verdict, n int) {
	switch v {
	case Passed:
		c.Passed += n
	case Failed:
		c.Failed += n
	case Skipped:
		c.Skipped += n
	case Aborted:
		c.Aborted += n
	default:
		c.None += n
	}
}

// Summarize is the line of a report in a list. It counts what [Bound] left out, too.
func Summarize(r *Report) Summary {
	s := Summary{
		ID: r.ID, Kind: r.Kind, Name: r.Name, Plan: r.Plan, From: r.From, To: r.To, Scope: r.Scope,
		Began: r.Began, Seconds: took(r.Began, r.Ended), Verdict: r.Verdict, Why: r.Why, Fault: r.Fault,
		Objectives: r.Objectives, Achieved: r.Achieved, Left: len(r.Left),
	}
	s.Images = r.MoreImages
	for i := range r.Images {
		s.Images.add(r.Images[i].Verdict, 1)
	}
	for i := range r.Checks {
		s.Checks.add(r.Checks[i].Verdict, r.Checks[i].count())
	}
	return s
}

// count is how many checks this one stands for.
func (c *Check) count() int { return max(1, c.Count) }

// count is how many steps this one stands for.
func (s *Step) count() int { return max(1, s.Count) }

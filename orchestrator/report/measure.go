package report

// Outcome is how what was achieved stands to what the plan asks for.
type Outcome string

// The outcomes.
const (
	Met        Outcome = "met"
	Missed     Outcome = "missed"
	Unmeasured Outcome = "not measured" // there is an objective
	Unasked    Outcome = "no objective"
	// Within and Beyond the objective of the RPO is what the exposure of a drill may
	// be, by which it neither passes nor fails.
	Within Outcome = "within the RPO's objective"
	Beyond Outcome = "beyond the RPO's objective"
)

// Outcomes are those of both measures.
type Outcomes struct {
	RPO Outcome `json:"rpo"`
	RTO Outcome `json:"rto"`
}

// Compare holds what was achieved against the objectives, for Outcomes.
func (r *Report) Compare() {
	m := r.Measures()
	r.Outcomes = Outcomes{RPO: m[0].Outcome, RTO: m[1].Outcome}
}

// Measure is one objective beside what was achieved.
type Measure struct {
	Name      string   // RPO or RTO
	Means     string   // in words
	Objective float64  // in seconds; 0: none
	Achieved  *float64 // in seconds; nil: it could not be measured
	Outcome   Outcome
}

// Measures are the RPO, then the RTO.
func (r *Report) Measures() []Measure { return measures(r.Objectives, r.Achieved) }

// Measures are the RPO, then the RTO.
func (s *Summary) Measures() []Measure { return measures(s.Objectives, s.Achieved) }

func measures(o Objectives, a Achieved) []Measure {
	return []Measure{
		measure("RPO", "age of the oldest data that were brought up", o.RPOSeconds, a.RPOSeconds),
		measure("RTO", "from the beginning until the last check was green", o.RTOSeconds, a.RTOSeconds),
	}
}

// exposure is that of a drill; ok is false where there is none, or none is known.
func (r *Report) exposure() (m Measure, ok bool) {
	if r.Achieved.ExposureSeconds == nil {
		return m, false
	}
	m = measure("exposure", "age of the oldest data that were at the other site when the drill began: what the loss of the primary would have cost just then",
		r.Objectives.RPOSeconds, r.Achieved.ExposureSeconds)
	switch m.Outcome {
	case Met:
		m.Outcome = Within
	case Missed:
		m.Outcome = Beyond
	case Unmeasured, Unasked, Within, Beyond:
	}
	return m, true
}

// shown are the measures that people are shown: the exposure among them.
func (r *Report) shown() []Measure {
	all := r.Measures()
	if m, ok := r.exposure(); ok {
		all = append(all, m)
	}
	return all
}

func measure(name, means string, objective float64, achieved *float64) Measure {
	m := Measure{Name: name, Means: means, Objective: objective, Achieved: achieved}
	switch {
	case objective <= 0:
		m.Outcome = Unasked
	case achieved == nil:
		m.Outcome = Unmeasured
	case *achieved > objective:
		m.Outcome = Missed
	default:
		m.Outcome = Met
	}
	return m
}

// asked is the objective for people.
func (m *Measure) asked() string {
	if m.Objective <= 0 {
		return "none"
	}
	return span(m.Objective)
}

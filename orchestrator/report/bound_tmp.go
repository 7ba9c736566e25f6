package report

// Bound is r.
func Bound(r Report, _ int) Report { return r }

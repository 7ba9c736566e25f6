package orchestrator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

// TestUnmadeOfMany: of many copies that could not be compared those are named that are
// well, and the number of the rest goes down as they are compared by others.
func TestUnmadeOfMany(t *testing.T) {
	const images = 100
	since := time.Date(2026, 6, 10, 2, 0, 0, 0, time.UTC)
	report, seen := &VerifyReport{}, &StatusReport{}
	known := &proofs{last: map[proofKey]VerifiedCopy{}, identical: map[proofKey]VerifiedCopy{}}
	for i := range images {
		ref := replay.Pool{Name: "rbd"}.Image(fmt.Sprintf("vm-%03d", i))
		report.Images = append(report.Images, VerifiedImage{Ref: ref, Primary: "a", Secondary: "b", Error: fmt.Sprintf("why of %d", i)})
		image := ImageStatus{Ref: ref, State: replay.Replaying, Primary: "a", Copies: []CopyStatus{{Site: "b", State: replay.Replaying}}}
		if i != images-1 {
			image.Halt = "a halt"
		}
		// A warning does not keep it from being compared.
		image.Problems = []replay.Problem{{Code: replay.ProblemNoStandbyDaemon, Severity: replay.SeverityWarning}}
		seen.Images = append(seen.Images, image)
	}
	u := unmadeOf(report, nil, seen)
	if len(u.Copies) != unmadeNamed || u.More != images-unmadeNamed || !strings.HasSuffix(u.Copies[0].Image.String(), "099") || !strings.Contains(u.Why, "why of 99") {
		t.Fatalf("%d named, %d more, first %v: %s", len(u.Copies), u.More, u.Copies[0], u.Why)
	}
	if !u.anyWell(seen) || !u.again(u, seen) || u.again(nil, seen) {
		t.Error("the one that is well counts for nothing")
	}
	compared := func(n int) {
		for i := range n {
			known.add(VerifiedCopy{Image: report.Images[i].Ref, Primary: "a", Secondary: "b", At: since.Add(time.Hour), Identical: true})
		}
	}
	compared(images - 1)
	if left := u.left(known, since, seen); left == nil || len(left.Copies) != 1 || left.More != 0 {
		t.Errorf("left of the last: %+v", left)
	}
	// It is not well by now: nobody tells what cannot be helped.
	seen.Images[images-1].Halt = "a halt"
	if u.anyWell(seen) || u.again(u, seen) {
		t.Error("nothing is well, and it is tried and told")
	}
	compared(images)
	if left := u.left(known, since, seen); left != nil {
		t.Errorf("all were compared: %+v", left)
	}
}

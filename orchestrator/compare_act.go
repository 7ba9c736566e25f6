package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/drover-io/drover/replay"
)

// compareAct compares a copy with the primary, byte by byte, at one moment: by
// a snapshot that the primary takes and the copy gets, so that clients may go on
// writing. It reads what is allocated at both sites.
type compareAct struct {
	exchange // from: the site of the copy; to: that of the primary
	result   *VerifiedImage
}

func (a *compareAct) look(_ context.Context, c *crew) (bool, string, error) {
	switch {
	case a.result == nil:
		return false, "", nil
	case !a.result.Identical:
		return false, a.difference(), refusal("do not let "+a.from+" serve this image; find the cause (disks, memory, ceph -s, the log of rbd-mirror), then discard that copy once more: "+
			"drover runs end FILE "+c.run.ID+" --reason TEXT, and drover resync FILE "+a.ref.String()+" --keep "+a.to+" --force",
			"the copy of %s at %s does not hold what %s holds: %s", a.ref, a.from, a.to, a.difference())
	}
	read := a.result.Comparison.A.BytesRead + a.result.Comparison.B.BytesRead
	return true, fmt.Sprintf("identical at %s: %s, digest %s (%s were read)", a.result.Taken.Format(time.RFC3339),
		sizeText(a.result.Comparison.A.Size), a.result.Comparison.A.Digest, sizeText(read)), nil
}

// difference says where the copies differ.
func (a *compareAct) difference() string {
	r := a.result
	if sizes := [2]uint64{r.Comparison.A.Size, r.Comparison.B.Size}; sizes[0] != sizes[1] {
		return fmt.Sprintf("%s has %s, %s has %s", a.to, sizeText(sizes[0]), a.from, sizeText(sizes[1]))
	}
	const shown = 16
	var places []string
	for i, e := range r.Extents {
		if i == shown {
			places = append(places, "…")
			break
		}
		places = append(places, fmt.Sprintf("%d+%d", e.Offset, e.Length))
	}
	return fmt.Sprintf("%s differ, at bytes (offset+length) %s", sizeText(r.Differing), strings.Join(places, ", "))
}

func (a *compareAct) do(_ context.Context, c *crew) error {
	// Reading changes nothing, and may take hours: who wants to stop does not
	// wait for it.
	select {
	case c.copies <- struct{}{}:
	case <-c.soft.Done():
		return stopped(c)
	}
	defer func() { <-c.copies }()
	v := newVerification(c.plan, c.sites, VerifyOptions{Progress: func(e VerifyEvent) {
		if e.Step == VerifyCompare && e.Total > 0 {
			c.tell(RunEvent{Kind: RunCopies, Note: a.ref.String(), Done: e.Done, Whole: e.Total})
		}
	}}, c.bandwidth())
	result, err := v.verifyCopyAt(c.soft, a.ref, a.to, a.from)
	for _, left := range v.leftovers() {
		c.tell(RunEvent{Kind: RunNotes, Note: left})
	}
	switch {
	case err != nil && c.soft.Err() != nil:
		return stopped(c)
	case errors.Is(err, replay.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrUnverified, err)
	case err != nil:
		return err
	}
	a.result = result
	return nil
}

// stopped is why a step that could be left at any time was left.
func stopped(c *crew) error {
	if err := c.may(); err != nil {
		return err
	}
	return ErrInterrupted
}

func (*compareAct) patience(*crew) (time.Duration, time.Duration) { return 0, 0 }

// bandwidth is what all comparisons of the run may read in a second, by site.
func (c *crew) bandwidth() map[string]*rate.Limiter {
	c.reading.Do(func() { c.limits = verifyLimits(c.plan, nil) })
	return c.limits
}

package alert_test

import (
	"testing"

	"github.com/drover-io/drover/orchestrator/alert"
)

// TestUnseen: what is hidden at a site, by code or by image, is not over; whatever else
// is not found is.
func TestUnseen(t *testing.T) {
	for name, c := range map[string]struct {
		unseen alert.Unseen
		hidden bool
	}{
		"the code there":           {alert.Unseen{Site: "b", Codes: []string{"lag", "stalled"}}, true},
		"the code anywhere":        {alert.Unseen{Codes: []string{"lag"}}, true},
		"another code there":       {alert.Unseen{Site: "b", Codes: []string{"stalled"}}, false},
		"the code at another site": {alert.Unseen{Site: "a", Codes: []string{"lag"}}, false},
		"one of its images":        {alert.Unseen{Images: []string{"rbd/z", "rbd/y"}}, true},
		"an image, another code":   {alert.Unseen{Codes: []string{"stalled"}, Images: []string{"rbd/y"}}, false},
		"another image":            {alert.Unseen{Images: []string{"rbd/z"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			o.signals = signal("lag", alert.Critical, "b", "rbd/x", "rbd/y")
			for range 4 {
				o.check()
				o.now = o.now.Add(step)
			}
			o.signals, o.unseen = nil, []alert.Unseen{c.unseen}
			for range 60 {
				o.check()
				o.now = o.now.Add(step)
			}
			if open := len(o.desk().Open()) > 0; open != c.hidden {
				t.Errorf("open %v: %v", open, o.log)
			}
		})
	}
}

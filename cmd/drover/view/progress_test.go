package view_test

import (
	"bytes"
	"testing"

	"github.com/drover-io/drover/cmd/drover/view"
)

// TestProgressPrint: a line that matters is written at once, whatever the bars do.
func TestProgressPrint(t *testing.T) {
	var out bytes.Buffer
	p := view.NewProgress(&out, false, view.Palette{})
	p.Set("drill", view.UnitSteps, 1, 50)
	p.Print("! group db may still be held back")
	p.Set("drill", view.UnitSteps, 2, 50)
	p.Finish("drill", false)
	p.Close()
	if got := out.String(); got != "! group db may still be held back\n" {
		t.Errorf("%q", got)
	}
}

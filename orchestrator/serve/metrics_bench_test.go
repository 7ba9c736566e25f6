package serve_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/replay"
)

// thousand is a report of 1,000 images.
func thousand() *orchestrator.StatusReport {
	images := make([]orchestrator.ImageStatus, 0, 1000)
	for i := range 1000 {
		images = append(images, image(ref("rbd", "", fmt.Sprintf("vm-%d", i)), replay.Replaying, time.Second))
	}
	return report(images...)
}

func BenchmarkSaw(b *testing.B) {
	m, r := serve.NewMetrics(build), thousand()
	b.ReportAllocs()
	for b.Loop() {
		m.Saw(r)
	}
}

func BenchmarkScrape(b *testing.B) {
	m := serve.NewMetrics(build)
	m.Saw(thousand())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Registry().Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

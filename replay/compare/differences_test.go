package compare

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/drover-io/drover/replay"
)

// The ranges told cover every byte that differs, in order, apart from each
// other, and none of them is without a difference.
func TestTellsWhereSidesDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 2*ChunkSize+5000).Draw(t, "size")
		a, b := make([]byte, size), make([]byte, size)
		for i := range rapid.IntRange(0, 5).Draw(t, "writes") {
			at := rapid.IntRange(0, size-1).Draw(t, "at")
			for k := at; k < min(size, at+rapid.IntRange(1, 9000).Draw(t, "length")); k++ {
				b[k] = byte(i + 1)
			}
		}
		var told []replay.Extent
		result, err := Compare(t.Context(), scattered(a, nil), scattered(b, nil), Options{
			Workers: 3, Different: func(e replay.Extent) { told = append(told, e) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if result.Identical != (len(told) == 0) {
			t.Fatalf("identical %v, ranges %v", result.Identical, told)
		}
		end := uint64(0)
		for _, e := range told {
			if e.Offset < end || e.Offset+e.Length > uint64(size) {
				t.Fatalf("ranges overlap or leave the image: %v", told)
			}
			if !bytes.Equal(a[end:e.Offset], b[end:e.Offset]) {
				t.Fatalf("a difference before %v was not told: %v", e, told)
			}
			end = e.Offset + e.Length
			if bytes.Equal(a[e.Offset:end], b[e.Offset:end]) {
				t.Fatalf("no difference in %v", e)
			}
		}
		if !bytes.Equal(a[end:], b[end:]) {
			t.Fatalf("a difference after %d was not told: %v", end, told)
		}
		if len(told) > 0 && result.FirstDifference != nil {
			first := slices.MinFunc(told, func(x, y replay.Extent) int { return int(x.Offset) - int(y.Offset) })
			if *result.FirstDifference < first.Offset || *result.FirstDifference >= first.Offset+first.Length {
				t.Fatalf("first difference %d is not in %v", *result.FirstDifference, first)
			}
		}
	})
}

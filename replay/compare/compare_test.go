package compare

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/drover-io/drover/replay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scattered makes a reader of the content in which the given ranges are
// allocated, together with all that is not zero.
func scattered(content []byte, extra []replay.Extent) *memory {
	m := &memory{content: content, failAt: -1}
	const grain = 4 << 10
	blocks := (len(content) + grain - 1) / grain
	allocated := make([]bool, blocks)
	for i := range blocks {
		block := content[i*grain : min((i+1)*grain, len(content))]
		allocated[i] = len(bytes.Trim(block, "\x00")) > 0
	}
	for _, e := range extra {
		for i := e.Offset / grain; i < (e.Offset+e.Length)/grain && i < uint64(blocks); i++ {
			allocated[i] = true
		}
	}
	for i := 0; i < blocks; {
		j := i
		for j < blocks && allocated[j] {
			j++
		}
		if j > i {
			m.extents = append(m.extents, replay.Extent{Offset: uint64(i * grain), Length: uint64((j - i) * grain)})
		}
		i = j + 1
	}
	return m
}

func drawExtents(t *rapid.T, size int, label string) []replay.Extent {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) replay.Extent {
		return replay.Extent{
			Offset: rapid.Uint64Range(0, uint64(size)).Draw(t, "offset"),
			Length: rapid.Uint64Range(1, 300<<10).Draw(t, "length"),
		}
	}), 0, 6).Draw(t, label)
}

// TestAgreesWithBytes compares random sparse contents, allocated differently
// at both sides, with what the bytes themselves say.
func TestAgreesWithBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 9<<20).Draw(t, "size")
		content := make([]byte, size)
		noise := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for _, e := range drawExtents(t, size, "written") {
			for i := e.Offset; i < min(e.Offset+e.Length, uint64(size)); i++ {
				content[i] = byte(noise.Uint32())
			}
		}
		other := slices.Clone(content)
		if rapid.Bool().Draw(t, "resize") {
			other = append(other, make([]byte, rapid.IntRange(0, 5<<20).Draw(t, "growth"))...)
		}
		for _, e := range drawExtents(t, len(other), "changed") {
			if e.Offset < uint64(len(other)) {
				other[e.Offset] ^= byte(e.Length)
			}
		}
		if rapid.Bool().Draw(t, "swap") {
			content, other = other, content
		}

		a := scattered(content, drawExtents(t, len(content), "allocated a"))
		b := scattered(other, drawExtents(t, len(other), "allocated b"))
		b.short = rapid.Bool().Draw(t, "short reads")
		options := Options{Workers: rapid.IntRange(1, 4).Draw(t, "workers")}
		if rapid.Bool().Draw(t, "ahead") {
			// Some of the first is read before the second is there.
			some := &someReads{memory: a, left: rapid.Int32Range(0, 5).Draw(t, "reads ahead"), enough: make(chan struct{})}
			options.AheadA = ReadAhead(context.Background(), some.enough, some, options)
		}
		got, err := Compare(context.Background(), a, b, options)
		if err != nil {
			t.Fatal(err)
		}

		same := bytes.Equal(content, other)
		if got.Identical != same {
			t.Fatalf("identical: %v, want %v", got.Identical, same)
		}
		if (got.A.Digest == got.B.Digest) != same {
			t.Fatalf("digests %v and %v of contents whose equality is %v", got.A.Digest, got.B.Digest, same)
		}
		if same != (got.FirstDifference == nil) {
			t.Fatalf("first difference %v of contents whose equality is %v", got.FirstDifference, same)
		}
		if !same {
			both := min(len(content), len(other))
			if want := uint64(firstByte(content[:both], other[:both])); *got.FirstDifference != want {
				t.Fatalf("first difference at %d, want %d", *got.FirstDifference, want)
			}
		}
		if want := differentChunks(content, other); got.DifferentChunks != want {
			t.Fatalf("%d chunks differ, want %d", got.DifferentChunks, want)
		}

		// The digest says nothing of allocation: everything allocated, same digest.
		full := (&memory{content: content, failAt: -1}).whole()
		again, err := Compare(context.Background(), full, full, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if again.A.Digest != got.A.Digest {
			t.Fatal("the digest depends on what is allocated")
		}
	})
}

// someReads says that it is enough after so many reads.
type someReads struct {
	*memory
	left   int32
	begun  atomic.Int32
	enough chan struct{}
}

func (r *someReads) ReadAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	if r.begun.Add(1) == r.left {
		close(r.enough)
	}
	return r.memory.ReadAt(ctx, p, offset)
}

// TestReadAheadSaves wants what was read ahead not to be read again, and what
// an error cut short to be read by the comparison.
func TestReadAheadSaves(t *testing.T) {
	content := bytes.Repeat([]byte("drover"), 3<<20)
	a, b := (&memory{content: content, failAt: -1}).whole(), (&memory{content: content, failAt: -1}).whole()
	ahead := ReadAhead(t.Context(), nil, a, Options{})
	gone := &memory{content: content, extents: a.extents, failAt: 0} // cannot be read any more
	got, err := Compare(t.Context(), gone, b, Options{AheadA: ahead})
	if err != nil || !got.Identical || got.A.BytesRead != uint64(len(content)) {
		t.Errorf("%+v, %v", got, err)
	}

	broken := &memory{content: content, extents: a.extents, failAt: 5 << 20}
	ahead = ReadAhead(t.Context(), nil, broken, Options{Workers: 1})
	if len(ahead.chunks) != 1 {
		t.Fatalf("%d chunks were read ahead of the error in the second", len(ahead.chunks))
	}
	if got, err := Compare(t.Context(), a, b, Options{AheadA: ahead}); err != nil || !got.Identical {
		t.Errorf("%+v, %v", got, err)
	}
}

func firstByte(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

func differentChunks(a, b []byte) (n uint64) {
	both := min(len(a), len(b))
	for at := 0; at < both; at += ChunkSize {
		end := min(at+ChunkSize, both)
		if !bytes.Equal(a[at:end], b[at:end]) {
			n++
		}
	}
	return n
}

// TestDigestFormat pins the format: digests are printed as evidence and may be
// compared with those of another day.
func TestDigestFormat(t *testing.T) {
	m := newMemory(9 << 20).whole()
	for i := 3 << 20; i < 5<<20; i++ {
		m.content[i] = byte(i * 7)
	}
	r, err := Compare(context.Background(), m, m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "5c3fd5c1a28884adfb5c83e0da90585aedb5a712cbcdb822830b56367354d63c"
	if got := r.A.Digest.String(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// TestReadsOnlyWhatIsAllocated: a terabyte of hole costs nothing.
func TestReadsOnlyWhatIsAllocated(t *testing.T) {
	a, b := newMemory(64<<20), newMemory(64<<20)
	a.extents = []replay.Extent{{Offset: 40 << 20, Length: 8 << 10}}
	b.extents = []replay.Extent{{Offset: 52 << 20, Length: 4 << 10}, {Offset: 52<<20 + 8<<10, Length: 4 << 10}}
	var last uint64
	r, err := Compare(context.Background(), a, b, Options{Progress: func(done, total uint64) {
		if done < last || total != 64<<20 {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Identical {
		t.Error("zeros differ from a hole")
	}
	if r.A.Allocated != 8<<10 || r.B.Allocated != 8<<10 {
		t.Errorf("allocated %d and %d", r.A.Allocated, r.B.Allocated)
	}
	// A hole of 4 KiB is not worth a second read.
	if r.A.BytesRead != 8<<10 || r.B.BytesRead != 12<<10 || b.reads.Load() != 1 {
		t.Errorf("read %d and %d bytes", r.A.BytesRead, r.B.BytesRead)
	}
	if last != 64<<20 {
		t.Errorf("progress ends at %d", last)
	}
}

// TestStaleBuffers: what a worker read into its buffers before must not show
// through the holes of the next chunk.
func TestStaleBuffers(t *testing.T) {
	a, b := newMemory(2*ChunkSize), newMemory(2*ChunkSize)
	for i := range ChunkSize {
		a.content[i], b.content[i] = 0xff, 0xff
	}
	a.extents = []replay.Extent{{Offset: 0, Length: ChunkSize}, {Offset: ChunkSize + 1<<20, Length: 4096}}
	b.extents = []replay.Extent{{Offset: 0, Length: ChunkSize}}
	r, err := Compare(context.Background(), a, b, Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Identical {
		t.Errorf("differs at %d", *r.FirstDifference)
	}
}

func TestReadErrorNamesSideAndOffset(t *testing.T) {
	a, b := newMemory(20<<20).whole(), newMemory(20<<20).whole()
	cause := errors.New("input/output error")
	b.failAt, b.failWith = 13<<20+77, cause
	_, err := Compare(context.Background(), a, b, Options{NameA: "site-a", NameB: "site-b"})
	var side *SideError
	if !errors.As(err, &side) || !errors.Is(err, cause) || side.Side != "site-b" || side.Offset != 13<<20+77 {
		t.Errorf("error %v", err)
	}
}

func TestReadEndsEarly(t *testing.T) {
	a, b := newMemory(1<<20).whole(), newMemory(1<<20).whole()
	b.failAt = 5000 // reads nothing from there on, and says so without an error
	_, err := Compare(context.Background(), a, b, Options{})
	var side *SideError
	if !errors.As(err, &side) || side.Side != "b" {
		t.Errorf("error %v", err)
	}
}

func TestExtentErrors(t *testing.T) {
	cause := errors.New("no object map")
	for name, spoil := range map[string]func(*memory){
		"listing fails":        func(m *memory) { m.listFail = cause },
		"extents out of order": func(m *memory) { m.extents = []replay.Extent{{Offset: 9000, Length: 10}, {Offset: 0, Length: 10}} },
		"extents overlap":      func(m *memory) { m.extents = []replay.Extent{{Offset: 0, Length: 10}, {Offset: 9, Length: 10}} },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newMemory(10000).whole(), newMemory(10000)
			spoil(b)
			_, err := Compare(context.Background(), a, b, Options{})
			var side *SideError
			if !errors.As(err, &side) || side.Side != "b" || side.Op != opExtents {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestExtentBeyondTheEnd(t *testing.T) {
	a, b := newMemory(10000).whole(), newMemory(10000)
	b.extents = []replay.Extent{{Offset: 0, Length: 1 << 62}, {Offset: 1 << 62, Length: 1 << 63}}
	r, err := Compare(context.Background(), a, b, Options{})
	if err != nil || !r.Identical || r.B.Allocated != 10000 {
		t.Errorf("result %+v, error %v", r, err)
	}
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMemory(32<<20).whole(), newMemory(32<<20).whole()
		b.block = make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		failed := make(chan error)
		go func() {
			_, err := Compare(ctx, a, b, Options{})
			failed <- err
		}()
		synctest.Wait() // all workers hang in a read
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// TestLimit: at 8 MiB/s, 32 MiB take four seconds, less the first burst, at
// both sides together.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMemory(32<<20).whole(), newMemory(32<<20).whole()
		begin := time.Now()
		if _, err := Compare(context.Background(), a, b, Options{BytesPerSecond: 8 << 20}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 3700*time.Millisecond || took > 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		a, b  uint64
		first int64 // -1: none
	}{
		{0, 0, -1},
		{0, 1, 0},
		{ChunkSize, ChunkSize, -1},
		{ChunkSize, ChunkSize + 1, ChunkSize},
		{3*ChunkSize + 5, 17, 17},
	} {
		r, err := Compare(context.Background(), newMemory(c.a), newMemory(c.b).whole(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		first := int64(-1)
		if r.FirstDifference != nil {
			first = int64(*r.FirstDifference)
		}
		if r.Identical != (c.first < 0) || first != c.first || r.A.Size != c.a || r.B.Size != c.b {
			t.Errorf("sizes %d and %d: %+v, first difference %d", c.a, c.b, r, first)
		}
		if (r.A.Digest == r.B.Digest) != r.Identical {
			t.Errorf("sizes %d and %d: digests %v and %v", c.a, c.b, r.A.Digest, r.B.Digest)
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	const size = 256 << 20
	x := newMemory(size).whole()
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range x.content {
		x.content[i] = byte(noise.Uint32())
	}
	y := (&memory{content: slices.Clone(x.content), failAt: -1}).whole()
	b.SetBytes(size) // of each side
	b.ReportAllocs()
	for b.Loop() {
		r, err := Compare(context.Background(), x, y, Options{})
		if err != nil || !r.Identical {
			b.Fatal(r, err)
		}
	}
}

func BenchmarkCompareSparse(b *testing.B) {
	const size = 256 << 20
	x, y := newMemory(size), newMemory(size)
	for at := uint64(0); at < size; at += 4 << 20 {
		x.extents = append(x.extents, replay.Extent{Offset: at, Length: 64 << 10})
		x.content[at], y.content[at] = 1, 1
	}
	y.extents = x.extents
	b.SetBytes(size)
	for b.Loop() {
		r, err := Compare(context.Background(), x, y, Options{})
		if err != nil || !r.Identical {
			b.Fatal(r, err)
		}
	}
}

package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/drover-io/drover/replay"
)

// counter sums up from several goroutines.
type counter struct{ n atomic.Uint64 }

func (c *counter) add(n uint64)  { c.n.Add(n) }
func (c *counter) value() uint64 { return c.n.Load() }

// nowhere takes what is copied, and drops it.
type nowhere struct{}

// WriteAt never fails.
func (nowhere) WriteAt(_ context.Context, p []byte, _ uint64) (int, error) { return len(p), nil }

// intoFile is a file to copy into.
type intoFile struct{ *os.File }

// WriteAt writes to the file.
func (f intoFile) WriteAt(_ context.Context, p []byte, offset uint64) (int, error) {
	return f.File.WriteAt(p, int64(offset))
}

// fileSystem is a file system that can be told by its first bytes, and looked over by
// its own tools in a file.
type fileSystem struct {
	name   string
	at     int // of the magic, in bytes
	magic  string
	checks [][]string // each command ends with the file's name
	// good are the exit codes that mean that nothing is wrong.
	good []int
}

// fileSystems are those that are known. A file system that was in use at the moment
// of the snapshot has a journal to be replayed, as after a power cut: that is done
// first, in the private file, where the tool can.
var fileSystems = []fileSystem{
	{name: "ext2, ext3 or ext4", at: 1080, magic: "\x53\xef", checks: [][]string{{"e2fsck", "-p", "-E", "journal_only"}, {"e2fsck", "-f", "-n"}}, good: []int{0, 1}},
	{name: "XFS", at: 0, magic: "XFSB", checks: [][]string{{"xfs_repair", "-n", "-f"}}, good: []int{0}},
	{name: "Btrfs", at: 0x10040, magic: "_BHRfS_M", checks: [][]string{{"btrfs", "check", "--readonly"}}, good: []int{0}},
}

// notLookedInto are contents in which a file system may be that is not looked for.
var notLookedInto = []struct {
	name  string
	at    int
	magic string
}{
	{"LUKS, encrypted", 0, "LUKS\xba\xbe"},
	{"an LVM physical volume", 512, "LABELONE"},
	{"a GUID partition table", 512, "EFI PART"},
	{"a partition table", 510, "\x55\xaa"},
}

// headSize is what is read to tell a file system.
const headSize = 128 << 10

// checkFilesystem recognises a file system and has its own tool look it over, on a
// private copy in a file: the tool neither needs a device nor can it change the clone.
func (d *drill) checkFilesystem(ctx context.Context, clone replay.Reader) (said string, err error) {
	head := make([]byte, min(headSize, clone.Size()))
	if err := readWhole(ctx, clone, head, 0); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	has := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && bytes.Equal(head[at:at+len(magic)], []byte(magic))
	}
	for _, fs := range fileSystems {
		if has(fs.at, fs.magic) {
			said, err := fs.check(ctx, clone, d.folder)
			if err == nil {
				said = strings.TrimSpace(fs.name + "; " + said)
			}
			return said, err
		}
	}
	for _, other := range notLookedInto {
		if has(other.at, other.magic) {
			return "", errLeftOut("it holds " + other.name + ", which this check does not look into")
		}
	}
	return "", errLeftOut("no file system is recognised in it")
}

// check copies the clone into a file in a folder of its own, and runs the tools on it.
func (fs *fileSystem) check(ctx context.Context, clone replay.Reader, within func() (string, error)) (said string, err error) {
	for _, argv := range fs.checks {
		if _, err := exec.LookPath(argv[0]); err != nil {
			return "", errLeftOut(fmt.Sprintf("it holds %s, and %s is not installed here", fs.name, argv[0]))
		}
	}
	needed, err := allocated(ctx, clone)
	if err != nil {
		return "", err
	}
	folder, err := within()
	if err == nil {
		folder, err = os.MkdirTemp(folder, "image-*")
	}
	if err != nil {
		return "", errLeftOut(oneLine(err.Error()))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := roomInFolder(folder, needed, 5); err != nil {
		return "", errLeftOut(oneLine(err.Error()))
	}
	file := filepath.Join(folder, "image")
	if err := export(ctx, clone, file); err != nil {
		return "", err
	}
	for _, argv := range fs.checks {
		e := errand{argv: append(append([]string{}, argv...), file), timeout: time.Until(deadlineOf(ctx)), env: []string{"LC_ALL=C"}}
		result, err := e.run(ctx)
		if result.Code < 0 || !contains(fs.good, result.Code) {
			return result.Output, fmt.Errorf("%s, by %s: %w", fs.name, argv[0], err)
		}
		said = lastLine(result.Output)
	}
	return strings.ReplaceAll(said, file, "image"), nil
}

func contains(codes []int, code int) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

// deadlineOf is when a context ends, at the latest in an hour.
func deadlineOf(ctx context.Context) time.Time {
	if at, ok := ctx.Deadline(); ok {
		return at
	}
	return time.Now().Add(time.Hour)
}

// export copies an image into a sparse file.
func export(ctx context.Context, from replay.Reader, path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Truncate(int64(from.Size())); err != nil {
		return err
	}
	return copyExtents(ctx, from, intoFile{file}, func(uint64) {})
}

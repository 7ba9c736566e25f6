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
	"slices"
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
	// unreplayed is a command, ended by the file's name, that exits with 2 where a check
	// has failed because nothing but the kernel replays its journal. It may change the file.
	unreplayed []string
}

// unreplayedCode is what fileSystem.unreplayed exits with.
const unreplayedCode = 2

// fileSystems are those that are known. A file system that was in use at the moment
// of the snapshot has a journal to be replayed, as after a power cut: e2fsck does that
// first, in the private file, and clears the inodes that were open and unlinked.
// xfs_repair cannot: -n ignores the log and takes what is in it alone for damage, with
// the exit code of damage; without -n it changes nothing and exits with 2 (xfs_repair(8),
// "Dirty logs"). What Btrfs holds is whole at any moment (its log tree aside, which its
// check does not need).
var fileSystems = []fileSystem{
	{name: "ext2, ext3 or ext4", at: 1080, magic: "\x53\xef", checks: [][]string{{"e2fsck", "-p", "-E", "journal_only"}, {"e2fsck", "-f", "-n"}}, good: []int{0, 1}},
	{name: "XFS", at: 0, magic: "XFSB", checks: [][]string{{"xfs_repair", "-n", "-f"}}, good: []int{0}, unreplayed: []string{"xfs_repair", "-f"}},
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
		result, err := runTool(ctx, argv, file)
		if result.Code >= 0 && slices.Contains(fs.good, result.Code) {
			said = lastLine(result.Output)
			continue
		}
		if result.Code >= 0 && fs.unreplayed != nil {
			if again, _ := runTool(ctx, fs.unreplayed, file); again.Code == unreplayedCode {
				return "", errLeftOut(fmt.Sprintf("it holds %s that was in use: its log was not replayed, which %s cannot do, so that nothing is known of it; mount the clone in a check of your own",
					fs.name, argv[0]))
			}
		}
		return result.Output, fmt.Errorf("%s, by %s: %w", fs.name, argv[0], err)
	}
	return strings.ReplaceAll(said, file, "image"), nil
}

// runTool runs the tool of a file system on a file.
func runTool(ctx context.Context, argv []string, file string) (HookResult, error) {
	e := errand{argv: append(slices.Clone(argv), file), timeout: time.Until(deadlineOf(ctx)), env: []string{"LC_ALL=C"}}
	return e.run(ctx)
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

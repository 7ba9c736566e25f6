package orchestrator

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-io/drover/replay"
)

// fileReader reads a file as an image.
type fileReader struct {
	*os.File
	size uint64
}

func (f fileReader) Size() uint64 { return f.size }

func (f fileReader) ObjectSize() uint64 { return 4 << 20 }

func (f fileReader) Extents(_ context.Context, fn func(replay.Extent) error) error {
	return fn(replay.Extent{Length: f.size})
}

func (f fileReader) ReadAt(_ context.Context, p []byte, offset uint64) (int, error) {
	return f.File.ReadAt(p, int64(offset))
}

// TestDrillFilesystems has the check look into file systems that the real tools have
// made: whole ones, those in use at the moment of the snapshot, and damaged ones.
func TestDrillFilesystems(t *testing.T) {
	const (
		whole   = ""
		damaged = "damaged"
	)
	ext4 := []string{"mkfs.ext4", "-q", "-F"}
	xfs := []string{"mkfs.xfs", "-q", "-f"}
	btrfs := []string{"mkfs.btrfs", "-q"}
	for _, c := range []struct {
		name   string
		make   []string
		size   int64
		spoil  func(t *testing.T, path string)
		want   string // whole, damaged, or why it is left out
		checks string // the tool
	}{
		{"ext4", ext4, 64 << 20, nil, whole, "e2fsck"},
		{"ext4 in use", ext4, 64 << 20, extInUse, whole, "e2fsck"},
		{"ext4 damaged", ext4, 64 << 20, garbage(256<<10, 1<<20), damaged, "e2fsck"},
		{"XFS", xfs, 300 << 20, nil, whole, "xfs_repair"},
		{"XFS in use", xfs, 300 << 20, xfsInUse, "its log was not replayed", "xfs_repair"},
		{"XFS in use, with more to say than is kept", xfs, 300 << 20, func(t *testing.T, path string) {
			xfsInUse(t, path)
			garbage(4096, 1<<20)(t, path)
		}, "its log was not replayed", "xfs_repair"},
		{"XFS damaged", xfs, 300 << 20, garbage(4096, 32<<10), damaged, "xfs_repair"},
		{"Btrfs", btrfs, 200 << 20, nil, whole, "btrfs"},
		{"Btrfs damaged", btrfs, 200 << 20, garbage(1<<20, 100<<20), damaged, "btrfs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
			for _, tool := range []string{c.make[0], c.checks} {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("%s is not installed (make deps): that Drover judges %s rightly is NOT CHECKED", tool, c.name)
				}
			}
			path := filepath.Join(t.TempDir(), "disk")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if err := f.Truncate(c.size); err != nil {
				t.Fatal(err)
			}
			command(t, "", append(c.make, path)...)
			if c.spoil != nil {
				c.spoil(t, path)
			}
			d := &drill{scratch: &drillFolder{path: t.TempDir()}}
			said, err := d.checkFilesystem(t.Context(), fileReader{f, uint64(c.size)})
			var left errLeftOut
			switch {
			case c.want == whole:
				if err != nil {
					t.Errorf("%v\n%s", err, said)
				}
			case c.want == damaged:
				if err == nil || errors.As(err, &left) || !strings.Contains(err.Error(), "by "+c.checks) {
					t.Errorf("not found to be damaged: %v\n%s", err, said)
				}
			case !errors.As(err, &left) || !strings.Contains(err.Error(), c.want):
				t.Errorf("want %q: %v\n%s", c.want, err, said)
			}
		})
	}
}

func command(t *testing.T, input string, argv ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

// garbage overwrites a part of a file with what is no metadata.
func garbage(at, length int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		data := make([]byte, length)
		for i := range data {
			data[i] = byte(i*i>>3 + 7*i + 1)
		}
		overwrite(t, path, at, data)
	}
}

func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(data, at)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// extInUse leaves an ext4 as a power cut does: a journal to be replayed, counts in the
// superblock that are out of date, and a file that was unlinked while it was open.
func extInUse(t *testing.T, path string) {
	if _, err := exec.LookPath("debugfs"); err != nil {
		t.Skip("debugfs is not installed (make deps): that Drover judges an ext4 in use rightly is NOT CHECKED")
	}
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := "write " + file + " open\n" + // inode 12, the first
		"unlink open\nsif <12> links_count 0\nssv last_orphan 12\nssv free_blocks_count 50000\nfeature needs_recovery\n"
	command(t, commands, "debugfs", "-w", "-f", "-", path)
}

// xfsInUse makes the log of an XFS, which mkfs.xfs leaves with the one record of an
// unmount, hold a record of something else: it has to be replayed.
func xfsInUse(t *testing.T, path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	super := make([]byte, 512)
	if _, err := io.ReadFull(f, super); err != nil {
		t.Fatal(err)
	}
	// fs/xfs/libxfs/xfs_format.h, struct xfs_dsb; xfs_log_format.h, struct
	// xlog_rec_header (512 bytes) and struct xlog_op_header.
	block, start := int64(binary.BigEndian.Uint32(super[4:])), binary.BigEndian.Uint64(super[48:])
	blocks, bits := binary.BigEndian.Uint32(super[84:]), super[124]
	at := (int64(start>>bits)*int64(blocks) + int64(start&(1<<bits-1))) * block
	flags := make([]byte, 1)
	const unmount = 0x20
	if _, err := f.ReadAt(flags, at+512+9); err != nil || flags[0] != unmount {
		t.Fatalf("the log does not begin with the record of an unmount: %x, %v", flags, err)
	}
	overwrite(t, path, at+512+9, []byte{0})
}

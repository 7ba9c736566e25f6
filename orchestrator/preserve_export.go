package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
)

// rawSuffix and sidecarSuffix end the names of an exported image and of what is
// written down beside it.
const (
	rawSuffix     = ".raw"
	sidecarSuffix = ".json"
)

// sidecar is what must be known of an exported image to make it anew, kept as
// JSON beside it.
type sidecar struct {
	Version    int             `json:"version"`
	Plan       string          `json:"plan"`
	Run        string          `json:"run"`
	Site       string          `json:"site"`
	Image      replay.ImageRef `json:"image"`
	Size       uint64          `json:"size"`        // bytes
	ObjectSize uint64          `json:"object_size"` // bytes
	Features   []string        `json:"features"`    // of the original
	Allocated  uint64          `json:"allocated"`   // bytes
	// Digest is the SHA-256 over size and content in the way of package compare;
	// it is not that of the file.
	Digest string `json:"digest"`
}

// sidecarVersion is the form that is written and read.
const sidecarVersion = 1

// exportPath is PATH/PLAN/SITE/POOL[.NAMESPACE]/NAME-RUN.raw.
func exportPath(folder, plan, site string, ref replay.ImageRef, run string) string {
	pool := ref.Pool.Name
	if ref.Namespace != "" {
		pool += "." + ref.Namespace
	}
	return filepath.Join(folder, fileName(plan), fileName(site), fileName(pool), fileName(ref.Name+"-"+shortRun(run))+rawSuffix)
}

// fileName makes a file's name of a name that Ceph takes: what a file system
// would take for something else, and control characters, become %XX.
func fileName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c == '/' || c == '%' || c < ' ' || c == 0x7f || c == '.' && i == 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// exportSize is the length of an exported image; found is false when there is
// none that is complete.
func exportSize(path string) (size uint64, found bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	case !info.Mode().IsRegular():
		return 0, false, fmt.Errorf("%s is no file", path)
	}
	return uint64(info.Size()), true, nil
}

// exportImage keeps a copy as a file. The file gets its name last, when it and
// its sidecar are whole, equal and durable.
func exportImage(ctx context.Context, site Preserver, image *replay.Image, p Preserved, o preserveOrder, progress func(done, total uint64)) (result compare.Result, err error) {
	from, err := site.OpenSnapshot(ctx, image.Ref, "")
	if err != nil {
		return result, err
	}
	defer func() { err = replay.OneLine(err, from.Close()) }()
	needed, err := allocated(ctx, from)
	if err != nil {
		return result, err
	}
	if err := roomInFolder(o.how.Path, needed, o.minFree); err != nil {
		return result, err
	}
	folder := filepath.Dir(p.Path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return result, err
	}
	partial := p.Path + partialSuffix
	defer func() {
		// Gone already when all went well; what stays is made anew.
		_ = os.Remove(partial)
	}()
	result, err = writeExport(ctx, from, partial, newCopyMeter(needed, progress))
	if err != nil || !result.Identical {
		return result, err
	}
	beside := sidecar{
		Version: sidecarVersion, Plan: o.plan, Run: o.run, Site: site.Name(), Image: image.Ref,
		Size: from.Size(), ObjectSize: from.ObjectSize(), Features: image.Features.Names(),
		Allocated: result.A.Allocated, Digest: result.A.Digest.String(),
	}
	if err := writeSidecar(sidecarPath(p.Path), beside); err != nil {
		return result, err
	}
	if err := os.Rename(partial, p.Path); err != nil {
		return result, err
	}
	return result, syncFolder(folder)
}

// writeExport writes a sparse file, makes it durable, and compares it.
func writeExport(ctx context.Context, from replay.Reader, path string, meter *copyMeter) (result compare.Result, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return result, err
	}
	made := &imageFile{file: file, size: from.Size(), object: from.ObjectSize()}
	defer func() { err = replay.OneLine(err, made.Close()) }()
	if err := file.Truncate(int64(from.Size())); err != nil {
		return result, err
	}
	if err := copyExtents(ctx, from, made, meter.wrote); err != nil {
		return result, err
	}
	if err := file.Sync(); err != nil {
		return result, err
	}
	return compare.Compare(ctx, from, made, compare.Options{NameA: "the original", NameB: path, Progress: meter.compared})
}

func sidecarPath(path string) string { return strings.TrimSuffix(path, rawSuffix) + sidecarSuffix }

func writeSidecar(path string, s sidecar) (err error) {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	partial := path + partialSuffix
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = replay.OneLine(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

func readSidecar(path string) (s sidecar, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	if s.Version != sidecarVersion {
		return s, refusal("use the drover that wrote it", "%s has the version %d; this drover reads %d", path, s.Version, sidecarVersion)
	}
	return s, nil
}

// syncFolder makes a rename in it durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return replay.OneLine(folder.Sync(), folder.Close())
}

// openExport opens an exported image for reading.
func openExport(path string) (replay.Reader, error) {
	beside, err := readSidecar(sidecarPath(path))
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && uint64(info.Size()) != beside.Size {
		err = refusal("look for the whole file elsewhere", "%s has %s, but was written with %s", path, sizeText(uint64(info.Size())), sizeText(beside.Size))
	}
	if err != nil {
		return nil, replay.OneLine(err, file.Close())
	}
	return &imageFile{file: file, size: beside.Size, object: beside.ObjectSize}, nil
}

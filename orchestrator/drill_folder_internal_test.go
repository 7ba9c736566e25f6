package orchestrator

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSweepFolders: what a killed drill has left on this host is removed, and nothing of
// one that lives, nor anything that is not a drill's.
func TestSweepFolders(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	id := newRunID(Drill, time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC))
	made := func() *drillFolder {
		t.Helper()
		f, err := newDrillFolder(id)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(f.path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info, err)
		}
		if err := os.WriteFile(filepath.Join(f.path, "image"), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	living, killed := made(), made()
	_ = killed.lock.Close() // as the kernel does
	other := filepath.Join(folder, "other")
	for _, err := range []error{
		os.Mkdir(other, 0o700), os.WriteFile(filepath.Join(other, "precious"), nil, 0o600), os.Symlink(other, filepath.Join(folder, folderPrefix+"link")),
		os.WriteFile(filepath.Join(folder, folderPrefix+"file"), nil, 0o600), os.Mkdir(filepath.Join(folder, folderPrefix+"open"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	left := sweepFolders()
	if len(left) != 1 || left[0].Folder != killed.path || !left[0].Removed || left[0].Drill != id {
		t.Errorf("%+v", left)
	}
	var there []string
	for _, path := range []string{living.path, killed.path, other + "/precious", folder + "/" + folderPrefix + "file", folder + "/" + folderPrefix + "open"} {
		if _, err := os.Stat(path); err == nil {
			there = append(there, filepath.Base(path))
		}
	}
	if want := []string{filepath.Base(living.path), "precious", folderPrefix + "file", folderPrefix + "open"}; !slices.Equal(there, want) {
		t.Errorf("there are %q, want %q", there, want)
	}
	if err := living.remove(); err != nil {
		t.Error(err)
	}
	if left := sweepFolders(); len(left) > 0 {
		t.Errorf("%+v", left)
	}
}

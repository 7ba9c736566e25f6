package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-io/drover/replay"
)

// fileVersion is the version of the JSON that Save writes.
const fileVersion = 1

// saved is a world as JSON. Contents and blocks are kept once each, however
// many images and snapshots share them.
type saved struct {
	Version  int                 `json:"version"`
	Pace     Pace                `json:"pace"`
	Ahead    time.Duration       `json:"ahead,omitempty"` // of the clock that is followed
	World    *state              `json:"world"`
	Faults   []Fault             `json:"faults,omitempty"`
	Contents []map[string]uint64 `json:"contents,omitempty"` // block number: index into Blocks
	Blocks   [][]byte            `json:"blocks,omitempty"`
}

// contents visits every place that holds a content.
func (st *state) contents(visit func(**content)) {
	ofSnap := func(sn *snapshot) {
		visit(&sn.Content)
		if sn.Mirror != nil && sn.Mirror.Copy != nil {
			visit(&sn.Mirror.Copy.Content)
		}
	}
	for _, c := range st.Sites {
		for _, p := range c.Pools {
			for _, n := range p.Spaces {
				for _, i := range n.Images {
					visit(&i.Content)
					if i.Mirror != nil && i.Mirror.Sync != nil {
						visit(&i.Mirror.Sync.Content)
					}
					for _, sn := range i.Snaps {
						ofSnap(sn)
						if sn.Mirror != nil {
							for _, user := range sn.Mirror.Users {
								ofSnap(user)
							}
						}
					}
					if i.Journal != nil {
						for _, e := range i.Journal.Log {
							if e.Snap != nil {
								ofSnap(e.Snap)
							}
						}
					}
				}
			}
		}
	}
}

// MarshalJSON writes the number that Save gave the content.
func (c *content) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(c.number), 10), nil
}

// UnmarshalJSON reads the number; Load puts the content itself in its place.
func (c *content) UnmarshalJSON(b []byte) (err error) {
	c.number, err = strconv.Atoi(string(b))
	return err
}

// Save writes the whole world to w as JSON. The call log is left out, and so
// is who observes.
func (w *World) Save(to io.Writer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	out := saved{Version: fileVersion, Pace: w.pace, Ahead: w.ahead, World: &w.state}
	for _, f := range w.faults {
		left := f.Fault
		left.Skip = max(0, f.Skip-f.seen)
		if f.Count > 0 {
			left.Count = f.Count - max(0, f.seen-f.Skip)
			if left.Count <= 0 {
				continue
			}
		}
		out.Faults = append(out.Faults, left)
	}
	seen, blocks := map[*content]bool{}, map[*byte]uint64{}
	w.state.contents(func(at **content) {
		c := *at
		if c == nil || seen[c] {
			return
		}
		seen[c], c.number = true, len(out.Contents)
		numbers := make(map[string]uint64, len(c.blocks))
		for _, n := range slices.Sorted(maps.Keys(c.blocks)) {
			b := c.blocks[n]
			index, known := blocks[&b[0]]
			if !known {
				index = uint64(len(out.Blocks))
				blocks[&b[0]] = index
				out.Blocks = append(out.Blocks, b)
			}
			numbers[strconv.FormatUint(n, 10)] = index
		}
		out.Contents = append(out.Contents, numbers)
	})
	return json.NewEncoder(to).Encode(out)
}

// Load reads a world that Save wrote. It then follows the clock, and the time
// that has passed on it since the world was saved passes at the next call; nil
// leaves the time to Advance.
func Load(from io.Reader, clock func() time.Time) (*World, error) {
	in := saved{World: &state{}}
	if err := json.NewDecoder(from).Decode(&in); err != nil {
		return nil, fmt.Errorf("read simulated world: %w", err)
	}
	if in.Version != fileVersion {
		return nil, fmt.Errorf("read simulated world: version %d, want %d", in.Version, fileVersion)
	}
	if in.World == nil {
		return nil, errors.New("read simulated world: it is empty")
	}
	w := &World{state: *in.World, pace: in.Pace, clock: clock, ahead: in.Ahead, busy: in.World.Stepped, changed: make(chan struct{})}
	for _, f := range in.Faults {
		w.faults = append(w.faults, &armedFault{Fault: f})
	}
	if err := w.state.check(); err != nil {
		return nil, fmt.Errorf("read simulated world: %w", err)
	}
	contents, err := in.contents()
	if err != nil {
		return nil, err
	}
	w.state.contents(func(at **content) {
		if *at == nil || err != nil {
			return
		}
		if n := (*at).number; n < 0 || n >= len(contents) {
			err = fmt.Errorf("read simulated world: no content number %d", n)
			return
		}
		*at = contents[(*at).number]
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// check finds what nobody could have saved, and links what was.
func (st *state) check() error {
	for _, c := range st.Sites {
		if c == nil {
			return errors.New("a site is null")
		}
		for _, p := range c.Pools {
			if p == nil || len(p.Spaces) == 0 || slices.Contains(p.Spaces, nil) {
				return fmt.Errorf("a pool of site %s is null or has no namespace", c.Name)
			}
			for name, l := range p.Ledgers {
				if l == nil {
					return fmt.Errorf("ledger %s of site %s, pool %s is null", name, c.Name, p.Name)
				}
			}
			p.link()
			for _, n := range p.Spaces {
				if err := n.check(); err != nil {
					return fmt.Errorf("site %s, pool %s: %w", c.Name, p.Name, err)
				}
			}
		}
	}
	return nil
}

func (n *namespace) check() error {
	if slices.Contains(n.Peers, nil) || slices.Contains(n.Schedules, nil) {
		return errors.New("a peer or a schedule is null")
	}
	for _, s := range n.Schedules {
		if s.Every <= 0 {
			return errors.New("a schedule never fires")
		}
	}
	for _, i := range n.Images {
		switch {
		case i == nil:
			return errors.New("an image is null")
		case slices.Contains(i.Snaps, nil):
			return fmt.Errorf("a snapshot of image %s is null", i.Name)
		case i.Journal != nil && (len(i.Journal.Epochs) == 0 || slices.Contains(i.Journal.Readers, nil)):
			return fmt.Errorf("the journal of image %s has no epoch or a null reader", i.Name)
		case i.Mirror != nil && i.Mirror.Mode == replay.ModeJournal && i.Journal == nil:
			return fmt.Errorf("image %s is mirrored by a journal and has none", i.Name)
		}
	}
	return nil
}

// contents builds what was saved. All are marked as shared: who held which
// alone is not kept.
func (s *saved) contents() ([]*content, error) {
	var out []*content
	for k, numbers := range s.Contents {
		c := &content{blocks: make(map[uint64]block, len(numbers)), shared: true, number: k}
		for name, index := range numbers {
			n, err := strconv.ParseUint(name, 10, 64)
			if err != nil || index >= uint64(len(s.Blocks)) || len(s.Blocks[index]) != blockSize {
				return nil, fmt.Errorf("read simulated world: bad block %q of content %d", name, k)
			}
			c.blocks[n] = s.Blocks[index]
		}
		out = append(out, c)
	}
	return out, nil
}

// File is a world in a file, held by this process alone until it is closed.
type File struct {
	*World
	path string
	lock *os.File
}

// OpenFile opens the world in a file, which follows the real clock; it waits
// for another process that has it open. A file that does not exist or is empty
// is a new world.
func OpenFile(path string) (*File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open simulated world: %w", err)
	}
	f := &File{path: path, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock simulated world %s: %w", path, err), lock.Close())
	}
	in, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		f.World = New(Options{Clock: time.Now})
		return f, nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open simulated world: %w", err), lock.Close())
	}
	f.World, err = Load(in, time.Now)
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), lock.Close())
	}
	return f, nil
}

// Close saves the world and lets the next process have it.
func (f *File) Close() error {
	err := f.save()
	return errors.Join(err, f.lock.Close())
}

// save replaces the file as a whole, so that a process that is killed leaves
// the old one.
func (f *File) save() error {
	tmp, err := os.Create(f.path + ".new")
	if err != nil {
		return fmt.Errorf("save simulated world: %w", err)
	}
	if err := errors.Join(f.Save(tmp), tmp.Close()); err != nil {
		return fmt.Errorf("save simulated world: %w", err)
	}
	if err := os.Rename(tmp.Name(), f.path); err != nil {
		return fmt.Errorf("save simulated world: %w", err)
	}
	return nil
}

package alert

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

const (
	// soonest is the least time from one message of an incident to the next that names
	// more images of which each matters for itself. It doubles with each that comes
	// before Options.MinInterval is over, up to that.
	soonest = 5 * time.Second
	// knownImages is up to how many images an incident knows one by one. Of more only
	// the count is watched.
	knownImages = 2000
)

// known are the images that an incident has been told of, by a hash of their names: 0
// while they have it, else since when they have not, in seconds. Those that come back
// soon are no news.
type known map[uint32]int64

func imageHash(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32()
}

// meet takes in which images have the incident now, and finds those that it did not know
// of. all says that there are no others.
func (in *incident) meet(now time.Time, images []string, all bool, window time.Duration) {
	in.images, in.newcomers = images, nil
	if len(images) > knownImages {
		in.Told.Known = nil
		return
	}
	if in.Told.At.IsZero() {
		return
	}
	if in.Told.Known == nil { // it did not know them one by one until now
		in.introduce()
		return
	}
	here := make(map[uint32]bool, len(images))
	for _, name := range images {
		h := imageHash(name)
		here[h] = true
		if left, ok := in.Told.Known[h]; !ok {
			in.newcomers = append(in.newcomers, name)
		} else if left != 0 {
			in.Told.Known[h] = 0
		}
	}
	for h, left := range in.Told.Known {
		switch {
		case here[h] || !all:
		case left == 0:
			in.Told.Known[h] = now.Unix()
		case now.Sub(time.Unix(left, 0)) > window:
			delete(in.Told.Known, h)
		}
	}
}

// introduce notes that people have been told of the images that have the incident now.
func (in *incident) introduce() {
	if len(in.images) > knownImages {
		return
	}
	if in.Told.Known == nil {
		in.Told.Known = known{}
	}
	for _, name := range in.images {
		in.Told.Known[imageHash(name)] = 0
	}
	in.newcomers = nil
}

// welcome names the images that people were not told of.
func (in *incident) welcome() []Detail {
	if len(in.newcomers) == 0 {
		return nil
	}
	text := strings.Join(in.newcomers[:min(len(in.newcomers), worstShown)], ", ")
	if more := len(in.newcomers) - worstShown; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return []Detail{{Name: "new since the last message", Text: text}}
}

// patience is how long newcomers wait to be told of.
func (in *incident) patience(longest time.Duration) time.Duration {
	if in.Told.Streak > 20 {
		return longest
	}
	return min(longest, soonest<<in.Told.Streak)
}

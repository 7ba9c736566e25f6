package plans

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// Size is a number of bytes, written as 4096, 512MiB, 10GiB or 1TiB.
type Size uint64

const (
	// sizePattern bounds the digits so that every editor's check agrees with
	// the loader's but for the overflow itself.
	sizePattern = `^[0-9]{1,19}(B|KiB|MiB|GiB|TiB|PiB)?$`
	sizeForm    = "a whole number of bytes, or one with a unit of KiB, MiB, GiB, TiB or PiB, such as 10GiB"

	// maxSize is what librbd can take: its sizes cross the wire unsigned, but
	// offsets in its API are signed.
	maxSize = math.MaxInt64
)

var (
	sizeRE = regexp.MustCompile(`^([0-9]{1,19})(B|KiB|MiB|GiB|TiB|PiB)?$`)

	errSizeForm  = errors.New("not a size")
	errSizeLarge = errors.New("larger than 8 EiB")
)

var sizeUnits = []struct {
	unit  string
	shift uint
}{{"PiB", 50}, {"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// ParseSize reads a number of bytes as a plan writes it. Units are powers of
// 1024 and spelt so; those of 1000 are refused, because Ceph's own tools read
// "10G" as 10 GiB and others do not.
func ParseSize(text string) (Size, error) {
	part := sizeRE.FindStringSubmatch(text)
	if part == nil {
		return 0, fmt.Errorf("size %q: %w", text, errSizeForm)
	}
	n, err := strconv.ParseUint(part[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("size %q: %w", text, errSizeLarge)
	}
	shift := uint(0)
	for _, u := range sizeUnits {
		if u.unit == part[2] {
			shift = u.shift
		}
	}
	if n > maxSize>>shift {
		return 0, fmt.Errorf("size %q: %w", text, errSizeLarge)
	}
	return Size(n << shift), nil
}

// Bytes returns the number of bytes.
func (s Size) Bytes() uint64 { return uint64(s) }

// String writes the size in the largest unit that holds it in whole numbers.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && uint64(s)%(1<<u.shift) == 0 {
			return strconv.FormatUint(uint64(s)>>u.shift, 10) + u.unit
		}
	}
	return strconv.FormatUint(uint64(s), 10) + "B"
}

// MarshalText writes the size as a plan does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what [ParseSize] reads.
func (s *Size) UnmarshalText(text []byte) error {
	parsed, err := ParseSize(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

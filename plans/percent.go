package plans

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Percent is a share of a whole in whole percent, 0 to 90, written as 10% or
// as a bare 10.
type Percent int

const (
	maxPercent     = 90
	percentPattern = `^([0-9]|[1-8][0-9]|90)%?$`
	percentForm    = "a whole number of percent from 0% to 90%, such as 10%"
)

var (
	percentRE = regexp.MustCompile(percentPattern)

	errPercentForm = errors.New("not a whole percentage from 0% to 90%")
)

// ParsePercent reads a percentage as a plan writes it.
func ParsePercent(text string) (Percent, error) {
	if !percentRE.MatchString(text) {
		return 0, fmt.Errorf("percentage %q: %w", text, errPercentForm)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil {
		return 0, fmt.Errorf("percentage %q: %w", text, err)
	}
	return Percent(n), nil
}

// Of returns the share of an amount, rounded down.
func (p Percent) Of(amount uint64) uint64 {
	share := uint64(max(p, 0))
	// In two parts: amount times share can be more than 64 bits hold.
	return amount/100*share + amount%100*share/100
}

// String writes the percentage as a plan does.
func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }

// MarshalText writes the percentage as a plan does.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what [ParsePercent] reads.
func (p *Percent) UnmarshalText(text []byte) error {
	parsed, err := ParsePercent(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

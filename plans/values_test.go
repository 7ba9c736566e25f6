package plans

import (
	"math"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]struct {
		d     time.Duration
		shown string
	}{
		"0": {0, "0s"}, "0s": {0, "0s"}, "30s": {30 * time.Second, "30s"}, "90m": {90 * time.Minute, "1h30m"},
		"7d": {168 * time.Hour, "7d"}, "168h": {168 * time.Hour, "7d"}, "1w": {168 * time.Hour, "7d"},
		"1d1ms": {24*time.Hour + time.Millisecond, "1d1ms"}, "250ms": {250 * time.Millisecond, "250ms"},
		"15250w": {15250 * 168 * time.Hour, "106750d"},
	} {
		got, err := ParseDuration(text)
		if err != nil || got.Std() != want.d || got.String() != want.shown {
			t.Errorf("%s: %v (%s), %v", text, got.Std(), got, err)
		}
		var again Duration
		shown, err := got.MarshalText()
		if err != nil || again.UnmarshalText(shown) != nil || again != got {
			t.Errorf("%s does not survive: %s, %v", text, shown, err)
		}
	}
	for _, text := range []string{"", "5", "-5m", "-0", "1.5h", "1 h", "h", "15251w", "1H", "9999999999s", "١s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q passes for %v", text, got)
		}
	}
	var d Duration
	if d.UnmarshalText([]byte("x")) == nil || Duration(-time.Minute).String() != "-1m" {
		t.Error("malformed or negative durations")
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]struct {
		bytes uint64
		shown string
	}{
		"0": {0, "0B"}, "4096": {4096, "4KiB"}, "1B": {1, "1B"}, "1025": {1025, "1025B"}, "512MiB": {512 << 20, "512MiB"},
		"1024MiB": {1 << 30, "1GiB"}, "10GiB": {10 << 30, "10GiB"}, "1TiB": {1 << 40, "1TiB"}, "8191PiB": {8191 << 50, "8191PiB"},
		"9223372036854775807": {math.MaxInt64, "9223372036854775807B"},
	} {
		got, err := ParseSize(text)
		if err != nil || got.Bytes() != want.bytes || got.String() != want.shown {
			t.Errorf("%s: %d (%s), %v", text, got.Bytes(), got, err)
		}
		var again Size
		shown, err := got.MarshalText()
		if err != nil || again.UnmarshalText(shown) != nil || again != got {
			t.Errorf("%s does not survive: %s, %v", text, shown, err)
		}
	}
	for _, text := range []string{"", "10GB", "10G", "-1", "1.5GiB", "8192PiB", "9223372036854775808", "99999999999999999999", "1 GiB", "GiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q passes for %v", text, got)
		}
	}
	var s Size
	if s.UnmarshalText([]byte("x")) == nil {
		t.Error("a malformed size passes")
	}
}

func TestScheduleCanonical(t *testing.T) {
	for given, want := range map[Schedule]Schedule{
		{Every: "60m"}:                         {Every: "1h"},
		{Every: "1440m"}:                       {Every: "1d"},
		{Every: "24h"}:                         {Every: "1d"},
		{Every: "90m", Start: "14:00"}:         {Every: "90m", Start: "14:00:00"},
		{Every: "5m", Start: "14:00:00-05:00"}: {Every: "5m", Start: "14:00:00-05:00"},
		{Every: "5m", Start: "14:00Z"}:         {Every: "5m", Start: "14:00:00+00:00"},
		{Every: "soon", Start: "teatime"}:      {Every: "soon", Start: "teatime"},
		{Every: "9999999d"}:                    {Every: "9999999d"},
		{Every: "0h", Start: "00:30:00+01:00"}: {Every: "0h", Start: "00:30:00+01:00"},
	} {
		if got := given.Canonical(); got != want {
			t.Errorf("%+v: got %+v, want %+v", given, got, want)
		}
	}
}

func TestCronSchedule(t *testing.T) {
	schedule, err := CronSchedule("30 2 * * 6", "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	got := schedule.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).UTC()
	if want := time.Date(2026, 1, 3, 1, 30, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("fires at %v, want %v", got, want)
	}
	for _, bad := range [][2]string{{"* * *", "UTC"}, {"@daily", "Nowhere"}, {"@daily", "Local"}, {"TZ=UTC", "UTC"}} {
		if _, err := CronSchedule(bad[0], bad[1]); err == nil {
			t.Errorf("%v passes", bad)
		}
	}
	// A leap day comes, 30 February does not.
	if neverFires("0 0 29 2 *") || !neverFires("0 0 30 2 *") || !neverFires("0 0 31 4,6,9,11 *") {
		t.Error("which lines never fire")
	}
}

func TestPercent(t *testing.T) {
	for text, want := range map[string]Percent{"0": 0, "0%": 0, "7": 7, "10%": 10, "90%": 90} {
		got, err := ParsePercent(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		var again Percent
		shown, err := got.MarshalText()
		if err != nil || again.UnmarshalText(shown) != nil || again != got {
			t.Errorf("%s does not survive: %s, %v", text, shown, err)
		}
	}
	for _, text := range []string{"", "%", "91", "100%", "-1", "+5", "010", "1.5", "10 %", "10%%", "0x5", "ten"} {
		var p Percent
		if got, err := ParsePercent(text); err == nil || p.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q passes for %v", text, got)
		}
	}
	for share, want := range map[Percent][2]uint64{0: {1 << 40, 0}, 10: {1 << 40, (1 << 40) / 10}, 90: {math.MaxUint64, 16602069666338596453}, 50: {199, 99}, -5: {100, 0}} {
		if got := share.Of(want[0]); got != want[1] {
			t.Errorf("%s of %d: %d, want %d", share, want[0], got, want[1])
		}
	}
}

// TestNothingFree: a plan that wants no room left must not turn into one with
// the default when it is written and read again.
func TestNothingFree(t *testing.T) {
	plan, err := Parse("p.yaml", []byte(head+"pools: [{name: p, mirror: pool}]\nrunbooks: {min_free: 0}\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Runbooks.MinFree != 0 || !strings.Contains(string(text), "min_free: 0%\n") {
		t.Errorf("%s", text)
	}
}

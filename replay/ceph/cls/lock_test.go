package cls_test

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/drover-io/drover/replay/ceph/cls"
)

// lockInfos were captured from a cluster of Ceph 16.2.15. Beside them stands
// what `rados lock info` printed of the same locks.
var lockInfos = map[string]struct {
	answer string
	want   []cls.Locker
}{
	"a lock that ends": {
		"010180000000010000000101150000000837100000000000000800000031623465323862610101560000006957036bee75de230101" +
			"011c00000001000000caf3bd6610000000020000007f000001000000000000000027000000726f6f7440686f73742d312034313531" +
			"2c206661696c6f766572206f66206461746162617365730100000000",
		[]cls.Locker{{
			Client: "client.4151", Cookie: "1b4e28ba", Description: "root@host-1 4151, failover of databases",
			Expires: time.Date(2026, 11, 22, 20, 58, 17, 601781742, time.UTC),
		}},
	},
	"a lock without an end": {
		"010155000000010000000101110000000837100000000000000400000068616e6401012f0000000000000000000000010101" +
			"1c00000001000000caf3bd6610000000020000007f0000010000000000000000000000000100000000",
		[]cls.Locker{{Client: "client.4151", Cookie: "hand"}},
	},
	"a shared lock": {
		"0101ad00000002000000010110000000083710000000000000030000006f6e650101340000006b57036b83fb2b150101011c00000001" +
			"000000caf3bd6610000000020000007f00000100000000000000000500000066697273740101100000000837100000000000000300" +
			"000074776f0101350000006b57036b103131150101011c00000001000000caf3bd6610000000020000007f00000100000000000000" +
			"00060000007365636f6e640203000000746167",
		[]cls.Locker{
			{Client: "client.4151", Cookie: "one", Description: "first", Expires: time.Date(2026, 11, 22, 20, 58, 19, 355203971, time.UTC)},
			{Client: "client.4151", Cookie: "two", Description: "second", Expires: time.Date(2026, 11, 22, 20, 58, 19, 355545360, time.UTC)},
		},
	},
	"no lock": {"010109000000000000000100000000", nil},
}

func bytesOf(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestLockInfo(t *testing.T) {
	for name, c := range lockInfos {
		t.Run(name, func(t *testing.T) {
			answer := bytesOf(t, c.answer)
			got, err := cls.DecodeLockInfo(answer)
			same(t, c.want, got, err)
			for n := range answer {
				if _, err := cls.DecodeLockInfo(answer[:n]); !errors.Is(err, cls.ErrMalformed) {
					t.Fatalf("%d of %d bytes: %v", n, len(answer), err)
				}
			}
		})
	}
}

// An address in the encoding of before Nautilus is passed over, too.
func TestLockInfoOfOldClients(t *testing.T) {
	c := lockInfos["a lock without an end"]
	answer := bytesOf(t, c.answer)
	const frames, address = 6 + 4 + 6 + 17 + 6 + 8, 1 + 6 + 28
	old := append([]byte{}, answer[:frames]...)
	old = append(old, make([]byte, 4+4+128)...)
	old = append(old, answer[frames+address:]...)
	const longer = 4 + 4 + 128 - address
	old[2] += longer
	old[6+4+6+17+2] += longer
	got, err := cls.DecodeLockInfo(old)
	same(t, c.want, got, err)
}

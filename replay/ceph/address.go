package ceph

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// bareAddress is an address as watchers have it, without the protocol's version.
func bareAddress(address string) string {
	for _, version := range []string{"v1:", "v2:", "any:"} {
		if bare, found := strings.CutPrefix(address, version); found {
			return bare
		}
	}
	return address
}

// addressesOf reads the addresses of a client as librados prints them: one, or
// several in brackets, each with the protocol's version or without
// (ceph src/msg/msg_types.cc, operator<< of entity_addrvec_t). The blocklist is
// of addresses without it: an OSD compares a client's regardless of the version
// (ceph src/osd/OSDMap.cc, is_blocklisted).
func addressesOf(text string) ([]string, error) {
	list := strings.TrimSpace(text)
	if strings.HasPrefix(list, "[") && strings.HasSuffix(list, "]") { // [::1]:0/1 does not end so
		list = list[1 : len(list)-1]
	}
	var out []string
	for one := range strings.SplitSeq(list, ",") {
		address := bareAddress(strings.TrimSpace(one))
		if err := replay.CheckFence(address, time.Hour); err != nil {
			return nil, fmt.Errorf("cannot read %q as the addresses of a client: %w", text, err)
		}
		if !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	return out, nil
}

package sim

import (
	"context"
	"fmt"
)

// MgrCommand answers as a mgr without an orchestrator backend.
func (s *Site) MgrCommand(ctx context.Context, command map[string]any) (out []byte, err error) {
	prefix := fmt.Sprint(command["prefix"])
	err = s.do(ctx, "MgrCommand", prefix, func(*cluster) error {
		return fail(enoent, "No orchestrator configured (try `ceph orch set backend`)")
	})
	return out, err
}

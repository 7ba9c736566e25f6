package ceph

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestMgrSilence wants a mgr that leaves a command unanswered to be asked no more
// until it answers.
func TestMgrSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mgrCalls
		first := m.begin()
		time.Sleep(10 * time.Second)
		second := m.begin()
		if why := m.silent(); why != "" {
			t.Errorf("after ten seconds: %s", why)
		}
		time.Sleep(25 * time.Second)
		if why := m.silent(); !strings.Contains(why, "for 35s") {
			t.Errorf("after 35 seconds: %q", why)
		}
		first()
		if why := m.silent(); why != "" {
			t.Errorf("the first is answered: %s", why)
		}
		time.Sleep(10 * time.Second)
		if m.silent() == "" {
			t.Error("the second is not, and is forgotten")
		}
		second()
		if why := m.silent(); why != "" {
			t.Errorf("all are answered: %s", why)
		}
	})
}

// TestLastingConfig wants no time limit of librados' own where the process outlives
// an outage.
func TestLastingConfig(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		for _, o := range (Config{Conf: "/etc/ceph/a.conf", Lasting: lasting}).withDefaults().options() {
			if o[0] == "rados_mon_op_timeout" && (o[1] == "0") != lasting {
				t.Errorf("lasting %v: %s", lasting, o)
			}
		}
	}
}

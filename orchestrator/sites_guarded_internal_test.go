package orchestrator

import (
	"context"
	"errors"
	"reflect"
	"testing"
)

// TestEveryChangePassesTheSession calls each method of a site without a session
// that would admit it. Whatever may change a site has to ask; a method that is
// neither here nor guarded calls a site that is none, and panics.
func TestEveryChangePassesTheSession(t *testing.T) {
	reads := map[string]bool{
		"Name": true, "Identity": true, "Abandoned": true, "Close": true,
		"ListPools": true, "Namespaces": true, "SiteName": true, "PoolMirroring": true,
		"Images": true, "Image": true, "LookAt": true, "Listen": true, "Users": true, "Ties": true, "Reports": true, "AppendTime": true, "BytesAfter": true,
		"OpenSnapshot": true, "PoolSpace": true, "MirrorSchedules": true, "MirrorDaemons": true,
		// What admission is made of.
		"OwnAddresses": true, "Blocklist": true, "Unblocklist": true,
		"AppendRecords": true, "ReadRecords": true, "RemoveRecords": true,
		"AcquireLease": true, "ReleaseLease": true, "LeaseHolder": true,
	}
	lost, lose := context.WithCancelCause(t.Context())
	lose(ErrLeaseLost)
	session := &Session{Lease: &Lease{lost: lost}}
	site := guardedSite{Site: named{}, session: session}
	kind := reflect.TypeFor[Site]()
	guarded := 0
	for i := range kind.NumMethod() {
		m := kind.Method(i)
		if reads[m.Name] {
			delete(reads, m.Name)
			continue
		}
		args := []reflect.Value{reflect.ValueOf(t.Context())}
		for k := 1; k < m.Type.NumIn(); k++ {
			args = append(args, reflect.Zero(m.Type.In(k)))
		}
		out := reflect.ValueOf(site).MethodByName(m.Name).Call(args)
		if err, _ := out[len(out)-1].Interface().(error); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("%s without the lease: %v", m.Name, err)
		}
		guarded++
	}
	if guarded < 20 {
		t.Errorf("only %d methods are guarded", guarded)
	}
	for name := range reads {
		t.Errorf("a site has no method %s any more", name)
	}
}

// named is a site of which nothing but its name may be asked.
type named struct{ Site }

func (named) Name() string { return "a" }

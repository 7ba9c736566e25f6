package ceph

import (
	"errors"
	"slices"

	"github.com/ceph/go-ceph/rados"
)

// omapPage is how many keys are asked for at a time; an OSD gives out no more
// than osd_max_omap_entries_per_request (1,024) in these releases.
const omapPage = 1024

// readOmap reads all keys of an object that begin with the prefix. An object
// without omap is empty; a missing one is ENOENT.
func readOmap(io *rados.IOContext, object, prefix string) (map[string][]byte, error) {
	omap := make(map[string][]byte)
	after := ""
	for {
		last, more, err := readOmapPage(io, object, prefix, after, omap)
		if err != nil {
			return nil, err
		}
		if !more || last == "" {
			return omap, nil
		}
		after = last
	}
}

func readOmapPage(io *rados.IOContext, object, prefix, after string, into map[string][]byte) (last string, more bool, err error) {
	op := rados.CreateReadOp()
	defer op.Release()
	step := op.GetOmapValues(after, prefix, omapPage)
	if err := operate(op, io, object); err != nil {
		return "", false, err
	}
	for {
		kv, err := step.Next()
		if err != nil {
			return "", false, err
		}
		if kv == nil {
			return last, step.More(), nil
		}
		into[kv.Key] = kv.Value
		last = kv.Key
	}
}

// readOmapKey reads one key of an object; a missing key or object is ENOENT.
func readOmapKey(io *rados.IOContext, object, key string) ([]byte, error) {
	omap, err := readOmapKeys(io, object, []string{key})
	if err != nil {
		return nil, err
	}
	value, ok := omap[key]
	if !ok {
		return nil, enoent
	}
	return value, nil
}

// readOmapKeys reads those of the keys that an object has. A missing object is
// ENOENT.
func readOmapKeys(io *rados.IOContext, object string, keys []string) (map[string][]byte, error) {
	omap := make(map[string][]byte, len(keys))
	for page := range slices.Chunk(keys, omapPage) {
		if err := readOmapKeysPage(io, object, page, omap); err != nil {
			return nil, err
		}
	}
	return omap, nil
}

func readOmapKeysPage(io *rados.IOContext, object string, keys []string, into map[string][]byte) error {
	op := rados.CreateReadOp()
	defer op.Release()
	step := op.GetOmapValuesByKeys(keys)
	if err := operate(op, io, object); err != nil {
		return err
	}
	for {
		kv, err := step.Next()
		if err != nil || kv == nil {
			return err
		}
		into[kv.Key] = kv.Value
	}
}

// operate gives the errno of the operation as a whole, which stands for those
// of its steps.
func operate(op *rados.ReadOp, io *rados.IOContext, object string) error {
	err := op.Operate(io, object, rados.OperationNoFlag)
	var whole rados.OperationError
	if errors.As(err, &whole) && whole.OpError != nil {
		return whole.OpError
	}
	return err
}

// readObject reads up to len(buffer) bytes of an object.
func readObject(io *rados.IOContext, object string, buffer []byte, offset uint64) ([]byte, error) {
	n, err := io.Read(object, buffer, offset)
	if err != nil {
		return nil, err
	}
	return buffer[:n], nil
}

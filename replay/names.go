package replay

import "strings"

// Pool names a pool, or one RADOS namespace in it. Mirroring is configured for
// each of them on its own.
type Pool struct {
	Name      string `json:"pool"`
	Namespace string `json:"namespace,omitempty"`
}

// String is the pool as rbd commands take it: "pool" or "pool/namespace".
func (p Pool) String() string {
	if p.Namespace == "" {
		return p.Name
	}
	return p.Name + "/" + p.Namespace
}

// Image is the reference to an image of this name in the pool.
func (p Pool) Image(name string) ImageRef { return ImageRef{Pool: p, Name: name} }

// ImageRef names one image at every site.
type ImageRef struct {
	Pool
	Name string `json:"image"`
}

// String is the image as rbd commands take it: "pool/image" or
// "pool/namespace/image".
func (r ImageRef) String() string { return r.Pool.String() + "/" + r.Name }

// Compare orders images by pool, namespace and name.
func (r ImageRef) Compare(o ImageRef) int {
	if c := strings.Compare(r.Pool.Name, o.Pool.Name); c != 0 {
		return c
	}
	if c := strings.Compare(r.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(r.Name, o.Name)
}

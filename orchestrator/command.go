package orchestrator

import (
	"strconv"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// commands writes the command lines that a person would use at one site.
type commands struct{ site plans.Site }

func (c commands) tool(name string, args ...string) string {
	words := []string{name, "-c", c.site.Conf}
	if c.site.User != "" {
		words = append(words, "--id", strings.TrimPrefix(c.site.User, "client."))
	}
	if c.site.Keyring != "" {
		words = append(words, "--keyring", c.site.Keyring)
	}
	return shellLine(append(words, args...)...)
}

func (c commands) rbd(args ...string) string  { return c.tool("rbd", args...) }
func (c commands) ceph(args ...string) string { return c.tool("ceph", args...) }

// siteNameKey is where librbd keeps a cluster's site name
// (librbd/api/Mirror.cc, RBD_MIRROR_SITE_NAME_KEY). The rbd command sets it only
// together with a pool's mode.
const siteNameKey = "rbd/mirror/site_name"

func (c commands) setSiteName(name string) string {
	return c.ceph("config-key", "set", siteNameKey, name)
}

func (c commands) createNamespace(pool replay.Pool) string {
	return c.rbd("namespace", "create", pool.String())
}

func (c commands) setPoolMode(pool replay.Pool, mode replay.PoolMode) string {
	if mode == replay.PoolDisabled {
		return c.rbd("mirror", "pool", "disable", pool.String())
	}
	return c.rbd("mirror", "pool", "enable", pool.String(), string(mode))
}

// importPeer makes this site receive from the other by bootstrap token.
func (c commands) importPeer(source commands, pool replay.Pool, direction replay.Direction) string {
	return source.rbd("mirror", "pool", "peer", "bootstrap", "create", pool.String()) + " | " +
		c.rbd("mirror", "pool", "peer", "bootstrap", "import", "--direction", string(direction), pool.String(), "-")
}

func (c commands) addPeer(pool replay.Pool, peer replay.Peer) string {
	return c.rbd("mirror", "pool", "peer", "add", pool.String(), peer.Client+"@"+peer.SiteName, "--direction", string(peer.Direction))
}

func (c commands) setPeer(pool replay.Pool, uuid, key, value string) string {
	return c.rbd("mirror", "pool", "peer", "set", pool.String(), uuid, key, value)
}

func (c commands) removePeer(pool replay.Pool, uuid string) string {
	return c.rbd("mirror", "pool", "peer", "remove", pool.String(), uuid)
}

func (c commands) createImage(ref replay.ImageRef, spec replay.ImageSpec) string {
	args := []string{"create", ref.String(), "--size", byteCount(spec.Size)}
	if spec.ObjectSize != 0 {
		args = append(args, "--object-size", byteCount(spec.ObjectSize))
	}
	if spec.DataPool != "" {
		args = append(args, "--data-pool", spec.DataPool)
	}
	if spec.JournalPool != "" {
		args = append(args, "--journal-pool", spec.JournalPool)
	}
	return c.rbd(append(args, "--image-feature", spec.Features.String())...)
}

func (c commands) enableFeatures(ref replay.ImageRef, features replay.Features) string {
	return c.rbd(append([]string{"feature", "enable", ref.String()}, features.Names()...)...)
}

func (c commands) enableMirroring(ref replay.ImageRef, mode replay.MirrorMode) string {
	return c.rbd("mirror", "image", "enable", ref.String(), string(mode))
}

func (c commands) disableMirroring(ref replay.ImageRef, force bool) string {
	if force {
		return c.rbd("mirror", "image", "disable", "--force", ref.String())
	}
	return c.rbd("mirror", "image", "disable", ref.String())
}

func (c commands) promote(ref replay.ImageRef, force bool) string {
	if force {
		return c.rbd("mirror", "image", "promote", "--force", ref.String())
	}
	return c.rbd("mirror", "image", "promote", ref.String())
}

func (c commands) demote(ref replay.ImageRef) string {
	return c.rbd("mirror", "image", "demote", ref.String())
}

func (c commands) mirrorSnapshot(ref replay.ImageRef) string {
	return c.rbd("mirror", "image", "snapshot", ref.String())
}

func (c commands) removeImage(ref replay.ImageRef) string {
	return c.rbd("snap", "purge", ref.String()) + " && " + c.rbd("rm", ref.String())
}

func (c commands) schedule(verb string, s replay.MirrorSchedule) string {
	args := []string{"mirror", "snapshot", "schedule", verb, "--pool", s.Pool.Name}
	if s.Namespace != "" {
		args = append(args, "--namespace", s.Namespace)
	}
	if s.Name != "" {
		args = append(args, "--image", s.Name)
	}
	args = append(args, s.Every)
	if s.Start != "" {
		args = append(args, s.Start)
	}
	return c.rbd(args...)
}

// byteCount is a size as the rbd command takes it, in the largest unit that
// divides it.
func byteCount(n uint64) string {
	units := []string{"B", "K", "M", "G", "T"}
	i := 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return strconv.FormatUint(n, 10) + units[i]
}

// shellLine joins words so that a POSIX shell reads them as they are.
func shellLine(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = shellWord(word)
	}
	return strings.Join(quoted, " ")
}

func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,@+%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

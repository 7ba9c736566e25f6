package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// network is the loopback network 127.X.Y.0/24 that one lab has for itself.
type network struct {
	X, Y int
}

// claim is what stands in the register for each network in use.
type claim struct {
	Network  network `json:"network"`
	Dir      string  `json:"dir"`      // the lab's folder
	Owner    process `json:"owner"`    // who holds the lab
	Detached bool    `json:"detached"` // the lab outlives its owner
}

// register is the folder with one claim file for each lab of this user, and
// beside it a folder for the lab's Unix sockets: their paths cannot exceed 107
// bytes, and a lab's own folder may lie deep.
func register() string {
	return filepath.Join(os.TempDir(), "drover-labs-"+strconv.Itoa(os.Getuid()))
}

// claimNetwork picks a network that no other lab has. The claim file appears
// whole or not at all, and by link(2), which fails when the name exists: so two
// labs cannot claim one network, and no sweep sees half a claim.
func claimNetwork(dir string, detached bool) (network, error) {
	// Readable by its owner alone, but the rbd-mirror daemons, who run as users
	// of their own, pass through it to their sockets.
	if err := os.MkdirAll(register(), 0o711); err != nil {
		return network{}, fmt.Errorf("register of labs: %w", err)
	}
	if err := os.Chmod(register(), 0o711); err != nil {
		return network{}, fmt.Errorf("register of labs: %w", err)
	}
	owner, err := describeProcess(os.Getpid())
	if err != nil {
		return network{}, fmt.Errorf("register of labs: %w", err)
	}
	const tries = 50
	for range tries {
		// 127.0.0.0/16 is left to everybody else, such as resolvers.
		n := network{X: 64 + rand.IntN(180), Y: 1 + rand.IntN(250)}
		err := writeClaim(claim{Network: n, Dir: dir, Owner: owner, Detached: detached})
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return network{}, fmt.Errorf("register of labs: %w", err)
		}
	}
	return network{}, fmt.Errorf("register of labs: no free network in %d tries", tries)
}

func writeClaim(c claim) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(register(), ".claim-*")
	if err != nil {
		return err
	}
	_, werr := tmp.Write(data)
	err = errors.Join(werr, tmp.Close())
	if err == nil {
		err = os.Link(tmp.Name(), c.Network.claimFile())
	}
	return errors.Join(err, os.Remove(tmp.Name()))
}

func (n network) claimFile() string {
	return filepath.Join(register(), fmt.Sprintf("127.%d.%d.json", n.X, n.Y))
}

// sockets is the folder for the lab's Unix sockets.
func (n network) sockets() string {
	return strings.TrimSuffix(n.claimFile(), ".json")
}

// release gives the network back. The claim goes last: while it stands, a
// sweep finds what is left.
func (n network) release() error {
	if err := os.RemoveAll(n.sockets()); err != nil {
		return err
	}
	err := os.Remove(n.claimFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// address is that of the site with this index.
func (n network) address(site int) string {
	return fmt.Sprintf("127.%d.%d.%d", n.X, n.Y, site+1)
}

// table is the name of the lab's nftables table.
func (n network) table() string {
	return fmt.Sprintf("drover_lab_%d_%d", n.X, n.Y)
}

// freePort returns the first port from first on that nobody listens at. A
// daemon of the host that listens at 0.0.0.0 takes a port at every address.
func freePort(address string, first int) (int, error) {
	const tries = 200
	for port := first; port < first+tries; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
		return port, nil
	}
	return 0, fmt.Errorf("%s: no free port from %d to %d", address, first, first+tries-1)
}

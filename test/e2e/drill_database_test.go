package e2e

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

// database is a PostgreSQL that writes to a folder of its own.
type database struct {
	t       *testing.T
	bin     string
	folder  string // with the data directory "main", and nothing besides
	sockets string
	owner   *syscall.Credential // nil: who runs the test
	server  *exec.Cmd
}

// newDatabase makes the data directory, with checksums of its pages.
func newDatabase(t *testing.T) *database {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatalf("no PostgreSQL is installed here (make deps): %v", err)
	}
	d := &database{t: t, bin: filepath.Dir(found[len(found)-1])}
	if os.Getuid() == 0 { // as whom PostgreSQL does not run
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr != nil || gidErr != nil {
			t.Fatal(uidErr, gidErr)
		}
		d.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	d.folder, d.sockets = d.place(), d.place()
	if out, err := d.command("initdb", "-k", "-N", "-U", "postgres", "-A", "trust", "--wal-segsize=1", "-D", d.data()).CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	return d
}

func (d *database) data() string { return filepath.Join(d.folder, "main") }

// place makes a folder of the database's owner; that of a test is below one which only
// the test's user may enter.
func (d *database) place() string {
	d.t.Helper()
	folder, err := os.MkdirTemp("/tmp", "drover-pg-")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if d.owner != nil {
		if err := os.Chown(folder, int(d.owner.Uid), int(d.owner.Gid)); err != nil {
			d.t.Fatal(err)
		}
	}
	return folder
}

func (d *database) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.t.Context(), filepath.Join(d.bin, name), args...)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "LC_ALL=C")
	if d.owner != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.owner}
	}
	return cmd
}

// run starts it, has it do something, and ends it as a power cut does: what is
// committed is in its log, and may be nowhere else.
func (d *database) run(sql ...string) {
	d.t.Helper()
	d.server = d.command("postgres", "-D", d.data(), "-c", "listen_addresses=", "-c", "unix_socket_directories="+d.sockets)
	var said bytes.Buffer
	d.server.Stdout, d.server.Stderr = &said, &said
	if err := d.server.Start(); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = d.server.Wait() // it is ended with violence
	}()
	defer func() {
		_ = d.server.Process.Signal(syscall.SIGQUIT) // it may have ended by itself
		<-ended
	}()
	eventually(d.t, time.Minute, "a database that answers", func() (bool, string) {
		return d.command("pg_isready", "-q", "-h", d.sockets).Run() == nil, "none"
	})
	for _, s := range sql {
		if out, err := d.command("psql", "-h", d.sockets, "-U", "postgres", "-Xq", "-v", "ON_ERROR_STOP=1", "-c", s).CombinedOutput(); err != nil {
			d.t.Fatalf("%s: %v\n%s", s, err, out)
		}
	}
}

// disk puts the folder onto a disk, in a file.
func (d *database) disk() string {
	d.t.Helper()
	disk := filepath.Join(d.t.TempDir(), "disk")
	for _, argv := range [][]string{{"truncate", "-s", "128M", disk}, {"mkfs.ext4", "-q", "-F", "-d", d.folder, disk}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			d.t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	return disk
}

// overwrite writes to an image whatever differs from a disk of the same size, through
// librbd: as a difference between two snapshots (ceph doc/dev/rbd-diff.rst).
func overwrite(t *testing.T, s *lab.Site, image, disk string) {
	t.Helper()
	is, err := exported(t.Context(), s, image)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	if len(is) != len(wanted) {
		t.Fatalf("%s has %d bytes, the disk %d", image, len(is), len(wanted))
	}
	number := binary.LittleEndian.AppendUint64
	diff := number([]byte("rbd diff v1\ns"), uint64(len(wanted)))
	const block = 64 << 10
	written := 0
	for at, b := range slices.Collect(slices.Chunk(wanted, block)) {
		if offset := at * block; !bytes.Equal(b, is[offset:offset+len(b)]) {
			diff = append(number(number(append(diff, 'w'), uint64(offset)), uint64(len(b))), b...)
			written++
		}
	}
	if written == 0 {
		t.Fatal("nothing has changed")
	}
	file := filepath.Join(t.TempDir(), "diff")
	if err := os.WriteFile(file, append(diff, 'e'), 0o600); err != nil {
		t.Fatal(err)
	}
	rbd(t, s, "import-diff", "--no-progress", file, image)
}

const databaseImage = `pools:
  - name: POOL
    images:
      - {name: database}
drills:
  - name: database
    user: client.drill-database
    keyring: DRILL-KEYRING
    checks:
      - name: postgresql
        command: [CHECK, -d, /main, postgres, "select count(*) from sheep", "LEAST"]
`

// TestDrillDatabase starts a real PostgreSQL from the clone of its disk: with all rows
// that were written at the primary, also those that came after the first drill; and
// finds a copy in which one row is damaged.
func TestDrillDatabase(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	image := p + "/database"
	d := newDatabase(t)
	d.run("create table sheep (id int primary key, name text)",
		"insert into sheep select n, 'sheep number ' || n || ' of the flock' from generate_series(1, 1000) n", "checkpoint")
	rbd(t, a, "import", "--no-progress", "--image-feature", "layering,exclusive-lock", d.disk(), image)

	if err := b.Allow(t.Context(), replay.DrillCaps("client.drill-database", []replay.Pool{{Name: p, Namespace: "drover-drill"}}, []replay.Pool{{Name: p}})); err != nil {
		t.Fatal(err)
	}
	check, err := filepath.Abs("../../examples/drills/postgresql-check.sh")
	if err != nil {
		t.Fatal(err)
	}
	planFor := func(rows string) string {
		return plan(t, shared, p, oneWay(strings.NewReplacer(
			"DRILL-KEYRING", b.Keyring("client.drill-database"), "CHECK", check, "LEAST", rows).Replace(databaseImage)))
	}
	file := planFor("1000")
	ok(t, "plan", "apply", "--yes", "--wait", "replaying", file)
	drillsDatabase(t, file, 0, image, "passed", "answers 1000")

	d.run("insert into sheep select n, 'sheep number ' || n || ' of the flock' from generate_series(1001, 1500) n")
	overwrite(t, a, image, d.disk())
	more := planFor("1500")
	drillsDatabase(t, more, 0, image, "passed", "answers 1500")
	drillsDatabase(t, planFor("1501"), 1, image, "failed", "answers 1500, and at least 1501 was expected")

	// Where it stands on the disk: in the table, and in the log that is not replayed.
	damage(t, b, p, "database", "sheep number 17 of")
	drillsDatabase(t, more, 1, image, "failed", "invalid page")
	if left, err := exec.Command("pgrep", "-f", "drover-pg-.*/out/main").Output(); err == nil {
		t.Errorf("a server of a check is still running: %s", left)
	}
}

// drillsDatabase drills, and wants the check to come to a verdict, saying why.
func drillsDatabase(t *testing.T, file string, code int, image, verdict, words string) {
	t.Helper()
	var r drillReport
	said := call(t, "drill", "-o", "json", file)
	if said.code != code {
		t.Fatalf("want exit %d\n%s", code, said)
	}
	said.decode(t, &r)
	if got, why := r.check(t, "postgresql", image); got != verdict || !strings.Contains(why, words) {
		t.Errorf("want %s, %q: %s", verdict, words, said)
	}
	if len(r.Left) > 0 {
		t.Errorf("left: %v", r.Left)
	}
}

// damage changes the first byte of some words wherever they stand in an image, behind
// librbd's back.
func damage(t *testing.T, s *lab.Site, pool, image, words string) {
	t.Helper()
	content, err := exported(t.Context(), s, pool+"/"+image)
	if err != nil {
		t.Fatal(err)
	}
	const object = 4 << 20
	places := 0
	for from := 0; ; places++ {
		at := bytes.Index(content[from:], []byte(words))
		if at < 0 {
			break
		}
		from += at + 1
		put(t, s, pool, image, (from-1)/object, (from-1)%object, []byte{^content[from-1]})
	}
	if places == 0 {
		t.Fatalf("%q is nowhere in %s", words, image)
	}
}

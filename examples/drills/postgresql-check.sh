#!/bin/sh
# A check of a drill: PostgreSQL starts from the clone of its disk, every row can be
# read, and a query answers with no less than what is expected. In the plan:
#
#   checks:
#     - name: postgresql
#       timeout: 15m
#       command: [/etc/drover/postgresql-check.sh, -d, /15/main, shop, "select count(*) from orders", "1000"]
#
# -d is the data directory within the file system of the image (default "/"), -u the
# superuser of the database (default "postgres"). The image holds ext2, ext3 or ext4,
# without partitions.
#
# Nothing is mounted and no device is needed, so that it runs wherever Drover does: the
# clone is copied into a sparse file, and the directory is read out of it by debugfs.
# TMPDIR needs room for the data twice. PostgreSQL runs as user "postgres" (or as who
# calls this, where that is not root), listens on a socket of its own and on no port,
# takes no notice of the settings in the directory that would reach out of it, and is
# ended before this ends. Exit code 0: it serves. What is wrong is on standard error.
set -eu
export LC_ALL=C

fail() {
	echo "$*" >&2
	exit 1
}

directory=/ superuser=postgres
while getopts d:u: option; do
	case $option in
	d) directory=$OPTARG ;;
	u) superuser=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# = 3 ] || fail "usage: $0 [-d DIRECTORY] [-u SUPERUSER] DATABASE QUERY LEAST"
database=$1 query=$2 least=$3
[ -n "${DROVER_CLONE:-}" ] || fail "there is no DROVER_CLONE: this is a check per image of a drill"
for tool in rbd debugfs e2fsck; do
	command -v "$tool" >/dev/null || fail "$tool is not installed here"
done

# The socket's path may not be long, whatever TMPDIR is.
work=$(mktemp -d) && sockets=$(mktemp -d /tmp/drover-pg-XXXXXX)
server=
end() {
	if [ -n "$server" ]; then
		kill -INT "$server" 2>/dev/null || true # "fast": nobody is waited for
		wait "$server" || true
	fi
	rm -rf "$work" "$sockets"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

set -- -c "$DROVER_CEPH_CONF"
[ -z "${DROVER_CEPH_USER:-}" ] || set -- "$@" --name "$DROVER_CEPH_USER"
[ -z "${DROVER_CEPH_KEYRING:-}" ] || set -- "$@" --keyring "$DROVER_CEPH_KEYRING"
rbd "$@" export --no-progress "$DROVER_CLONE" "$work/disk" || fail "the clone cannot be read"

# As after a power cut, the file system's journal comes first.
code=0
e2fsck -p "$work/disk" >"$work/said" 2>&1 || code=$?
[ "$code" -le 1 ] || fail "the file system is damaged (e2fsck exits $code): $(tail -n 3 "$work/said")"
mkdir "$work/out"
debugfs -R "rdump \"$directory\" \"$work/out\"" "$work/disk" >"$work/said" 2>&1 || true # it always exits 0
rm "$work/disk"
case $directory in
*[!/]*) data=$work/out/$(basename "$directory") ;;
*) data=$work/out ;;
esac
[ -s "$data/PG_VERSION" ] || fail "there is no PostgreSQL data in $directory of the image: $(tail -n 3 "$work/said")"
version=$(cat "$data/PG_VERSION")
bin=/usr/lib/postgresql/$version/bin
[ -x "$bin/postgres" ] || bin=$(dirname "$(command -v postgres || echo /nowhere/postgres)")
"$bin/postgres" --version 2>/dev/null | grep -q " $version\b" || fail "PostgreSQL $version is not installed here"

# Its own settings may lie elsewhere (Debian), or reach out of the clone: an archive, a
# primary, a port.
cat >"$work/settings" <<END
listen_addresses = ''
unix_socket_directories = '$sockets'
hba_file = '$work/hba'
ident_file = '$work/ident'
logging_collector = off
archive_mode = off
ssl = off
END
echo "local all all trust" >"$work/hba"
: >"$work/ident"
# It was running when the snapshot was taken, and is not here.
rm -f "$data/postmaster.pid"
chmod 700 "$data"
as=
if [ "$(id -u)" = 0 ]; then
	chown -R postgres: "$work" "$sockets"
	as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
# What is given on the command line also overrides postgresql.auto.conf.
# shellcheck disable=SC2086 # $as is meant to split
(cd "$work" && exec $as "$bin/postgres" -D "$data" -c config_file="$work/settings" -c archive_mode=off \
	-c listen_addresses= -c unix_socket_directories="$sockets" -c primary_conninfo= -c fsync=off) >"$work/log" 2>&1 &
server=$!
until "$bin/pg_isready" -q -h "$sockets"; do
	kill -0 "$server" 2>/dev/null || {
		server=
		fail "PostgreSQL does not start from the clone: $(tail -n 5 "$work/log")"
	}
	sleep 0.2
done

# The whole database is read once, so that a page of which the checksum is wrong is
# met, and an index cannot answer in the place of the table.
"$bin/pg_dump" -h "$sockets" -U "$superuser" "$database" >/dev/null 2>"$work/said" ||
	fail "database $database cannot be read: $(tail -n 3 "$work/said")"
found=$("$bin/psql" -h "$sockets" -U "$superuser" -XAtq -v ON_ERROR_STOP=1 -d "$database" -c "$query" 2>"$work/said") ||
	fail "the query fails: $(tail -n 3 "$work/said")"
[ "$found" -ge "$least" ] 2>/dev/null || fail "the query answers $found, and at least $least was expected"
echo "PostgreSQL $version serves $database from the clone; the query answers $found"

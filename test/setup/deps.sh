#!/bin/sh
# Installs what Drover's build and its lab of real Ceph clusters need, and says
# what and why. Exit 0: all there. Exit 3: Ceph's packages cannot be had on this
# machine, and only that. Exit 1: anything else is missing or has failed.
set -eu

# usable ends with 3 where the librbd that is here is none that Drover builds
# against.
usable() {
	sh "$(dirname "$0")/ceph-tag.sh" >/dev/null || exit 3
}

want="
gcc:compiles_the_C_side_of_go-ceph
ca-certificates:lets_go_download_modules_over_HTTPS
libc6-dev:C_library_headers_for_cgo
librados-dev:headers_that_go-ceph_builds_against
librbd-dev:headers_that_go-ceph_builds_against
ceph-common:the_rbd_and_ceph_commands_(lab,_comparison)
ceph-mon:monitor_for_the_lab's_clusters
ceph-mgr:manager_for_the_lab's_clusters_(snapshot_schedules,_service_map)
ceph-osd:storage_daemon_for_the_lab's_clusters
rbd-mirror:the_mirror_daemon_that_Drover_runs
nftables:cuts_the_way_between_the_lab's_sites
e2fsprogs:makes_and_reads_the_file_systems_that_are_drilled
xfsprogs:makes_and_reads_XFS,_so_that_the_check_of_it_is_tested
btrfs-progs:makes_and_reads_Btrfs,_so_that_the_check_of_it_is_tested
postgresql:starts_from_the_clones_of_a_drill_(no_cluster_of_its_own_is_made_or_started)
"

if ! command -v go >/dev/null 2>&1; then
	echo "deps: Go is missing: install Go 1.26 or newer and put it into PATH" >&2
	exit 1
fi

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
	cat >&2 <<'EOF'
deps: this is not Debian or Ubuntu, so nothing was installed. Drover needs, by
      their names on your system (Fedora/RHEL in brackets):
        a C compiler [gcc], librados and librbd with headers [librados-devel
        librbd-devel], and for the lab: ceph-mon, ceph-mgr, ceph-osd,
        ceph-common, rbd-mirror, nftables, e2fsprogs, xfsprogs,
        btrfs-progs, postgresql [postgresql-server]. Ceph 16, 17 or 18.
      Install those, then call make again. Without them, `make demo` shows the
      same plan on the simulator.
EOF
	for program in ceph-mon ceph-mgr ceph-osd rbd ceph rbd-mirror; do
		command -v "$program" >/dev/null 2>&1 || exit 3
	done
	command -v gcc >/dev/null 2>&1 || exit 1
	usable
	exit 0
fi

missing=""
# without is the exit code when the packages cannot be had.
without=1
for line in $want; do
	package=${line%%:*}
	if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
		missing="$missing $package"
		case $package in *ceph* | librados* | librbd* | rbd-mirror) without=3 ;; esac
		echo "deps: $package is missing: $(echo "${line#*:}" | tr _ ' ')"
	fi
done
if [ -z "$missing" ]; then
	usable
	exit 0
fi

sudo=""
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "deps: not root and no sudo: run as root: apt-get install --no-install-recommends$missing" >&2
		exit $without
	fi
	if ! sudo -v >/dev/null 2>&1; then
		echo "deps: sudo does not let you: run as root: apt-get install --no-install-recommends$missing" >&2
		exit $without
	fi
	sudo=sudo
fi
echo "deps: installing with apt-get:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# PostgreSQL's package makes a cluster and starts it, unless it is told not to; what
# tells it so is there while apt-get works, and no longer: the next version that
# somebody installs is their own affair.
quiet=/etc/postgresql-common/createcluster.d/drover.conf
install() {
	# shellcheck disable=SC2086 # the list is meant to split
	$sudo env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
		-o "DPkg::Pre-Invoke::=mkdir -p ${quiet%/*} && echo create_main_cluster = false >$quiet" \
		-o "DPkg::Post-Invoke::=rm -f $quiet" \
		install -y --no-install-recommends $missing >"$log" 2>&1
}
if ! install; then
	$sudo apt-get -o DPkg::Lock::Timeout=300 update >"$log" 2>&1 || true
	if ! install; then
		tail -n 20 "$log" >&2
		echo "deps: apt-get could not install:$missing (its last words are above)" >&2
		# A full disk or a lock is no want of packages.
		if grep -Eq 'Unable to locate package|no installation candidate|(Failed|Unable) to fetch|unmet dependencies|held broken packages' "$log"; then
			exit $without
		fi
		exit 1
	fi
fi
usable
echo "deps: all there"

#!/bin/sh
# Prints the go-ceph release tag for the librbd on this machine: go-ceph calls
# what is newest unless told by a build tag which release it links against.
# Nothing is printed for Ceph 19 and newer, which need no tag.
set -eu
version=$(dpkg-query -W -f '${Version}' librbd-dev 2>/dev/null) ||
	version=$(rpm -q --qf '%{VERSION}' librbd-devel 2>/dev/null) ||
	version=$(ceph --version 2>/dev/null | sed 's/^ceph version \([0-9]*\).*/\1/') ||
	version=
version=${version#*:}
case ${version%%.*} in
16) echo pacific ;;
17) echo quincy ;;
18) echo reef ;;
'') echo "ceph-tag: no librbd found; run: make deps" >&2; exit 1 ;;
1[0-5]) echo "ceph-tag: librbd $version is too old; Drover needs Ceph 16 or newer" >&2; exit 1 ;;
esac

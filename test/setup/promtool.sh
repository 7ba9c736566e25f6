#!/bin/sh
# Puts promtool, which checks the alert rules, into a folder, unless there is one.
# It comes from Debian's package prometheus, which is unpacked and not installed: an
# installed one would run a server. Exit 1: it cannot be had.
set -eu
mkdir -p "$1"
into=$(cd "$1" && pwd) # it may be named from here
if command -v promtool >/dev/null 2>&1 || [ -x "$into/promtool" ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
	echo "promtool: not Debian or Ubuntu: install Prometheus' promtool, or the alert rules are not checked" >&2
	exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
download() { apt-get download prometheus >log 2>&1; }
if ! download; then
	if [ "$(id -u)" = 0 ]; then
		apt-get -o DPkg::Lock::Timeout=300 update >log 2>&1 || true
	fi
	if ! download; then
		tail -n 5 log >&2
		echo "promtool: Debian's package prometheus cannot be had (its last words are above): the alert rules are not checked" >&2
		exit 1
	fi
fi
dpkg-deb -x prometheus_*.deb tree
mv tree/usr/bin/promtool "$into/promtool"
echo "promtool: taken from Debian's package prometheus"

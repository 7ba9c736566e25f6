#!/bin/sh
# beside.sh BACK FRONT: runs two commands side by side. BACK has only what FRONT leaves
# of the processors, and what it says is shown when both have ended. Fails if one does.
set -u
log=$(mktemp) || exit 1
# A session of its own, so that all of it can be ended, and put behind all others by the
# scheduler (man sched: autogroup).
setsid sh -c 'echo 19 >/proc/self/autogroup 2>/dev/null; exec nice -n 19 sh -c "$1"' sh "$1" >"$log" 2>&1 &
back=$!
trap 'kill -TERM "-$back" 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM

sh -c "$2"
front=$?
wait "$back"
code=$?
cat "$log"
[ "$code" = 0 ] || echo "$1: exit $code"
[ "$front" = 0 ] || echo "$2: exit $front"
[ "$code" = 0 ] && [ "$front" = 0 ]

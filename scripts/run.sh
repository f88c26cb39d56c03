#!/usr/bin/env bash
# Builds Sluice and runs it until Ctrl-C.
#
#   scripts/run.sh                  config/sluice.yaml, in front of a small origin of our own on 127.0.0.1:9001
#   scripts/run.sh my-config.yaml   your configuration, in front of whatever it names
set -euo pipefail

if [[ ${1:-} == -* || $# -gt 1 ]]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0"
  exit 2
fi
config=${1:+$(realpath -- "$1")}
cd "$(dirname "$0")/.."
sluice=build/release/sluice

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# need_port PORT WHAT-FOR: ends with a kind word if somebody else listens there.
need_port() {
  answers "$1" || return 0
  echo "run: port $1, which $2 needs, is already in use." >&2
  echo "run: 'ss -ltnp sport = :$1' shows by whom. Stop that, and run this again." >&2
  exit 1
}

# wait_for PORT PID: until the port answers, or the process that should serve it has ended, or ten seconds are over.
wait_for() {
  local deadline=$((SECONDS + 10))
  until answers "$1"; do
    kill -0 "$2" 2>/dev/null && ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

scripts/deps.sh build
echo "run: building $sluice"
log=$(mktemp)
cmake --preset release >"$log" || { cat "$log"; exit 1; }
rm -f "$log"
cmake --build --preset release --target sluice -j "${JOBS:-$(nproc)}"

# Each child gets a process group of its own, so that Ctrl-C reaches this script alone and every child is stopped once.
set -m
origin_pid='' sluice_pid='' status=0
stop_origin() { [[ -z $origin_pid ]] || kill "$origin_pid" 2>/dev/null || true; }
stop_sluice() { [[ -z $sluice_pid ]] || kill -TERM "$sluice_pid" 2>/dev/null || true; }
trap stop_origin EXIT
trap stop_sluice INT TERM HUP

if [[ -z $config ]]; then
  need_port 8080 "the listener in config/sluice.yaml"
  need_port 9901 "the admin listener in config/sluice.yaml"
  need_port 9001 "the demo origin"
  "$sluice" origin --listen 127.0.0.1:9001 &
  origin_pid=$!
  wait_for 9001 "$origin_pid" || { echo "run: the demo origin did not start" >&2; exit 1; }
fi

"$sluice" run --config "${config:-config/sluice.yaml}" &
sluice_pid=$!
if [[ -z $config ]] && wait_for 8080 "$sluice_pid"; then
  cat <<'TRY'

Sluice is running; Ctrl-C ends it. In another terminal:

  curl -i localhost:8080/hello                  # through the gateway to the origin and back
  curl -s localhost:8080/bytes/1000000 | wc -c  # a larger answer, streamed
  curl -s localhost:9901/metrics                # what it counted

TRY
fi

# A trapped signal ends `wait` early; Sluice has been told by then, and this waits for it again.
while :; do
  status=0
  wait "$sluice_pid" || status=$?
  kill -0 "$sluice_pid" 2>/dev/null || break
done
exit "$status"

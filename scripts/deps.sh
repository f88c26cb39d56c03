#!/usr/bin/env bash
# Installs what Sluice's scripts need and this machine lacks, with apt. Does nothing, quickly, if nothing is missing.
#
#   scripts/deps.sh [build] [test] [fuzz] [bench] [format]      (default: build)
#
# Services that come with a package (nginx, haproxy, prometheus, redis) are neither started nor enabled.
set -euo pipefail

declare -A packages=(
  [build]="g++ cmake ninja-build ccache pkg-config libuv1-dev libyaml-dev libfmt-dev libspdlog-dev libpcre2-dev
    libsystemd-dev libc-ares-dev libnghttp2-dev libhiredis-dev libssl-dev libsimdjson-dev libcrypt-dev zlib1g-dev libbrotli-dev libzstd-dev"
  # node-llhttp is the oracle that the parser's tests compare with; prometheus brings promtool.
  [test]="catch2 node-llhttp python3 python3-hpack python3-pytest python3-yaml python3-jsonschema python3-jwt python3-websockets
    python3-grpcio python3-h2 prometheus chromium curl dpkg-dev groff-base iproute2 logrotate man-db nghttp2-client openssl redis-sentinel redis-server
    redis-tools systemd"
  [fuzz]="clang-14 libclang-rt-14-dev llvm-14"
  [bench]="nginx haproxy nghttp2-client openssl redis-server wrk valgrind linux-perf strace python3 util-linux"
  [format]="clang-format-14"
)
services="nginx haproxy prometheus prometheus-node-exporter redis-server redis-sentinel"

wanted=()
for group in "${@:-build}"; do
  if [[ -z ${packages[$group]:-} ]]; then
    echo "deps: there is no group '$group'; the groups are: build test fuzz bench format" >&2
    exit 2
  fi
  read -rd '' -a names <<<"${packages[$group]}" || true  # ends at the end of the text, which is a "failure"
  wanted+=("${names[@]}")
done

if ! command -v dpkg-query >/dev/null; then
  echo "deps: this script knows only apt. Please install what these Debian packages hold: ${wanted[*]}" >&2
  exit 1
fi

installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qx -F "$package installed" <<<"$installed" || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $EUID -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "deps: missing: ${missing[*]}" >&2
    echo "deps: installing them needs root, and there is no sudo. As root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "deps: installing ${missing[*]}"

# invoke-rc.d asks policy-rc.d before it starts anything; 101 means no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
fi
had=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 2>/dev/null)
"${as_root[@]}" apt-get -qq update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "${missing[@]}"

if [[ -d /run/systemd/system ]]; then
  for service in $services; do
    grep -qx -F "$service installed" <<<"$had" || "${as_root[@]}" systemctl --quiet disable "$service" 2>/dev/null || true
  done
fi
echo "deps: done"

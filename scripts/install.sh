#!/usr/bin/env bash
# Builds Sluice and installs it as a systemd service: the binary, the units, the manual, the user "sluice", and a first
# configuration in /etc/sluice, if there is none. Starts nothing. Needs root.
#
#   scripts/install.sh [--prefix DIR] [--build DIR]
#
#   --prefix DIR   where to install; default: /usr/local. /etc/sluice and /var/log/sluice are the same everywhere.
#   --build DIR    install what was built there, instead of building build/release
#
# With DESTDIR set, everything goes below that folder, and no user is made: for packagers and tests.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=/usr/local build=''
while [[ $# -gt 0 ]]; do
  case "$1" in
    --prefix) prefix=${2:?--prefix needs a folder}; shift 2 ;;
    --build) build=${2:?--build needs a folder}; shift 2 ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
done
if [[ $prefix != /* ]]; then
  echo "install: --prefix must be an absolute path" >&2
  exit 2
fi
destination=${DESTDIR:-}
if [[ -z $destination && $EUID -ne 0 ]]; then
  echo "install: this needs root: sudo scripts/install.sh" >&2
  exit 1
fi

if [[ -z $build ]]; then
  build=build/release
  scripts/deps.sh build
  cmake --preset release
  cmake --build --preset release --target sluice -j "${JOBS:-$(nproc)}"
fi
cmake --install "$build" --prefix "$prefix"
[[ -z $destination ]] || exit 0

systemd-sysusers "$prefix/lib/sysusers.d/sluice.conf"
systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/sluice.conf"
[[ ! -d /run/systemd/system ]] || systemctl daemon-reload

cat <<NEXT

Sluice is installed. What is left to do:

  edit /etc/sluice/sluice.yaml       # listeners, upstreams, routes
  $prefix/sbin/sluice check          # says what is wrong with it, all at once
  systemctl enable --now sluice      # starts it, now and at every boot
  systemctl reload sluice            # after a change of the configuration

NEXT

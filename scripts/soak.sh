#!/usr/bin/env bash
# Lets the gateway live through a mixed load for a while, reloaded all the time and replaced now and then, and checks that no
# request was lost and nothing has grown: descriptors, memory, gauges.
#
#   scripts/soak.sh                  ten minutes
#   scripts/soak.sh --seconds 60     as long as you like
#   scripts/soak.sh --help           all options
#
# SLUICE=path soaks another binary than build/release/sluice; one built with sanitizers is welcome.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh build test
if [[ -z ${SLUICE:-} ]]; then
  cmake --preset release >/dev/null
  cmake --build --preset release --target sluice -j "${JOBS:-$(nproc)}"
fi
SLUICE_BINARY=${SLUICE:-$PWD/build/release/sluice} PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 scripts/soak/soak.py "$@"

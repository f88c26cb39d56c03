#!/usr/bin/env bash
# Measures Sluice against nginx and HAProxy on this machine. The proxy under test has one CPU, load and origin another; all
# three log every request, and every answer is checked. Ratios are taken within a round, so a noisy machine does little harm.
#
#   scripts/bench.sh                        CPU time per request, the table in README.md (about six minutes)
#   scripts/bench.sh cpu --only get         one scenario
#   scripts/bench.sh instructions           user instructions per request, under callgrind
#   scripts/bench.sh syscalls               system calls per request, under strace
#   scripts/bench.sh idle                   memory per idle connection, 10,000 of them
#   scripts/bench.sh memory                 growth of RSS while 64 MiB pass to a slow reader
#   scripts/bench.sh plugins                what plugins cost, and how exact a limit is that two gateways share
#   scripts/bench.sh tls                    TLS: keep-alive requests, handshakes, and memory per connection
#   scripts/bench.sh h2                     HTTP/2: requests, and memory per connection
#   scripts/bench.sh all                    everything
#   scripts/bench.sh --help                 all options
#
# SLUICE=path measures another binary than build/release/sluice.
set -euo pipefail
cd "$(dirname "$0")/.."

# What plugins cost is measured with a plugin of the tests, and with a benchmark that stands there too.
case "${1:-}" in
  plugins | all) groups=(build bench test) targets=() ;;
  *) groups=(build bench) targets=(--target sluice) ;;
esac
scripts/deps.sh "${groups[@]}"
if [[ -z ${SLUICE:-} ]]; then
  cmake --preset release >/dev/null
  cmake --build --preset release "${targets[@]}" -j "${JOBS:-$(nproc)}"
fi
PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 scripts/bench/bench.py "$@"

#!/usr/bin/env bash
# Builds and tests everything: the release build as people run it, the same tests under AddressSanitizer and UBSan, and the
# tests that use more than one thread under ThreadSanitizer. This is what CI runs. Ends with ctest's summary of each stage.
#
#   scripts/test.sh            all three stages
#   scripts/test.sh --quick    one stage, without sanitizers or LTO, while you work
#
# JOBS=n sets how many compilers run at once (default: one per CPU).
set -euo pipefail
cd "$(dirname "$0")/.."

quick=false
case "${1:-}" in
  "") ;;
  --quick) quick=true ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

jobs=${JOBS:-$(nproc)}
summary=()
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

say() { printf '\n== %3dm%02ds  %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }

# stage PRESET TITLE [--target T] [-- ctest arguments]: builds the preset and runs its tests; a red test does not stop the
# next stage, a failed build does.
stage() {
  local preset=$1 title=$2 target=all
  shift 2
  if [[ ${1:-} == --target ]]; then target=$2; shift 2; fi
  if [[ ${1:-} == -- ]]; then shift; fi
  say "$preset: building ($title)"
  cmake --preset "$preset" >"$log" || { cat "$log"; exit 1; }
  cmake --build --preset "$preset" -j "$jobs" --target "$target"
  say "$preset: testing"
  ctest --preset "$preset" -j 2 --no-tests=error "$@" 2>&1 | tee "$log" || failed=1
  summary+=("$preset: $title" "$(grep -E '^[0-9]+% tests passed' "$log" || echo 'ctest found no tests')")
}

scripts/deps.sh build test fuzz
if $quick; then
  stage debug "without optimisation"
else
  stage release "-O2, LTO"
  stage asan "AddressSanitizer, UBSan"
  stage tsan "ThreadSanitizer" --target thread_tests -- -R '^(unit\.(stats|event|store|proxy|worker)|integration\.)'
fi

say "done"
printf '%s\n' "${summary[@]}"
exit $failed

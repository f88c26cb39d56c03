#!/usr/bin/env bash
# Runs the libFuzzer targets under ASan and UBSan, one after the other, each from its corpus in tests/fuzz/corpus/<target>/.
# New inputs go to build/fuzz/found/<target>/, an input that crashes to build/fuzz/crashes/<target>/.
#
#   scripts/fuzz.sh                     every target, 60 seconds each
#   scripts/fuzz.sh chunked             one target
#   scripts/fuzz.sh chunked 3600        one target, one hour
#   scripts/fuzz.sh all 10              every target, 10 seconds each
#
# To keep what was found:  build/fuzz/tests/fuzz/fuzz_T -merge=1 tests/fuzz/corpus/T build/fuzz/found/T
set -euo pipefail
cd "$(dirname "$0")/.."

only=${1:-all}
seconds=${2:-60}
if [[ ! $seconds =~ ^[0-9]+$ ]]; then
  echo "fuzz: '$seconds' is not a number of seconds" >&2
  exit 2
fi

scripts/deps.sh build test fuzz
cmake --preset fuzz >/dev/null
mapfile -t targets < <(ninja -C build/fuzz -t targets all | sed -n 's/^fuzz_\([a-z0-9_]*\): phony$/\1/p' | sort)
if [[ $only != all ]]; then
  if [[ " ${targets[*]} " != *" $only "* ]]; then
    echo "fuzz: there is no target '$only'; the targets are: ${targets[*]}" >&2
    exit 2
  fi
  targets=("$only")
fi
cmake --build --preset fuzz -j "${JOBS:-$(nproc)}" --target "${targets[@]/#/fuzz_}"

failed=0
for target in "${targets[@]}"; do
  found=build/fuzz/found/$target
  corpus=tests/fuzz/corpus/$target
  crashes=build/fuzz/crashes/$target
  mkdir -p "$found" "$crashes" "$corpus"
  printf '\n== %s, %d seconds\n' "$target" "$seconds"
  "build/fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=5 -print_final_stats=1 \
    -artifact_prefix="$crashes/" "$found" "$corpus" || failed=1
done
exit $failed

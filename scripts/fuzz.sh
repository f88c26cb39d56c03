#!/usr/bin/env bash
# Runs the libFuzzer targets under ASan and UBSan, one after the other, each from its corpus in tests/fuzz/corpus/<target>/.
# New inputs go to build/fuzz/found/<target>/; a crash is written there too, and its path is printed.
#
#   scripts/fuzz.sh                     every target, 60 seconds each
#   scripts/fuzz.sh chunked             one target
#   scripts/fuzz.sh chunked 3600        one target, one hour
#   scripts/fuzz.sh all 10              every target, 10 seconds each
#
# To keep what was found, merge it:  build/fuzz/.../fuzz_T -merge=1 tests/fuzz/corpus/T build/fuzz/found/T
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
cmake --build --preset fuzz -j "${JOBS:-$(nproc)}"

mapfile -t binaries < <(find build/fuzz -type f -name 'fuzz_*' -perm -u+x | sort)
failed=0
ran=0
for binary in "${binaries[@]}"; do
  target=$(basename "$binary")
  target=${target#fuzz_}
  [[ $only == all || $only == "$target" ]] || continue
  ran=$((ran + 1))
  found=build/fuzz/found/$target
  mkdir -p "$found" "tests/fuzz/corpus/$target"
  printf '\n== %s, %d seconds\n' "$target" "$seconds"
  "$binary" -max_total_time="$seconds" -timeout=5 -print_final_stats=1 -artifact_prefix="$found/crash-" \
    "$found" "tests/fuzz/corpus/$target" || failed=1
done
if [[ $ran -eq 0 ]]; then
  echo "fuzz: there is no target '$only'; the targets are:" >&2
  printf '  %s\n' "${binaries[@]##*/fuzz_}" >&2
  exit 2
fi
exit $failed

#!/usr/bin/env bash
# Formats the C++ sources in place with clang-format 14 and .clang-format.
#
#   scripts/format.sh            format
#   scripts/format.sh --check    change nothing; list what is not formatted and exit 1
set -euo pipefail
cd "$(dirname "$0")/.."

mode=(-i)
case "${1:-}" in
  "") ;;
  --check) mode=(--dry-run --Werror) ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

scripts/deps.sh format
git ls-files -z --cached --others --exclude-standard '*.h' '*.hpp' '*.cc' '*.c' |
  xargs -0 -r clang-format-14 "${mode[@]}"

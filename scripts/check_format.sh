#!/usr/bin/env bash
# Checks (or with --fix repairs) the layout of every C++ file by clang-format 14, whose rules .clang-format was written for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool=$(type -P clang-format-14 || type -P clang-format || true)
if [[ -z $tool || $("$tool" --version) != *"version 14."* ]]; then
  echo "check_format: skipped, clang-format 14 is not here (scripts/install_deps.sh --with-tests)"
  exit 0
fi
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.cc' '*.hpp' '*.cu' '*.cuh')
existing=()
for file in "${files[@]}"; do [[ -f $file ]] && existing+=("$file"); done
if [[ ${1:-} == --fix ]]; then
  "$tool" -i "${existing[@]}"
  exit 0
fi
wrong=()
mapfile -t wrong < <(printf '%s\0' "${existing[@]}" | xargs -0 -P "$(nproc)" -n 16 "$tool" --dry-run 2>&1 |
  sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: warning: code should be clang-formatted.*/\1/p' | sort | uniq -c | sort -rn)
if ((${#wrong[@]})); then
  printf 'check_format: %d of %d files are not laid out as .clang-format says (places, file):\n' \
    ${#wrong[@]} ${#existing[@]}
  printf '  %s\n' "${wrong[@]}"
  echo "repair: scripts/check_format.sh --fix"
  exit 1
fi
echo "check_format: ${#existing[@]} files"

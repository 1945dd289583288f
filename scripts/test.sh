#!/usr/bin/env bash
# Installs what is missing, builds everything, runs the checks of the sources and all tests.
#
#   scripts/test.sh [arguments of ctest...]      for example: scripts/test.sh -L unit
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/test.sh
  exit 0
fi

start=$SECONDS
scripts/install_deps.sh --with-tests
scripts/build.sh

failed=()
for check in "python3 scripts/check_layering.py" "python3 scripts/check_sizes.py" "scripts/check_format.sh"; do
  $check || failed+=("$check")
done

log=build/release/ctest.log
status=0
ctest --preset release --parallel "$(nproc)" "$@" 2>&1 | tee "$log" || status=$?
echo
((${#failed[@]} == 0)) || printf 'failed check: %s\n' "${failed[@]}"
grep -E '^[0-9]+% tests passed' "$log" || echo "ctest ended without a summary (status $status)"
echo "scripts/test.sh: $((SECONDS - start)) s"
((status == 0 && ${#failed[@]} == 0))

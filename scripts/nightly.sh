#!/usr/bin/env bash
# What is too long for every commit: the sanitizers, clang-tidy over the tree, the slow tests. About two hours on 2 cores.
#
#   scripts/nightly.sh [PART...]      default: all of them, in this order; a part that fails does not stop the next
#
#   asan   address, leak and undefined-behaviour sanitizers: unit, op and golden tests, end-to-end training
#   tsan   thread sanitizer: the unit tests without StarPU (it sees none of StarPU's own synchronisation)
#   tidy   clang-tidy on everything but the tests
#   slow   the tests labelled `slow`, of the release build
#
# Each part writes build/nightly/PART.log; its last lines are shown if it fails. Exit code 1 if one did.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly LOGS=build/nightly PARTS="asan tsan tidy slow"
jobs=$(nproc)

# The functions below are called where `set -e` has no effect: && it is.
preset() {  # configures, builds and tests one preset; the rest goes to ctest
  local name=$1
  shift
  cmake --preset "$name" && cmake --build --preset "$name" --parallel "$jobs" &&
    ctest --preset "$name" --parallel "$jobs" "$@"
}
part_asan() { preset asan; }
part_tsan() { preset tsan; }
part_tidy() { cmake --preset release && scripts/clang_tidy.sh; }
part_slow() { scripts/build.sh && ctest --preset release -L slow --no-tests=error; }

parts=("$@")
(($#)) || read -ra parts <<<"$PARTS"
for part in "${parts[@]}"; do
  if [[ " $PARTS " != *" $part "* ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    [[ $part == -h || $part == --help ]] && exit 0
    echo "nightly: unknown part \"$part\"; there are: $PARTS" >&2
    exit 2
  fi
done

mkdir -p "$LOGS"
scripts/install_deps.sh --with-tests
failed=()
for part in "${parts[@]}"; do
  start=$SECONDS
  log=$LOGS/$part.log
  if "part_$part" >"$log" 2>&1; then
    echo "nightly: $part passed in $((SECONDS - start)) s"
  else
    failed+=("$part")
    echo "nightly: $part FAILED after $((SECONDS - start)) s; the last lines of $log:"
    tail -n 40 "$log"
  fi
done
((${#failed[@]} == 0)) || exit 1

#!/usr/bin/env bash
# Builds the release preset quietly: one progress line, the compiler's output in build/release/build.log.
#
#   scripts/build.sh [TARGET...]        default: everything, the tests included
set -Eeuo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/build.sh
  exit 0
fi
readonly BUILD=build/release LOG=build/release/build.log
mkdir -p "$BUILD"

say() { printf '[build] %s\n' "$*"; }

fail() {
  printf '\n--- %s, the errors first\n' "$LOG" >&2
  grep -E -m 20 'error:|Error|undefined reference|FAILED|killed' "$LOG" >&2 || true
  printf -- '--- its last lines\n' >&2
  tail -n 30 "$LOG" >&2
  printf '\n[build] error: %s\n  command: %s\n  try: %s\n' "$1" "$2" "$3" >&2
  exit 1
}

if [[ ! -f $BUILD/build.ninja ]]; then  # otherwise ninja configures again by itself when it must
  say "configuring"
  cmake --preset release >"$LOG" 2>&1 ||
    fail "CMake could not configure" "cmake --preset release" \
      "scripts/install_deps.sh if something was not found; rm -rf $BUILD if this folder was moved or copied"
else
  : >"$LOG"
fi

start=$SECONDS
command=(cmake --build "$BUILD" --parallel "$(nproc)")
(($#)) && command+=(--target "$@")
"${command[@]}" >>"$LOG" 2>&1 &
build=$!
trap 'kill "$build" 2>/dev/null || true' EXIT
live=no
[[ -t 1 ]] && live=yes
ticks=0
while kill -0 "$build" 2>/dev/null; do
  sleep 0.1
  ((++ticks % 10 == 0)) || continue
  step=$(tail -c 4000 "$LOG" | grep -o '^\[[0-9]*/[0-9]*\]' | tail -n 1 || true)
  if [[ $live == yes ]]; then
    printf '\r[build] %s %d s ' "${step:-...}" $((SECONDS - start))
  elif ((ticks % 600 == 0)); then
    say "${step:-...} $((SECONDS - start)) s"
  fi
done
status=0
wait "$build" || status=$?
trap - EXIT
if [[ $live == yes ]] && ((ticks >= 10)); then printf '\r\033[K'; fi
if ((status)); then
  fail "the build failed after $((SECONDS - start)) s" "${command[*]}" \
    "read $LOG; with too little memory, build with fewer jobs: cmake --build $BUILD -j1"
fi
((SECONDS - start < 2)) || say "done in $((SECONDS - start)) s (log: $LOG)"

#!/usr/bin/env bash
# Runs clang-tidy (.clang-tidy) on the files that a build compiles.
#
#   scripts/clang_tidy.sh [FILE-PATTERN...]      patterns of paths, for example src/base; default: all but the tests
#   BUILD=build/dev scripts/clang_tidy.sh        compile commands of another build (default build/release)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=${BUILD:-build/release}
if [[ ! -f $build/compile_commands.json ]]; then
  echo "clang_tidy: no $build/compile_commands.json; configure first: cmake --preset release" >&2
  exit 1
fi
if ! type -P clang-tidy >/dev/null; then
  echo "clang_tidy: clang-tidy is not here; scripts/install_deps.sh --with-tests installs it" >&2
  exit 1
fi
mapfile -t files < <(python3 - "$build" "$@" <<'PYTHON'
import json, os, re, sys
root, patterns = os.getcwd() + "/", sys.argv[2:] or ["^(?!tests/)"]
paths = {e["file"].removeprefix(root) for e in json.load(open(sys.argv[1] + "/compile_commands.json"))}
print("\n".join(sorted(p for p in paths if any(re.search(q, p) for q in patterns))))
PYTHON
)
echo "clang_tidy: ${#files[@]} files"
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 clang-tidy --quiet -p "$build" \
  --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument 2>/dev/null

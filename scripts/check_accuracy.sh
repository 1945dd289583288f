#!/usr/bin/env bash
# Compares gradients of the MLPerf net with PyTorch's in float64, and losses of 50 steps with those of `--math strict`.
#
#   scripts/check_accuracy.sh [--only gradients|losses] [--size N] [--seeds S] [--steps K] [--threads P]
#
# Exit code 1 where a bound is broken. Needs 8 GiB for PyTorch's float64 convolutions at 64^3. Makes PyTorch's environment
# (scripts/torch_venv.sh) and builds what is missing; HPDLF and WRITE_GRADIENTS name other programs than those of build/release.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for argument in "$@"; do
  if [[ $argument == -h || $argument == --help ]]; then exec python3 scripts/check_accuracy.py --help; fi
done
torch_python=$(scripts/torch_venv.sh) || exit 77  # ctest: skipped, there is nothing to compare with
if [[ -z ${HPDLF:-} || -z ${WRITE_GRADIENTS:-} ]]; then
  scripts/build.sh hpdlf write_gradients
  HPDLF=build/release/hpdlf WRITE_GRADIENTS=build/release/bin/write_gradients
fi
exec "$torch_python" scripts/check_accuracy.py --hpdlf "$HPDLF" --write-gradients "$WRITE_GRADIENTS" "$@"

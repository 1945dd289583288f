#!/usr/bin/env bash
# Times training steps of HP-DLF and of PyTorch in turn and writes the table of docs/performance.md.
#
#   scripts/compare_pytorch.sh [NET...] [--rounds R] [--steps K] [--threads P] [--check] [--dry-run]
#
# NET is a row (mlperf-64) or the net of several (mlperf); default: all rows. --check writes nothing and fails where a ratio is below
# what the table promises; --dry-run only prints. The machine should have nothing else to do. Makes PyTorch's environment
# (scripts/torch_venv.sh) and builds what is missing; HPDLF names another program than build/release/hpdlf.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for argument in "$@"; do
  if [[ $argument == -h || $argument == --help ]]; then exec python3 scripts/compare_pytorch.py --help; fi
done
torch_python=$(scripts/torch_venv.sh) || exit 77  # ctest: skipped, there is nothing to compare with
if [[ -z ${HPDLF:-} ]]; then
  scripts/build.sh hpdlf
  HPDLF=build/release/hpdlf
fi
exec python3 scripts/compare_pytorch.py --hpdlf "$HPDLF" --torch-python "$torch_python" "$@"

#!/usr/bin/env bash
# Makes a Python environment with PyTorch, for test fixtures and comparisons only: nothing of HP-DLF needs it to run.
#
#   scripts/torch_venv.sh          prints the path of its python; quick when it exists already
#
# PyPI's wheel of torch asks for gigabytes of CUDA packages. Some versions run on the CPU without them: torch is first
# installed alone, and completed only if it does not import. TORCH_VERSION chooses another version than the newest.
set -Eeuo pipefail
trap 'echo "[torch] error: line $LINENO of $0 failed: $BASH_COMMAND" >&2' ERR

venv=${HPDLF_CACHE_DIR:-$HOME/.cache/hpdlf}/torch-venv
readonly CHECK='import torch, numpy, scipy, nibabel; torch.nn.Conv3d(1, 2, 3)(torch.zeros(1, 1, 4, 4, 4)).sum().backward()'

say() { printf '[torch] %s\n' "$*" >&2; }

if [[ ! -x $venv/bin/python ]] || ! "$venv/bin/python" -c "$CHECK" >/dev/null 2>&1; then
  start=$SECONDS
  rm -rf "$venv"
  if ! python3 -m venv "$venv" 2>/dev/null; then
    rm -rf "$venv"
    say "error: python3 cannot make virtual environments; install Debian's python3-venv, then run this again"
    exit 1
  fi
  pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)
  say "installing numpy, scipy, nibabel and what torch needs"
  "${pip[@]}" install numpy scipy nibabel filelock typing-extensions sympy networkx jinja2 fsspec setuptools
  say "installing torch${TORCH_VERSION:+ $TORCH_VERSION} (a large file)"
  "${pip[@]}" install --no-deps "torch${TORCH_VERSION:+==$TORCH_VERSION}"
  if ! "$venv/bin/python" -c "$CHECK" 2>/dev/null; then
    say "this version does not import without its CUDA libraries: installing them too (several GB)"
    "${pip[@]}" install "torch${TORCH_VERSION:+==$TORCH_VERSION}"
    "$venv/bin/python" -c "$CHECK"
  fi
  say "done in $((SECONDS - start)) s: torch $("$venv/bin/python" -c 'import torch; print(torch.__version__)')"
fi
echo "$venv/bin/python"

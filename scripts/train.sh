#!/usr/bin/env bash
# Installs what is missing, builds, and trains one of the bundled applications.
#
#   scripts/train.sh APP [arguments of `hpdlf train`...]      for example: scripts/train.sh unet3d --set train.steps=50
#   scripts/train.sh my.toml                                  your own configuration
#
# The run's files go to runs/ in the current folder. The second start takes a second or two.
set -Eeuo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  echo "Applications:"
  local toml
  for toml in "$repo"/apps/*/*.toml; do
    [[ -f $toml ]] || continue
    printf '  %-14s %s\n' "$(basename "$toml" .toml)" "$(sed -n '1s/^# *//p' "$toml")"
  done
}

if (($# == 0)) || [[ $1 == -h || $1 == --help ]]; then
  usage
  exit $(($# == 0 ? 2 : 0))
fi
app=$1
shift
config=
if [[ $app == *.toml && -f $app ]]; then
  config=$app
else
  for toml in "$repo"/apps/*/"$app".toml; do
    [[ -f $toml ]] && config=$toml
  done
fi
if [[ -z $config ]]; then
  printf 'error: there is no application "%s"\n\n' "$app" >&2
  usage >&2
  exit 2
fi
[[ $PWD == "$repo" ]] && config=${config#"$repo"/}

"$repo/scripts/install_deps.sh"
"$repo/scripts/build.sh" hpdlf
exec "$repo/build/release/hpdlf" train "$config" "$@"

#!/usr/bin/env bash
# Installs what HP-DLF needs to build and run; safe to repeat, under a second when nothing is missing.
#
#   scripts/install_deps.sh [--with-tests]      --with-tests: also what only the test suite and the checks need
#
# 1. Debian packages, the missing ones only (as root, or by sudo).
# 2. StarPU >= 1.4: the system's, else built once from Debian's source package. The mirror, proxies and
#    keyring are those of this machine's own apt; apt checks the signature chain, this script the checksum.
# 3. oneDNN >= 3: the system's, else the PyPI wheels pinned below, unpacked.
# 2 and 3 go to $HPDLF_CACHE_DIR (default ~/.cache/hpdlf), outside the repository; env.cmake there tells CMake.
#
# Without a network: put starpu_1.4.10+dfsg.orig.tar.gz and the two oneDNN wheels into a folder and set
# HPDLF_DEPS_DIR to it; Debian's packages must then be installed already or apt must find them offline.
set -Eeuo pipefail
trap 'echo "[deps] error: line $LINENO of $0 failed: $BASH_COMMAND" >&2' ERR

readonly KNOWN_STARPU=1.4.10
readonly KNOWN_STARPU_SHA256=6b3bb9ec0d79f937882148b2da09ae6cb0ad4d1e83a104be45723dd70eba99c3
readonly STARPU_SUITES="forky sid trixie"     # Debian suites that carry StarPU 1.4, tried in this order
readonly ONEDNN=2023.2.0                      # oneDNN 3.2, built with GCC's OpenMP
readonly ONEDNN_WHEELS="onednn_devel_cpu_gomp-$ONEDNN onednn_cpu_gomp-$ONEDNN"
readonly ONEDNN_SHA256="
  onednn-devel-cpu-gomp==$ONEDNN --hash=sha256:9763c69e8c907e119056bd52ad918ca84ac9ba939d130a99dfa95ccca3e5e284
  onednn-cpu-gomp==$ONEDNN --hash=sha256:2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb"

# A command that provides it : its Debian package. Any version of these tools will do, from anywhere.
readonly TOOLS="g++:g++ cmake:cmake git:git python3:python3 ninja:ninja-build ccache:ccache pkg-config:pkg-config
  make:make mpirun:openmpi-bin"
readonly PACKAGES="libfmt-dev libspdlog-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libhwy-dev
  libnifti2-dev libniftiio-dev libznz-dev zlib1g-dev libpng-dev libsqlite3-dev libssl-dev libhwloc-dev libfxt-dev libopenmpi-dev mricron-data"
# The test programs are part of the build, so that `cmake --preset release` is the same everywhere.
readonly TEST_PACKAGES="libgtest-dev libgmock-dev libbenchmark-dev"
readonly CHECK_TOOLS="clang-format-14|clang-format:clang-format-14|clang-format clang-tidy:clang-tidy
  vite:vite Xvfb:xvfb xauth:xauth rsvg-convert:librsvg2-bin"

# Absolute, since the folder changes while StarPU is built: this script may be called by a relative path, and the
# variables may hold relative ones.
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly self=$repo/scripts/${BASH_SOURCE[0]##*/}
cache=$(realpath -m -- "${HPDLF_CACHE_DIR:-$HOME/.cache/hpdlf}")
deps_dir=${HPDLF_DEPS_DIR:+$(realpath -m -- "$HPDLF_DEPS_DIR")}
with_tests=no

say() { printf '[deps] %s\n' "$*"; }

# die WHAT COMMAND HINT [LOG]: every failure says what failed, the command, and what to try.
die() {
  if [[ -n "${4:-}" && -f "${4:-}" ]]; then
    printf '\n--- last lines of %s\n' "$4" >&2
    tail -n 25 "$4" >&2
  fi
  printf '\n[deps] error: %s\n  command: %s\n  try: %s\n' "$1" "$2" "$3" >&2
  exit 1
}

# timed LABEL COMMAND...: runs it with its output in a log; says how long it took.
timed() {
  local label=$1 start=$SECONDS
  shift
  printf '[deps] %s ... ' "$label"
  if "$@" >"$log" 2>&1; then
    printf 'done in %d s\n' $((SECONDS - start))
  else
    printf 'FAILED after %d s\n' $((SECONDS - start))
    return 1
  fi
}

# ---- Debian packages -------------------------------------------------------------------------------

missing_packages() {  # prints the packages that still have to be installed, alternatives as "a|b"
  local entry command names found libraries="$PACKAGES $TEST_PACKAGES" tools="$TOOLS"
  [[ $with_tests == yes ]] && tools+=" $CHECK_TOOLS"
  for entry in $tools; do
    found=no
    for command in ${entry%%:*}; do
      IFS='|' read -ra names <<<"$command"
      for command in "${names[@]}"; do
        type -P "$command" >/dev/null && found=yes
      done
    done
    [[ $found == yes ]] || echo "${entry#*:}"
  done
  # The wheels of oneDNN come by pip; asked only while they are not there, since starting Python takes its time.
  if [[ ! -d $cache/onednn-$ONEDNN ]] && ! python3 -m pip --version >/dev/null 2>&1; then echo python3-pip; fi
  { dpkg-query -W -f '${Package} ${db:Status-Status}\n' $libraries 2>/dev/null || true; } |
    awk -v wanted="$libraries" '$2 == "installed" { have[$1] = 1 }
      END { n = split(wanted, w); for (i = 1; i <= n; ++i) if (!(w[i] in have)) print w[i] }'
}

apt_candidate() {  # is there a version of package $1 to install?
  [[ $(LC_ALL=C apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }') == [0-9]* ]]
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif type -P sudo >/dev/null; then
    sudo DEBIAN_FRONTEND=noninteractive "$@"
  else
    echo "neither root nor sudo" >&2
    return 1
  fi
}

# Installs the given packages ("a|b": the first that exists), refreshing apt's lists only if it must.
install_packages() {
  local wanted=("$@") chosen=() entry name pick updated=no list start=$SECONDS
  type -P apt-get >/dev/null || die "this is not a Debian system (no apt-get)" "apt-get install ${wanted[*]}" \
    "install the equivalents of these packages yourself, then run this again: ${wanted[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local install=(apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300)
  choose() {
    chosen=()
    for entry in "${wanted[@]}"; do
      IFS='|' read -ra list <<<"$entry"
      pick=
      for name in "${list[@]}"; do
        if [[ -z $pick ]] && apt_candidate "$name"; then pick=$name; fi
      done
      [[ -n $pick ]] || return 1
      chosen+=("$pick")
    done
  }
  update() {
    updated=yes
    timed "apt-get update" as_root apt-get update ||
      die "apt could not refresh its package lists" "apt-get update" \
        "check the network and /etc/apt/sources.list*; as a user without sudo, run this once as root" "$log"
  }
  choose || update
  choose || die "no Debian package \"$entry\" for this release" "apt-cache policy ${entry//|/ }" \
    "use Debian 12 or later with the component \"main\", or install \"$entry\" yourself"
  if [[ $EUID -ne 0 ]]; then
    say "administrator rights are needed for: apt-get install ${chosen[*]}"
    as_root true || die "${#chosen[@]} packages are missing and this user may not install them" \
      "apt-get install ${chosen[*]}" "run that line as root, then run this again"
  fi
  timed "installing ${#chosen[@]} Debian packages: ${chosen[*]}" as_root "${install[@]}" "${chosen[@]}" && return
  if [[ $updated == no ]]; then  # most often lists older than the mirror
    update
    timed "installing them, second attempt" as_root "${install[@]}" "${chosen[@]}" && return
  fi
  die "apt could not install packages" "${install[*]} ${chosen[*]}" \
    "run the command by hand; \`apt-get -f install\` repairs a half-finished installation" "$log"
}

# ---- StarPU ----------------------------------------------------------------------------------------

# Where the machine's apt gets Debian from: "URI keyring", security and third-party archives left out.
debian_mirrors() {
  apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)' \
    'Created-By: Packages' 2>/dev/null |
    awk '$3 == "main" && $2 !~ /security|\// && !seen[$1]++ { print $1, ($4 ~ /^\// ? $4 : "") }'
}

# Fetches the newest StarPU 1.4.x source of the suites above into $1, by a private apt configuration: the machine's own
# lists and sources stay as they are. A mirror that has not been synchronised for weeks serves expired (but signed)
# lists, which apt refuses; from those only the version whose checksum we know is taken.
fetch_starpu() {
  local target=$1 uri keyring suite expired
  for expired in no yes; do
    while read -r uri keyring; do
      if [[ ! -r $keyring ]]; then keyring=/usr/share/keyrings/debian-archive-keyring.gpg; fi
      if [[ ! -r $keyring ]]; then install_packages debian-archive-keyring; fi
      for suite in $STARPU_SUITES; do
        fetch_starpu_from "$target" "$uri" "$keyring" "$suite" $expired && return
        grep -h '^E: ' "$log" | head -n 2 | sed 's/^/[deps]   apt: /' || true
      done
    done < <(debian_mirrors)
  done
  die "no StarPU 1.4 source package could be fetched" "apt-get source starpu   (suites $STARPU_SUITES)" \
    "check that the mirror in /etc/apt/sources.list* is a Debian mirror and reachable; or put
       starpu_$KNOWN_STARPU+dfsg.orig.tar.gz into a folder and set HPDLF_DEPS_DIR to it; or install StarPU >= 1.4
       so that \`pkg-config starpu-1.4\` finds it"
}

fetch_starpu_from() {  # target folder, mirror, keyring, suite, whether its lists may be expired
  local target=$1 uri=$2 keyring=$3 suite=$4 expired=$5 apt_dir=$1/apt version options
  options=(-o Dir::Etc::SourceList="$apt_dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$apt_dir/lists" -o Dir::Cache="$apt_dir/cache" -o APT::Sandbox::User=root
    -o Acquire::Languages=none)
  [[ $expired == yes ]] && options+=(-o Acquire::Check-Valid-Until=false)
  rm -rf "$apt_dir"
  mkdir -p "$apt_dir"/{lists/partial,cache/archives/partial}
  echo "deb-src [signed-by=$keyring] $uri $suite main" >"$apt_dir/sources.list"
  timed "source list of Debian $suite from $uri$([[ $expired == no ]] || echo " (expired or not)")" apt-get "${options[@]}" update || return 1
  version=$(apt-cache "${options[@]}" showsrc starpu 2>/dev/null |
    awk -v only="$([[ $expired == no ]] || echo "$KNOWN_STARPU")" \
      '$1 == "Version:" && $2 ~ /^1\.4\./ && index($2, only) == 1 { print $2 }' | sort -V | tail -n 1)
  if [[ -z $version ]]; then
    say "Debian $suite has no StarPU ${KNOWN_STARPU} there"
    return 1
  fi
  (cd "$target" && timed "source of StarPU $version" apt-get "${options[@]}" -q source --download-only "starpu=$version") ||
    return 1
  rm -rf "$apt_dir"
}

build_starpu() {  # $1 source tarball, $2 final prefix, $3 scratch folder
  local tarball=$1 prefix=$2 scratch=$3 source
  mkdir -p "$scratch/source" "$scratch/stage" "$scratch/build"
  tar -xf "$tarball" -C "$scratch/source" --strip-components=1 ||
    die "the StarPU tarball is damaged" "tar -xf $tarball" "delete it and run this again"
  source=$scratch/source
  cd "$scratch/build"
  timed "configuring StarPU (about 20 s)" "$source/configure" --prefix="$prefix" --disable-cuda --disable-opencl \
    --disable-hip --disable-build-doc --disable-build-examples --disable-build-tests --disable-starpufft \
    --disable-socl --disable-starpupy --disable-fortran --disable-mlr --enable-fxt --enable-maxcpus=128 \
    --enable-maxnodes=16 --enable-maxbuffers=16 --disable-static --enable-mpi ||
    die "StarPU's configure failed" "$source/configure" "read $scratch/build/config.log" "$log"
  timed "building StarPU (about 1 min on 2 cores)" make -s -j"$jobs" ||
    die "StarPU does not build" "make in $scratch/build" "is there memory and disk left? See $log" "$log"
  timed "installing StarPU" make -s install DESTDIR="$scratch/stage" ||
    die "StarPU does not install" "make install in $scratch/build" "is there disk left under $cache?" "$log"
  cd "$repo"
  # pkg-config files relative to themselves, so the folder may be moved or copied to another machine.
  sed -i 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$scratch/stage$prefix"/lib/pkgconfig/*.pc
  sed -i "s|$prefix|\${prefix}|g" "$scratch/stage$prefix"/lib/pkgconfig/*.pc
  rm -rf "$prefix"
  mv "$scratch/stage$prefix" "$prefix"
}

ensure_starpu() {  # sets starpu_prefix (empty: the system's)
  local tarball='' version scratch found start=$SECONDS
  if pkg-config --atleast-version=1.4.0 starpu-1.4 2>/dev/null && pkg-config --exists starpumpi-1.4; then
    starpu_prefix=
    say "StarPU $(pkg-config --modversion starpu-1.4): the system's"
    return
  fi
  for found in "$cache"/starpu-1.4.*/lib/libstarpumpi-1.4.so; do
    [[ -e $found ]] || continue
    starpu_prefix=${found%/lib/*}
    say "StarPU ${starpu_prefix##*-}: $starpu_prefix"
    return
  done
  say "StarPU >= 1.4 is not on this system: building it once into $cache"
  scratch=$(mktemp -d "$cache/build-starpu.XXXXXX")
  if [[ -n $deps_dir ]]; then
    tarball=$(find "$deps_dir" -maxdepth 1 -name 'starpu_1.4.*.orig.tar.*' | sort -V | tail -n 1)
    [[ -n $tarball ]] || say "no starpu_1.4.*.orig.tar.* in HPDLF_DEPS_DIR=$deps_dir, asking apt"
  fi
  if [[ -z $tarball ]]; then
    fetch_starpu "$scratch"
    tarball=$(find "$scratch" -maxdepth 1 -name 'starpu_1.4.*.orig.tar.*' | sort -V | tail -n 1)
  fi
  version=$(basename "$tarball")
  version=${version#starpu_}
  version=${version%%+*}
  version=${version%%.orig*}
  if [[ $version == "$KNOWN_STARPU" ]]; then
    echo "$KNOWN_STARPU_SHA256  $tarball" | sha256sum --check --status ||
      die "$tarball is not the StarPU $KNOWN_STARPU we know: its SHA-256 differs" "sha256sum $tarball" \
        "fetch it again; expected $KNOWN_STARPU_SHA256"
  fi
  starpu_prefix=$cache/starpu-$version
  build_starpu "$tarball" "$starpu_prefix" "$scratch"
  rm -rf "$scratch"
  say "StarPU $version: built in $((SECONDS - start)) s, in $starpu_prefix"
}

# ---- oneDNN ----------------------------------------------------------------------------------------

system_onednn() {  # prints the version of the system's oneDNN if it is 3 or later
  printf '#include <oneapi/dnnl/dnnl_version.h>\nV DNNL_VERSION_MAJOR DNNL_VERSION_MINOR\n' |
    { g++ -x c++ -E - 2>/dev/null || true; } | awk '$1 == "V" && $2 >= 3 { print $2 "." $3 }'
}

ensure_onednn() {  # sets dnnl_prefix (empty: the system's)
  local version scratch wheel wheels=() python start=$SECONDS
  version=$(system_onednn)
  if [[ -n $version ]]; then
    dnnl_prefix=
    say "oneDNN $version: the system's"
    return
  fi
  dnnl_prefix=$cache/onednn-$ONEDNN
  if [[ -e $dnnl_prefix/lib/libdnnl.so.3 && -e $dnnl_prefix/include/dnnl.hpp ]]; then
    say "oneDNN $ONEDNN: $dnnl_prefix"
    return
  fi
  say "oneDNN >= 3 is not on this system: unpacking the wheels of $ONEDNN"
  [[ $(uname -m) == x86_64 ]] || die "the oneDNN wheels are for x86-64, this machine is $(uname -m)" "uname -m" \
    "install oneDNN >= 3 (Debian 13: libdnnl-dev) so that the compiler finds oneapi/dnnl/dnnl.hpp"
  scratch=$(mktemp -d "$cache/build-onednn.XXXXXX")
  for wheel in $ONEDNN_WHEELS; do
    [[ -n $deps_dir ]] && cp "$deps_dir/$wheel"-*.whl "$scratch/" 2>/dev/null || true
  done
  sed '/^ *$/d; s/^ *//' <<<"$ONEDNN_SHA256" >"$scratch/requirements.txt"
  python=python3  # the system's, if another python3 is first in PATH and has no pip
  if ! python3 -m pip --version >/dev/null 2>&1; then python=/usr/bin/python3; fi
  if (($(find "$scratch" -name '*.whl' | wc -l) < 2)); then
    timed "fetching oneDNN $ONEDNN by pip" "$python" -m pip download --no-deps --only-binary=:all: --require-hashes \
      -r "$scratch/requirements.txt" --dest "$scratch" ||
      die "pip could not fetch oneDNN" "$python -m pip download onednn-devel-cpu-gomp==$ONEDNN" \
        "check pip's index and proxy (\`pip config list\`); or put the wheels $ONEDNN_WHEELS
       into a folder and set HPDLF_DEPS_DIR to it; or install oneDNN >= 3 (Debian 13: libdnnl-dev)" "$log"
  else
    timed "checking the wheels of HPDLF_DEPS_DIR" "$python" -m pip download --no-deps --no-index --only-binary=:all: \
      --require-hashes --find-links "$scratch" -r "$scratch/requirements.txt" --dest "$scratch/checked" ||
      die "the oneDNN wheels in $deps_dir are not those of $ONEDNN" "pip download --require-hashes" \
        "fetch them again by: pip download onednn-devel-cpu-gomp==$ONEDNN" "$log"
  fi
  mkdir -p "$scratch/unpacked"
  for wheel in "$scratch"/*.whl; do
    "$python" -m zipfile -e "$wheel" "$scratch/unpacked" ||
      die "a oneDNN wheel is damaged" "python3 -m zipfile -e $wheel" "delete it and run this again"
  done
  mkdir -p "$scratch/prefix"
  cp -al "$scratch"/unpacked/*.data/data/. "$scratch/prefix/"
  # The wheel holds the library three times; links do.
  (cd "$scratch/prefix/lib" && mv libdnnl.so.3.2 keep && rm -f libdnnl.so* && mv keep libdnnl.so.3.2 &&
    chmod 755 libdnnl.so.3.2 && ln -s libdnnl.so.3.2 libdnnl.so.3 && ln -s libdnnl.so.3 libdnnl.so)
  rm -rf "$dnnl_prefix"
  mv "$scratch/prefix" "$dnnl_prefix"
  rm -rf "$scratch"
  say "oneDNN $ONEDNN: unpacked in $((SECONDS - start)) s, in $dnnl_prefix"
}

# ---- all of it -------------------------------------------------------------------------------------

# What a finished installation is recorded as: this script, the system's answer, the options.
stamp_text() { echo "$(sha256sum <"$self") tests=$1"; }

is_complete() {
  local stamp=$cache/deps.stamp prefix
  [[ -f $stamp && -f $cache/env.cmake ]] || return 1
  [[ $(<"$stamp") == "$(stamp_text yes)" || $(<"$stamp") == "$(stamp_text $with_tests)" ]] || return 1
  while read -r prefix; do
    [[ -z $prefix || -d $prefix/lib ]] || return 1
  done < <(sed -n 's/^set(HPDLF_[A-Z]*_PREFIX "\(.*\)")$/\1/p' "$cache/env.cmake")
  [[ -z $(missing_packages) ]]
}

main() {
  local argument missing
  for argument in "$@"; do
    case $argument in
      --with-tests) with_tests=yes ;;
      -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$self"; exit 0 ;;
      *) die "unknown argument \"$argument\"" "$0 $*" "$0 --help" ;;
    esac
  done
  if is_complete; then
    say "all there ($cache)"
    return
  fi
  mkdir -p "$cache" 2>/dev/null || die "cannot write $cache" "mkdir -p $cache" "set HPDLF_CACHE_DIR to a folder you own"
  exec 9>"$cache/lock"
  flock -n 9 || { say "waiting for another installation to finish"; flock 9; }
  log=$cache/install.log
  jobs=$(nproc)
  rm -rf "$cache"/build-starpu.* "$cache"/build-onednn.*  # what an interrupted run left
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]})); then install_packages "${missing[@]}"; else say "Debian packages: all there"; fi
  ensure_starpu
  ensure_onednn
  cat >"$cache/env.cmake" <<ENV
# Written by scripts/install_deps.sh; an empty prefix means the system's own.
set(HPDLF_STARPU_PREFIX "$starpu_prefix")
set(HPDLF_DNNL_PREFIX "$dnnl_prefix")
ENV
  stamp_text $with_tests >"$cache/deps.stamp"
  say "done in $SECONDS s"
}

main "$@"

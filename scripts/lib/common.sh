# Shared by the scripts beside this folder; sourced, never run. Leaves the shell at the top of the
# checkout and defines: say, die, install_packages, install_build_packages, configure, compile.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "root or sudo is needed to install packages: $*"
  fi
}

is_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages PACKAGE...: those that are missing, and nothing is printed when none is.
install_packages() {
  local package missing=() log
  if ! command -v dpkg-query >/dev/null; then
    return 0 # not Debian: CMake names what it does not find
  fi
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  log=$(mktemp)
  if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    die "could not install ${missing[*]}"
  fi
  rm -f "$log"
}

# Tools count as there wherever they come from; libraries must be packages, as their files are
# looked for where Debian puts them.
build_packages() {
  local packages=(libuv1-dev liblua5.4-dev node-llhttp libssl-dev zlib1g-dev libyaml-dev)
  command -v gcc >/dev/null || packages+=(gcc libc6-dev)
  command -v cmake >/dev/null || packages+=(cmake)
  command -v ninja >/dev/null || packages+=(ninja-build)
  command -v pkg-config >/dev/null || packages+=(pkg-config)
  command -v lua5.4 >/dev/null || packages+=(lua5.4)
  printf '%s\n' "${packages[@]}"
}

install_build_packages() {
  # shellcheck disable=SC2046
  install_packages $(build_packages)
}

# configure FOLDER [CMAKE OPTION...]: quiet unless it fails.
configure() {
  local folder=$1 log
  shift
  log=$(mktemp)
  if ! cmake -S . -B "$folder" -G Ninja "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# compile FOLDER TARGET...: quiet unless it fails.
compile() {
  local folder=$1 log
  shift
  log=$(mktemp)
  if ! ninja -C "$folder" "$@" >"$log" 2>&1; then
    grep -Ev '^\[[0-9/]+\] |^/usr/bin/(cc|c\+\+) |^ninja: Entering' "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

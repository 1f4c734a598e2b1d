# What the scripts beside this file share: where things are, how they speak to the user, how they install what is
# missing, how they find V8's library. It is sourced, and leaves the caller in the project's top folder.
# shellcheck shell=bash disable=SC2034,SC2119,SC2120

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit
module=$root/target/release/libredisgears.so
venv=$root/target/venv
node_dir=$root/target/node
servers_dir=${GEARS_SERVERS:-$HOME/.cache/gears-servers}

# Everything is built in one place, which the scripts and the tests know.
unset CARGO_TARGET_DIR
PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
[ ! -d "$node_dir/bin" ] || PATH=$node_dir/bin:$PATH

say() { printf '==> %s\n' "$*"; }
die() { printf '==> %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# --- system packages ----------------------------------------------------------------------------------------------

missing=()

want() { # "packages" command... : the packages are needed where the command fails
  local packages
  read -ra packages <<< "$1"
  shift
  "$@" >/dev/null 2>&1 || missing+=("${packages[@]}")
}

can_install() { [ "$(id -u)" = 0 ] && have apt-get; }

install_missing() { # [command] : installs what `want` found to be missing, or says what it is and gives up
  [ ${#missing[@]} != 0 ] || [ $# != 0 ] || return 0
  if ! can_install; then
    echo "==> Something is missing. On Debian and Ubuntu this installs it:" >&2
    [ ${#missing[@]} = 0 ] || printf '  %s # as root\n' "apt-get update && apt-get install -y ${missing[*]}" >&2
    [ $# = 0 ] || printf '  %s # as yourself\n' "$1" >&2
    exit 1
  fi
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  missing=()
}

apt_install() (
  say "Installing $*"
  # While this file is there, Debian's packages do not start their services: redis-server would take port 6379.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  options=(-qq -o DPkg::Lock::Timeout=300)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" install -y --no-install-recommends "$@" > /dev/null
)

# --- Rust ---------------------------------------------------------------------------------------------------------

rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rustup_line="curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy -c rustfmt"

cargo_is_new() {
  local version
  version=$(cargo --version 2>/dev/null) || return 1
  version=${version#cargo }
  printf '%s\n' "$rust_wanted" "${version%% *}" | sort -CV
}

find_rust() { # a cargo that is new enough; where rustup's default is an older one, its stable one may do
  cargo_is_new || {
    have rustup && RUSTUP_TOOLCHAIN=stable cargo_is_new && export RUSTUP_TOOLCHAIN=stable
  }
}

install_rust() {
  say "Installing Rust (stable) for $(id -un) through rustup"
  if have rustup; then
    rustup toolchain install stable --profile minimal --component clippy --component rustfmt
  else
    RUSTUP_INIT_SKIP_PATH_CHECK=yes bash -o pipefail -c "$rustup_line --no-modify-path" ||
      die "Rust's installer, https://sh.rustup.rs, did not do it: install Rust $rust_wanted or newer by other means"
    hash -r
  fi
  find_rust || die "there is still no cargo $rust_wanted or newer on the path"
}

# --- V8's library -------------------------------------------------------------------------------------------------

# V8 comes as a static library, which cargo's package does not hold. Taken is the first of: what the user's own
# environment says, a file beside the project, one built by scripts/v8-from-source, and the release that the crate
# downloads by itself. Where there is none of them, it is built from source.
use_v8() {
  [ -z "${RUSTY_V8_ARCHIVE:-}${RUSTY_V8_MIRROR:-}${V8_FROM_SOURCE:-}" ] || return 0
  local name version url file
  name=librusty_v8_release_$(uname -m)-unknown-linux-gnu.a.gz
  for file in "$root/../shared/v8/$name" "$root/target/v8/$name"; do
    if [ -s "$file" ]; then
      RUSTY_V8_ARCHIVE=$(realpath "$file")
      export RUSTY_V8_ARCHIVE
      return 0
    fi
  done
  version=$(sed -n 's/^v8 = "=\(.*\)"/\1/p' Cargo.toml)
  url=https://github.com/denoland/rusty_v8/releases/download/v$version/$name
  if grep -qsF "$url" target/release/gn_out/obj/librusty_v8.sum; then return 0; fi # downloaded before
  if curl -fsIL --retry 2 --connect-timeout 5 --max-time 20 -o /dev/null "$url" 2>/dev/null; then return 0; fi
  say "V8's library is not at hand: RUSTY_V8_ARCHIVE is not set, there is no ../shared/v8/$name,"
  say "and the release at github.com/denoland/rusty_v8 cannot be reached."
  say "So it is built from source, once: half an hour to an hour on two cores. The result stays in target/v8."
  want python3 have python3
  install_missing
  scripts/v8-from-source
  RUSTY_V8_ARCHIVE=$root/target/v8/$name
  [ -s "$RUSTY_V8_ARCHIVE" ] || die "scripts/v8-from-source left no $RUSTY_V8_ARCHIVE"
  export RUSTY_V8_ARCHIVE
}

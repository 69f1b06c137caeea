#!/usr/bin/env bash
# Prepares a machine for building Squad: checks the toolchain, installs what the C++ part needs,
# and compiles RocksDB once. Takes about a second when nothing is missing.
#
# RocksDB is 342 C++ files. Cargo would compile them one by one for every profile and target
# directory (about 36 CPU-minutes each time). Here they are compiled once, twenty to a compiler
# call, from the very source that cargo fetched and checked, into a static archive in the user's
# cache; `.deps/cargo.toml`, which `.cargo/config.toml` includes when it exists, points cargo to it.
# On other platforms, or when this script never ran, cargo falls back to the crate's own build.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly CACHE_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/squad-build"
readonly CARGO_INCLUDE=".deps/cargo.toml"
readonly SOURCES_PER_CHUNK=20
# One chunk needs up to this much memory while it is compiled.
readonly CHUNK_MEMORY_KIB=$((2 * 1024 * 1024))

# The defines and flags of librocksdb-sys' build.rs for Linux, release, feature `lz4`; SSE 4.2 and
# PCLMUL are added because RocksDB would compute its checksums in software without them.
readonly CXX_FLAGS=(
  -std=c++20 -O2 -g0 -fPIC -ffunction-sections -fdata-sections -w
  -msse4.2 -mpclmul -include cstdint
  -DNDEBUG=1 -DLZ4=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION
  -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX
  -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT
  -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
)

say() { printf 'bootstrap: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

check_rust() {
  command -v rustup >/dev/null || die "rustup is missing; install it from https://rustup.rs and run this again"
  # With automatic installation switched off, rustup only reports that the pinned toolchain is absent.
  if ! cargo --version >/dev/null 2>&1; then
    local channel
    channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
    say "installing the pinned Rust toolchain $channel"
    rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy
  fi
}

has_cxx20() {
  echo 'static_assert(__cplusplus >= 202002L); int main() {}' |
    "${CXX:-c++}" -std=c++20 -fsyntax-only -x c++ - 2>/dev/null
}

# bindgen loads libclang, and libclang needs the headers that come with the compiler.
has_libclang() {
  [[ -n "${LIBCLANG_PATH:-}" ]] && return 0
  case "$(uname -s)" in
    Linux) ;;
    Darwin) xcode-select -p >/dev/null 2>&1; return ;;
    *) return 0 ;;
  esac
  compgen -G '/usr/lib/llvm*/lib/libclang*.so*' >/dev/null ||
    compgen -G '/usr/lib/*/libclang*.so*' >/dev/null ||
    compgen -G '/usr/lib*/libclang.so*' >/dev/null || return 1
  [[ -n "${BINDGEN_EXTRA_CLANG_ARGS:-}" ]] ||
    compgen -G '/usr/lib/llvm*/lib/clang/*/include/stddef.h' >/dev/null ||
    compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null
}

check_native_tools() {
  local packages=()
  { has_cxx20 && command -v ar >/dev/null; } || packages+=(build-essential)
  has_libclang || packages+=(libclang-dev)
  ((${#packages[@]} == 0)) && return 0

  local as_root=()
  if ((EUID != 0)); then as_root=(sudo -n); fi
  if command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; then
    say "installing with apt-get: ${packages[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
    has_cxx20 || die "${CXX:-c++} still does not accept C++20; set CXX to a compiler that does (GCC 11, Clang 14 or newer)"
    has_libclang || die "libclang was installed but not found; set LIBCLANG_PATH to its folder"
    return 0
  fi
  say "these Debian/Ubuntu packages (or their like) are missing: ${packages[*]}"
  say "they provide a C++ compiler that accepts C++20, and libclang with its built-in headers"
  say "a libclang elsewhere: LIBCLANG_PATH=<folder of libclang.so>,"
  die "and BINDGEN_EXTRA_CLANG_ARGS=-I<folder of stddef.h> when its headers are not beside it"
}

supports_archive() {
  [[ "$(uname -s)-$(uname -m)" == Linux-x86_64 ]] &&
    grep -qw sse4_2 /proc/cpuinfo && grep -qw pclmulqdq /proc/cpuinfo
}

locked_version() {
  awk -v name="$1" '$1 == "name" && $3 == "\"" name "\"" { found = 1; next }
    found && $1 == "version" { gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}

# The folder of a fetched crate. All features: a default build may leave RocksDB out.
crate_dir() {
  cargo metadata --locked --all-features --format-version 1 | tr ',' '\n' |
    sed -n "s|^\"manifest_path\":\"\(.*/$1-[0-9][^/]*\)/Cargo.toml\".*|\1|p"
}

compile_jobs() {
  local by_memory
  by_memory=$(awk -v need="$CHUNK_MEMORY_KIB" '/^MemAvailable/ { print int($2 / need) }' /proc/meminfo)
  local cores
  cores=$(nproc)
  if ((by_memory < 1)); then by_memory=1; fi
  echo $((by_memory < cores ? by_memory : cores))
}

# Compiles the archive into the folder $1.
build_archive() {
  local out=$1 rocksdb lz4
  cargo fetch --locked
  rocksdb=$(crate_dir librocksdb-sys)
  lz4=$(crate_dir lz4-sys)
  [[ -d "$rocksdb/rocksdb" && -d "$lz4/liblz4/lib" ]] || die "the fetched sources of librocksdb-sys or lz4-sys are incomplete"

  grep -vx 'util/build_version.cc' "$rocksdb/rocksdb_lib_sources.txt" | sed '/^ *$/d; s/^ *\(.*[^ ]\) *$/#include "\1"/' |
    split -l "$SOURCES_PER_CHUNK" -d --additional-suffix=.cc - "$out/chunk-"
  cp "$rocksdb/build_version.cc" "$out/build_version.cc"

  local includes=(-I"$rocksdb/rocksdb/include" -I"$rocksdb/rocksdb" -I"$rocksdb" -I"$lz4/liblz4/lib")
  (
    cd "$out"
    printf '%s\n' ./*.cc |
      xargs -P "$(compile_jobs)" -I{} sh -c 'file=$1; shift; "$@" -c "$file" -o "$file.o" && echo "bootstrap: compiled ${file#./}" >&2' \
        compile {} "${CXX:-c++}" "${CXX_FLAGS[@]}" "${includes[@]}"
    ar crs librocksdb.a ./*.o
    rm -f ./*.o ./*.cc
  )
}

prepare_archive() {
  local version lz4_version compiler key dir
  version=$(locked_version librocksdb-sys)
  lz4_version=$(locked_version lz4-sys)
  [[ -n "$version" && -n "$lz4_version" ]] || die "Cargo.lock names no librocksdb-sys or lz4-sys"
  compiler=$("${CXX:-c++}" --version | head -n 1)
  key=$(printf '%s\n' "$compiler" "$lz4_version" "$SOURCES_PER_CHUNK" "${CXX_FLAGS[@]}" | sha256sum | cut -c1-12)
  dir="$CACHE_DIR/rocksdb-$version-$key"

  if [[ ! -f "$dir/librocksdb.a" ]]; then
    mkdir -p "$CACHE_DIR"
    (
      flock 9
      # Another clone may have built it while this one waited for the lock.
      if [[ ! -f "$dir/librocksdb.a" ]]; then
        say "compiling RocksDB ${version#*+} once for this machine: 342 C++ files, about 7 CPU-minutes"
        say "(4 minutes on two quiet cores); it is kept in $CACHE_DIR for every later build"
        rm -rf "$CACHE_DIR"/building.*
        work=$(mktemp -d "$CACHE_DIR/building.XXXXXX")
        build_archive "$work"
        chmod 755 "$work"
        mv -T "$work" "$dir"
      fi
    ) 9>"$CACHE_DIR/lock"
  fi

  mkdir -p "$(dirname "$CARGO_INCLUDE")"
  local settings
  settings=$(printf '%s\n' \
    '# Written by xtask/bootstrap.sh; included by .cargo/config.toml.' \
    '[env]' \
    "ROCKSDB_LIB_DIR = \"$dir\"" \
    'ROCKSDB_STATIC = "1"')
  # An unchanged file keeps its time stamp, and a reader never sees half of it.
  if [[ ! -f "$CARGO_INCLUDE" || "$(<"$CARGO_INCLUDE")" != "$settings" ]]; then
    printf '%s\n' "$settings" >"$CARGO_INCLUDE.$$.tmp"
    mv "$CARGO_INCLUDE.$$.tmp" "$CARGO_INCLUDE"
  fi
}

check_rust
check_native_tools
if supports_archive; then
  prepare_archive
else
  say "no ready-made RocksDB build for this platform: cargo compiles it (about 36 CPU-minutes, once)"
fi

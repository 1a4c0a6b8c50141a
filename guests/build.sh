#!/usr/bin/env bash
# Builds every guest from source: ./build.sh [--native] [OUT]
#
# OUT defaults to built/ beside this script; --native also builds the host's versions into target/native, and
# those for this machine's CPU into target/native-cpu.
# The wasm bytes depend on the compilers' versions alone, not on where the checkout or cargo's home is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd -P)
native=no
if [[ ${1:-} == --native ]]; then
    native=yes
    shift
fi
mkdir -p "${1:-$here/built}"
out=$(cd "${1:-$here/built}" && pwd -P)
cd "$here"

clang=${GUEST_CLANG:-clang-22}
sysroot=${GUEST_SYSROOT:-/usr}
kernel_flags=(-O3 -ffp-contract=off -Wall -Wextra)
# The older spelling of wasm32-wasip1: Debian's wasi-libc lives in directories of that name.
wasm_flags=(--target=wasm32-wasi -Wno-deprecated "--sysroot=$sysroot" -Wl,--strip-all)

if ! command -v "$clang" >/dev/null; then
    echo "error: $clang not found; install clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32" >&2
    exit 1
fi
if [[ ! -e $sysroot/lib/wasm32-wasi/libc.a ]]; then
    echo "error: no C library in $sysroot/lib/wasm32-wasi; install wasi-libc libclang-rt-22-dev-wasm32" >&2
    exit 1
fi

# Only paths are remapped here; what changes the code is in Cargo.toml.
separator=$'\x1f'
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo${separator}--remap-path-prefix=$here=/guests"
release=$here/target/wasm32-wasip1/release
CARGO_PROFILE_RELEASE_STRIP=symbols cargo build --locked --release --target wasm32-wasip1 --target-dir target -p guest-crates
cargo build --locked --release --target wasm32-wasip1 --target-dir target -p scheme
CARGO_PROFILE_RELEASE_STRIP=symbols cargo build --locked --release --target wasm32-wasip1 --target-dir target -p scheme-reactor
for source in crates/src/bin/*.rs; do
    name=$(basename "$source" .rs)
    install -m 644 "$release/$name.wasm" "$out/crate-$name.wasm"
done
install -m 644 "$release/interp.wasm" "$out/interp.wasm"
install -m 644 "$release/interp_reactor.wasm" "$out/interp-reactor.wasm"

for source in kernels/*.c; do
    name=$(basename "$source" .c)
    "$clang" "${kernel_flags[@]}" "${wasm_flags[@]}" "$source" -o "$out/kernel-$name.wasm"
done
for source in late/*.c; do
    name=$(basename "$source" .c)
    "$clang" -O2 -Wall -Wextra "${wasm_flags[@]}" -Iinclude -Wl,--export-table -Wl,--growable-table \
        "$source" -o "$out/late-$name.wasm"
done
for source in kernels/snapshots/*.c; do
    name=$(basename "$source" .c)
    "$clang" --target=wasm32 "${kernel_flags[@]}" -nostdlib -Wl,--no-entry -Wl,--strip-all \
        "$source" -o "$out/snapshot-$name.wasm"
done
chmod 644 "$out"/*.wasm

# The host's programs, into target/$1: for the compilers' default target, or with further flags for this machine's CPU.
build_native() {
    local to=target/$1 clang_cpu=$2 rust_cpu=$3 source name
    mkdir -p "$to"
    CARGO_ENCODED_RUSTFLAGS="$CARGO_ENCODED_RUSTFLAGS$rust_cpu" cargo build --locked --release --target-dir "$to/cargo" -p guest-crates -p scheme
    for source in crates/src/bin/*.rs; do
        name=$(basename "$source" .rs)
        install -m 755 "$to/cargo/release/$name" "$to/crate-$name"
    done
    install -m 755 "$to/cargo/release/interp" "$to/interp"
    for source in kernels/*.c; do
        name=$(basename "$source" .c)
        # shellcheck disable=SC2086
        "$clang" "${kernel_flags[@]}" $clang_cpu "$source" -o "$to/kernel-$name" -lm
    done
}

if [[ $native == yes ]]; then
    build_native native '' ''
    build_native native-cpu -march=native "${separator}-Ctarget-cpu=native"
fi

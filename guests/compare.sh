#!/usr/bin/env bash
# Runs every guest natively and in wasm, and compares what they compute: ./compare.sh ENGINE [ARGS…]
#
# ENGINE ARGS… FILE ROUNDS must run a command module, for example ./compare.sh wasmo run. Set ROUNDS to
# run more than one round of each. Needs ./build.sh --native first.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd -P)
rounds=${ROUNDS:-1}
if (($# == 0)); then
    echo "usage: compare.sh ENGINE [ARGS…]" >&2
    exit 2
fi

passed=0
failed=0
for file in "$here"/built/crate-*.wasm "$here"/built/kernel-*.wasm; do
    name=$(basename "$file" .wasm)
    native=$("$here/target/native/$name" "$rounds") || native="error $?"
    guest=$("$@" "$file" "$rounds") || guest="error $?"
    if [[ ${native%%$'\n'*} == checksum\ * && ${native%%$'\n'*} == "${guest%%$'\n'*}" ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "differs: $name" >&2
        printf '  native: %s\n  wasm:   %s\n' "${native//$'\n'/ }" "${guest//$'\n'/ }" >&2
    fi
done
echo "$passed passed, $failed failed"
((failed == 0))

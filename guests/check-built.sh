#!/usr/bin/env bash
# Shows that built/*.wasm is what the sources give: rebuilds into a temporary directory and compares bytes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd -P)
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$here/build.sh" "$fresh"

failed=0
passed=0
for file in "$fresh"/*.wasm "$here"/built/*.wasm; do
    name=$(basename "$file")
    if [[ ! -e $here/built/$name ]]; then
        echo "missing: guests/built/$name is not in the tree, but the sources give it" >&2
    elif [[ ! -e $fresh/$name ]]; then
        echo "stale: guests/built/$name has no source any more" >&2
    elif ! cmp -s "$fresh/$name" "$here/built/$name"; then
        # A name that is in both directories is looked at once.
        [[ $file == "$fresh"/* ]] || continue
        echo "differs: guests/built/$name is not what its source gives" >&2
    else
        [[ $file == "$fresh"/* ]] && passed=$((passed + 1))
        continue
    fi
    failed=$((failed + 1))
done
echo "$passed passed, $failed failed"
if ((failed > 0)); then
    echo "run guests/build.sh and commit guests/built, or check that the compilers are those of guests/README.md" >&2
    exit 1
fi

#!/usr/bin/env bash
# Varve's B+tree beside bbolt, LMDB, redb and fjall on the revision workload; prints markdown tables.
#
#   benches/engines.sh [--rounds N] [--only varve,lmdb] [--rows 'commits of 100'] [SECTION...]
#
# Sections: writes reads deletes (together about a minute), reopen (stores of 1 GiB, about two minutes);
# without any, all of them. Reads also show a floor: values in a mapped file, found by multiplication.
# Stores are made under TMPDIR, which should be a disk and not a RAM disk.
# bbolt needs Go and its module proxy (or module cache); without them it is left out.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/engines" && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
(cd "$here" && cargo build --release --quiet --target-dir "$target")
with=(--dir "${TMPDIR:-/tmp}")
if command -v go > /dev/null && (cd "$here/bbolt" && go build -o "$target/bbolt-bench" .); then
    with+=(--bbolt "$target/bbolt-bench")
else
    echo "bbolt is left out: Go, or its modules, are not there" >&2
fi
exec "$target/release/varve-bench-engines" "${with[@]}" "$@"

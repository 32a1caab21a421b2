#!/usr/bin/env bash
# Makes the packages that are published, and checks that the crate's package runs on its own:
#
#   scripts/package.sh [FOLDER]      (default: target/dist)
#
# The folder gets the crate (kvreplay-VERSION.crate) and the wheel, which carries one manual page per command and the
# completions of bash, zsh and fish beside the program. Needs cargo, and maturin (`pip install 'maturin>=1.9,<2'`).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-target/dist}")
# crates.io takes no larger package.
limit=$((10 * 1024 * 1024))

mkdir -p "$folder"
work=$(mktemp -d)
# maturin puts what is in NAME.data/data under the installation's prefix.
extras=kvreplay.data
if [ -e "$extras" ]; then
    echo "$extras exists already; remove it, it is made anew" >&2
    exit 1
fi
trap 'rm -rf "$work" "$extras"' EXIT

target=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

# The crate: as `cargo publish` would send it, unpacked elsewhere, running README's first command.
cargo package --no-verify --quiet
crate=$(ls -t "$target"/package/kvreplay-*.crate | head -n 1)
size=$(stat -c %s "$crate")
if [ "$size" -gt "$limit" ]; then
    echo "$crate has $size bytes, and crates.io takes at most $limit" >&2
    exit 1
fi
tar -xzf "$crate" -C "$work"
(
    cd "$work"/kvreplay-*
    CARGO_TARGET_DIR=$target cargo run --release --locked --quiet -- \
        experiment data/sharegpt-synthetic.jsonl.zst --output-dir output/first
)
cp "$crate" "$folder/"

# The wheel.
cargo build --release --locked --quiet
replay=$target/release/replay
share=$extras/data/share
"$replay" man --output-dir "$share/man/man1"
mkdir -p "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
"$replay" completions bash > "$share/bash-completion/completions/replay"
"$replay" completions zsh > "$share/zsh/site-functions/_replay"
"$replay" completions fish > "$share/fish/vendor_completions.d/replay.fish"
maturin build --release --locked --quiet --out "$folder"

"$replay" --version
ls -l "$folder"

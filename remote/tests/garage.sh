#!/usr/bin/env bash
# The fleet's tests against one node and three nodes of Garage. The engine is built first, into a cache directory, unless it
# is there, in PATH or named by PLUGCACHE_GARAGE: some 20 minutes of one core, once.
#
#   remote/tests/garage.sh              all scenes
#   remote/tests/garage.sh attacker     those with this in their names
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root="${XDG_CACHE_HOME:-$HOME/.cache}/plugcache-tests/garage"
if [[ -z "${PLUGCACHE_GARAGE:-}" && ! -x "$root/bin/garage" ]] && ! command -v garage >/dev/null; then
    cargo install garage --version 2.5.0 --locked --root "$root"
fi
cargo test --test fleet -- "${@:-on_garage}" --skip on_s3s_fs

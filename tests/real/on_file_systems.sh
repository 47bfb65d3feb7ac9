#!/usr/bin/env bash
# The whole suite (unit tests, integration tests, planted bugs, tests on real kernels, benches once over) with its
# temporary files on each file system that can be mounted here. As root.
#
#   tests/real/on_file_systems.sh                     all of them
#   tests/real/on_file_systems.sh xfs btrfs           these
#   FILTER=kills tests/real/on_file_systems.sh xfs    only the tests with this in their names
#   SUITES='lib it' tests/real/on_file_systems.sh     only these of: lib it planted real
#
# Prints a table at the end. Mounts live in a namespace of their own: nothing stays behind, whatever happens.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ "$(id -u)" != 0 ]]; then
    echo "skipped: only root may mount"
    exit 0
fi
if [[ -z "${ON_FILE_SYSTEMS_INSIDE:-}" ]]; then
    ON_FILE_SYSTEMS_INSIDE=1 exec unshare --mount --propagation private -- "$0" "$@"
fi

kinds=("$@")
((${#kinds[@]})) || kinds=(tmpfs ext4 xfs btrfs overlay)
read -ra suites <<<"${SUITES:-lib it planted real}"
work="$(mktemp -d)"
trap 'umount -l "$work"/at "$work"/below 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/at" "$work/below"

# Built once, and run from where they lie: some tests look for what is beside them.
declare -A programs
for suite in "${suites[@]}"; do
    target=(--test "$suite")
    [[ "$suite" != lib ]] || target=(--lib)
    programs[$suite]="$(cargo test --no-run "${target[@]}" 2>&1 | tee /dev/stderr |
        sed -n 's/^ *Executable .*(\(.*\))$/\1/p')"
done

table=("$(printf '%-10s' on; printf '%-10s' "${suites[@]}" seconds)")
failed=0
for kind in "${kinds[@]}"; do
    if ! mount_kind "$kind"; then
        table+=("$(printf '%-10s skipped: it cannot be mounted here' "$kind")")
        continue
    fi
    chmod 700 "$work/at"
    begin=$SECONDS
    outcomes=()
    for suite in "${suites[@]}"; do
        printf '\n== %s on %s\n' "$suite" "$kind"
        outcome=ok
        # As cargo runs it, so that tests which call cargo themselves find it.
        env TMPDIR="$work/at" CARGO="$(command -v cargo)" CARGO_MANIFEST_DIR="$PWD" \
            "${programs[$suite]}" ${FILTER:+"$FILTER"} >"$work/log" 2>&1 || outcome=FAILED failed=1
        grep -v '^test .* \.\.\. ok$' "$work/log" || true
        outcomes+=("$outcome")
    done
    table+=("$(printf '%-10s' "$kind" "${outcomes[@]}" $((SECONDS - begin)))")
    umount "$work/at"
    [[ "$kind" != overlay ]] || umount "$work/below"
done
printf '\n'
printf '%s\n' "${table[@]}"
exit "$failed"

#!/usr/bin/env bash
# The integration tests and the tests on real kernels, on each file system that can be mounted here. As root.
#
#   tests/real/on_file_systems.sh                     all of them
#   tests/real/on_file_systems.sh xfs btrfs           these
#   FILTER=kills tests/real/on_file_systems.sh xfs    of the tests on real kernels only those with this in their names
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
cargo test --no-run --test it --test real
work="$(mktemp -d)"
trap 'umount -l "$work"/at "$work"/below 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/at" "$work/below"

# image KIND ARGUMENTS..: makes one of 3 GiB (it holds the images of the tests themselves) and mounts it.
image() {
    rm -f "$work/image"
    truncate -s 3G "$work/image"
    "mkfs.$1" -q "${@:2}" "$work/image" && mount -o loop "$work/image" "$work/at"
}

mount_kind() {
    case "$1" in
        tmpfs) mount -t tmpfs -o size=3g,mode=700 tmpfs "$work/at" ;;
        ext4 | xfs | btrfs) command -v "mkfs.$1" >/dev/null && image "$1" ;;
        overlay)
            mount -t tmpfs -o size=3g,mode=700 tmpfs "$work/below"
            mkdir "$work/below/lower" "$work/below/upper" "$work/below/work"
            mount -t overlay overlay "$work/at" \
                -o "lowerdir=$work/below/lower,upperdir=$work/below/upper,workdir=$work/below/work"
            ;;
        *) false ;;
    esac
}

table=("$(printf '%-10s %-10s %-10s %s' 'on' 'it' 'real' 'seconds')")
failed=0
for kind in "${kinds[@]}"; do
    if ! mount_kind "$kind"; then
        table+=("$(printf '%-10s skipped: it cannot be mounted here' "$kind")")
        continue
    fi
    chmod 700 "$work/at"
    printf '\n== %s\n' "$kind"
    begin=$SECONDS it=ok real=ok
    TMPDIR="$work/at" cargo test --quiet --test it || it=FAILED failed=1
    TMPDIR="$work/at" cargo test --quiet --test real -- ${FILTER:+"$FILTER"} || real=FAILED failed=1
    table+=("$(printf '%-10s %-10s %-10s %s' "$kind" "$it" "$real" $((SECONDS - begin)))")
    umount "$work/at"
    [[ "$kind" != overlay ]] || umount "$work/below"
done
printf '\n'
printf '%s\n' "${table[@]}"
exit "$failed"

# Sourced by the scripts beside it: where the repository is, and how to speak.
# shellcheck shell=bash

repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck disable=SC2034  # used by those who source this
venv=$repo/.venv
PATH=$PATH:/usr/sbin:/sbin # su without - leaves them out

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}
need_root() { ((EUID == 0)) || die "must run as root: sudo $0"; }

# Run a command without its output, unless it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || status=$?
    ((status == 0)) || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

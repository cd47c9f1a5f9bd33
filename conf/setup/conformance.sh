#!/bin/bash
# Install the conformance suites into .conformance/, as far as this machine can.
#
#   conf/setup/conformance.sh
#
# Autobahn runs on Python 2.7 with pip: the one that PYTHON2 names, else python2.7 of PATH or of pyenv. h2spec is a Go program
# without releases in a package registry: the one that H2SPEC names, else h2spec of PATH, else Go 1.18 or newer builds it.
# A suite that is not available is no error here; `python -m tests.conformance` says what is missing, and skips it.
set -euo pipefail

cd "$(dirname "$0")/../.."
folder=$PWD/.conformance
h2spec_version=v2.6.0

# Print the path of a Python 2.7 that has pip.
find_python2() {
    local candidate
    for candidate in "${PYTHON2:-}" \
        "$(command -v python2.7 || true)" \
        "$(pyenv prefix "$(pyenv versions --bare 2>/dev/null | grep -m 1 '^2\.7')" 2>/dev/null || true)/bin/python2.7"; do
        if [ -n "$candidate" ] && "$candidate" -c 'import pip, sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

install_wstest() {
    local python digest
    python=$(find_python2) || return 0
    digest=$({ "$python" -VV 2>&1; echo "$python"; cat conf/setup/wstest.txt; } | sha256sum)
    [ "$(cat "$folder/wstest/.installed" 2>/dev/null)" = "$digest" ] && return
    echo "Installing the Autobahn test suite into .conformance/wstest"
    rm -rf "$folder/wstest"
    # --no-deps: the list is complete.
    "$python" -m pip install --disable-pip-version-check --progress-bar off --quiet --no-deps \
        --target "$folder/wstest" -r conf/setup/wstest.txt 2>"$folder/pip.log" || {
        tail -n 20 "$folder/pip.log" >&2
        echo "pip could not install the Autobahn test suite." >&2
        return 0
    }
    ln -sfn "$python" "$folder/wstest/python2.7"
    echo "$digest" >"$folder/wstest/.installed"
}

install_h2spec() {
    if [ -n "${H2SPEC:-}" ] || command -v h2spec >/dev/null || [ -x "$folder/bin/h2spec" ]; then
        return
    fi
    command -v go >/dev/null || return 0
    echo "Building h2spec $h2spec_version"
    GOBIN=$folder/bin go install "github.com/summerwind/h2spec/cmd/h2spec@$h2spec_version" >"$folder/go.log" 2>&1 ||
        echo "Go could not build h2spec: $(tail -n 1 "$folder/go.log")" >&2
}

mkdir -p "$folder"
install_wstest
install_h2spec

#!/bin/bash
# Make sure that programs from Debian packages are there, installing them when that is allowed.
#
#   conf/setup/debian.sh COMMAND:PACKAGE... /PATH:PACKAGE...
#
# Does nothing when every COMMAND is found and every PATH is there. Otherwise installs the missing PACKAGEs through apt-get, as
# root or with a sudo that asks for no password; where neither is possible it says what is missing and
# ends with status 1.
set -euo pipefail

missing=()
for pair in "$@"; do
    wanted=${pair%%:*}
    if [[ $wanted == /* ]]; then
        [ -e "$wanted" ] || missing+=("${pair##*:}")
    else
        command -v "$wanted" >/dev/null || missing+=("${pair##*:}")
    fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

say_what_is_missing() {
    echo "Missing: ${missing[*]}. $1" >&2
    echo "Please install and start again:  sudo apt-get install ${missing[*]}" >&2
    exit 1
}

command -v apt-get >/dev/null || say_what_is_missing "This is no Debian, so the names may differ here."
if [ "$(id -u)" -eq 0 ]; then
    as_root=(env)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n env)
else
    say_what_is_missing "Installing takes root, or sudo without a password."
fi

echo "Installing Debian packages: ${missing[*]}"
export_quiet=(DEBIAN_FRONTEND=noninteractive)
"${as_root[@]}" "${export_quiet[@]}" apt-get update -q \
    && "${as_root[@]}" "${export_quiet[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" \
    || say_what_is_missing "apt-get could not install it."

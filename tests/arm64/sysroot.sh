#!/bin/bash
# SPDX-License-Identifier: MIT
# Unpacks arm64 packages and what they depend on into DIR, for cross-building and emulation; by default
# the libraries that entrofs links.
#
#   tests/arm64/sysroot.sh DIR [PACKAGE...]
#
# The packages come from this machine's own package sources, by a private apt state: arm64 is never
# added as a foreign architecture, which would make apt trade native packages for foreign ones.
set -euo pipefail

dir=${1:?usage: sysroot.sh DIR [PACKAGE...]}
shift
[ $# -gt 0 ] || set -- libc6-dev libgcc-s1 libfuse3-dev liburing-dev libzstd-dev liblz4-dev \
	libisal-dev libssl-dev libjansson-dev libcriterion-dev

[ "$(cat "$dir/.complete" 2> /dev/null)" = "$*" ] && exit 0 # else unpacked for another list
rm -rf "$dir"
mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial" "$dir/apt/status.d"
: > "$dir/apt/status"
abs=$(cd "$dir" && pwd)

cat > "$dir/apt/conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State "$abs/apt";
Dir::State::status "$abs/apt/status";
Dir::Cache "$abs/apt";
Debug::NoLocking "1";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
EOF
export APT_CONFIG="$abs/apt/conf"
apt-get -qq update
# apt's own solver names everything they need, whatever the release calls it. Nothing is installed: the
# archives are only downloaded and unpacked.
apt-get -qq -y --download-only install "$@" > "$dir/apt/log" 2>&1 ||
	{ cat "$dir/apt/log" >&2; exit 1; }
for archive in "$dir"/apt/archives/*.deb; do
	dpkg -x "$archive" "$dir"
done
rm -rf "$dir/apt"

# Absolute links would lead out of the sysroot: the linker would then silently take a static library.
find "$dir" -type l -lname '/*' | while read -r link; do
	target=$(readlink "$link")
	ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$dir$target")" "$link"
done
echo "$*" > "$dir/.complete"

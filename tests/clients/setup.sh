#!/bin/bash
# SPDX-License-Identifier: MIT
# setup.sh [DIR] - installs the programs that tests/clients drives into DIR, build/clients by default: from
# npm the versions of package-lock.json, from Debian what its release has. Nothing of the system changes:
# packages are only downloaded, by this machine's own sources, and unpacked.
#
# What cannot be installed is named in a line "skipped: ..."; so do the tests that need it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
dir=$(realpath -m "${1:-$here/../../build/clients}")
cd "$here"
debian=(python3-torch rsync)

skip() { # WHAT WHY
	echo "skipped: clients: cannot install $1: $2"
}
last_line() {
	grep . "$1" | tail -1
}

# npm's scripts stay unrun: they build or download what is there already, or for other machines.
npm_packages() {
	local into=$dir/npm
	cmp -s package-lock.json "$into/.complete" && return
	command -v node npm > "$dir/npm.log" || { skip 'npm packages' 'no node and npm'; return; }
	[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || { skip 'npm packages' 'node is older than 20'; return; }
	rm -rf "$into"
	mkdir -p "$into"
	cp package.json package-lock.json "$into"
	if npm ci --prefix "$into" --ignore-scripts --omit=optional --prefer-offline --no-audit --no-fund \
		> "$dir/npm.log" 2>&1; then
		rm -rf "$into"/node_modules/onnxruntime-node/bin/*/{darwin,win32}
		cp package-lock.json "$into/.complete"
	else
		skip 'npm packages' "$(grep -m1 'npm error' "$dir/npm.log" || last_line "$dir/npm.log")"
	fi
}

# apt's own solver names everything they need and this system has not.
debian_packages() {
	local into=$dir/debian cache=$dir/archives
	[ "$(cat "$into/.complete" 2> /dev/null)" = "${debian[*]}" ] && return
	rm -rf "$into" "$cache"
	mkdir -p "$into" "$cache/partial"
	if apt-get -qq -y --no-install-recommends --download-only -o Dir::Cache::archives="$cache" \
		-o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" install "${debian[@]}" \
		> "$dir/debian.log" 2>&1 &&
		find "$cache" -name '*.deb' -print0 |
		xargs -0 -r -P "$(nproc)" -I '{}' dpkg -x '{}' "$into" 2>> "$dir/debian.log"; then
		echo "${debian[*]}" > "$into/.complete"
	else
		skip "${debian[*]}" "$(last_line "$dir/debian.log")"
	fi
	rm -rf "$cache"
}

mkdir -p "$dir"
npm_packages &
debian_packages
wait $!

#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures reading through a mount: benchmarks/mount.sh [OPTION]..., see --help and docs/benchmarks.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

for tool in fio dd cmp fusermount3; do
	if ! command -v "$tool" > /dev/null; then
		echo "mount.sh: cannot find '$tool': make deps-dev installs it" >&2
		exit 1
	fi
done
exec "${PYTHON:-/usr/bin/python3}" "$here/mount/bench.py" "$@"

#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs a command in which aarch64 programs execute by themselves through qemu-user:
#
#   QEMU_LD_PREFIX=SYSROOT tests/arm64/with-binfmt.sh COMMAND...
#
# Needed by Criterion, whose tests re-execute their own program. The registration lives in namespaces of
# its own and ends with the command; the host's is not touched.
set -euo pipefail

if [ "${1:-}" != --inside ]; then
	exec unshare --user --map-root-user --mount "$0" --inside "$@"
fi
shift
dir=$(mktemp -d)
mount -t binfmt_misc binfmt_misc "$dir"
# O: pass the opened file; C: its credentials; F: open the interpreter now; P: keep argv[0].
sed 's/:[A-Z]*$/:OCPF/' /usr/lib/binfmt.d/qemu-aarch64.conf | tr -d '\n' > "$dir/register"
exec "$@"

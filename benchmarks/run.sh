#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the benchmarks, whose output is Markdown: benchmarks/run.sh [BUILD]
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build}
"$build/benchmarks/decode" --json "$build/benchmarks/decode.json"
"$build/benchmarks/dequant"
"$build/benchmarks/planes"
"$build/benchmarks/ggml_blocks"
"$build/benchmarks/tables"
benchmarks/arm64/instructions.sh
if command -v fio > /dev/null; then
	benchmarks/mount.sh --build "$build" --json "$build/benchmarks/mount.json" --plots "$build/benchmarks"
else
	echo "skipped: reading through a mount: no fio (make deps-dev)"
fi

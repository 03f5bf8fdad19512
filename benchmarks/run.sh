#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the benchmarks, whose output is Markdown: benchmarks/run.sh [BUILD]
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build}
"$build/benchmarks/decode" --json "$build/benchmarks/decode.json"
"$build/benchmarks/dequant"
"$build/benchmarks/tables"
benchmarks/arm64/instructions.sh

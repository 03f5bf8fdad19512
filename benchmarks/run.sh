#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the benchmarks and says on what machine: benchmarks/run.sh [BUILD]
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build}
echo "machine: $(uname -m), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
echo "kernel:  $(uname -sr)"
echo
"$build/benchmarks/decode"
"$build/benchmarks/dequant"

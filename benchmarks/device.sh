#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures the mount against plain files on a small device, emulated: benchmarks/device.sh [OPTION]...
# (--help lists the options, docs/device.md explains what is measured.)
exec /usr/bin/python3 "$(dirname "$0")/device/main.py" "$@"

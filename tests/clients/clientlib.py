# SPDX-License-Identifier: MIT
"""Programs of others on real mounts: where setup.sh has put them, and how they are run."""
import glob
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
ROOT = os.path.dirname(TESTS)
sys.path[:0] = [os.path.join(TESTS, "mount"), os.path.join(TESTS, "demo"), TESTS]

import modellib  # it is in one of these folders

INSTALLED = os.path.join(ROOT, "build", "clients")
NPM, DEBIAN = os.path.join(INSTALLED, "npm"), os.path.join(INSTALLED, "debian")
MODEL = os.path.join(ROOT, "runtime-demo", "model")
SHARED = os.path.join(ROOT, "..", "shared", "models")
HOW = "make check-clients installs it"


def need_npm(package):
    """Skips a module or class whose tests need this package from npm."""
    if not os.path.exists(os.path.join(NPM, ".complete")):
        raise unittest.SkipTest(f"no {package}: {HOW}")


def need_debian(package):
    """The same for a package from Debian."""
    if not os.path.exists(os.path.join(DEBIAN, ".complete")):
        raise unittest.SkipTest(f"no {package}: {HOW}")


def debian_environment():
    """For programs of the packages that are unpacked and not installed: where they find each other."""
    libraries = [folder for pattern in ("", "/*-linux-gnu", "/*-linux-gnu/blas", "/*-linux-gnu/lapack")
                 for folder in glob.glob(f"{DEBIAN}/usr/lib{pattern}")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries),
            "PATH": f"{DEBIAN}/usr/bin:{os.environ['PATH']}",
            "PYTHONPATH": os.path.join(DEBIAN, "usr/lib/python3/dist-packages")}


def small_model(shop):
    """A model folder of many tensors, none of them large, and the tensors."""
    tensors = {name: tensor for name, tensor in modellib.varied_tensors().items() if len(tensor.raw) < 1 << 20}
    modellib.write_model(shop.path("small"), tensors)
    return shop.path("small"), tensors


def node(script, jobs):
    """What a script here answers to each of the jobs; it gets the packages' folder, too."""
    done = subprocess.run(["node", os.path.join(HERE, script), NPM], input=json.dumps(jobs), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(f"{script}: exit {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]

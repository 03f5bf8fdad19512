# SPDX-License-Identifier: MIT
"""What is measured: one case for each job of benchmarks/fio/, and those of dd and mmapscan."""
import configparser
import os

from data import ROOT

FIO = os.path.join(ROOT, "benchmarks/fio")
STEMS = ("seq-cold", "seq-warm", "seq-direct", "seq-jobs", "rand", "rand-jobs", "rand-direct", "mmap-fio")
RANDOM_BYTES = 64 << 20  # of a scan that faults one page at a time

COLD = "cold"    # nothing of the file, nor of what it is made of, is in the page cache
IMAGE = "image"  # as cold, but for the compressed image, where a system keeps that in the page cache
WARM = "warm"    # the file was read just before

# Where everything is compared. Elsewhere, only what bounds entrofs from above and what it replaces: slow peers would
# make a run take hours.
CORE = ("seq-cold-1m", "seq-cold-dd", "rand-4k", "rand-1m", "mmap-cold", "mmap-populate")
ALWAYS = ("entrofs", "null", "plain")
# What is measured to know the disk's rate at the time.
BOUNDED_BY_DISK = ("seq-cold-1m", "seq-cold-dd", "mmap-cold", "mmap-populate")


class Case:
    def __init__(self, name, state, tool, arguments):
        self.name, self.state, self.tool, self.arguments = name, state, tool, arguments

    def has(self, system, everywhere):
        """Whether a system takes part in it; everywhere: where it need not, too."""
        if system == "odirect":
            return self.name in BOUNDED_BY_DISK
        return everywhere or system in ALWAYS or self.name in CORE


def state_of(stem):
    if stem == "seq-warm":
        return WARM
    return IMAGE if stem.startswith("rand") else COLD


def fio_cases():
    for stem in STEMS:
        path = os.path.join(FIO, f"{stem}.fio")
        jobs = configparser.ConfigParser(allow_no_value=True, interpolation=None)
        jobs.read(path)
        for section in jobs.sections():
            if section != "global":
                yield Case(f"{stem}-{section}", state_of(stem), "fio", (path, section))


def all_cases():
    cases = list(fio_cases())
    cases.insert([case.name for case in cases].index("seq-warm-4k"), Case("seq-cold-dd", COLD, "dd", ()))
    cases += [Case("mmap-cold", COLD, "mmapscan", ()),
              Case("mmap-populate", COLD, "mmapscan", ("--populate",)),
              Case("mmap-random", COLD, "mmapscan", ("--advice=random", f"--bytes={RANDOM_BYTES}")),
              Case("mmap-warm", WARM, "mmapscan", ())]
    return cases

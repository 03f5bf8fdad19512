# SPDX-License-Identifier: MIT
"""What is measured: the cases, how much memory each has, and their rounds."""
import os
import resource
import statistics
import sys
import time

import runs
from group import Group
from models import WHOLE

MB = 1_000_000
MIB = 1 << 20
SYSTEMS = ("plain", "entrofs")
# Memory of the programs themselves: the daemon's 15 to 35 MiB, and 30 to 60 of entrofs-run, most of
# it a vocabulary of 49152 words while it is loaded.
PROGRAMS = 76 * MIB
# What is left of it for weights must be a part of them only, whatever the format.
SMALL = 100 * MIB


class Case:
    """One question: memory_of gives the group's cap for a model, options are those of the mount."""

    def __init__(self, name, title, memory_of, tokens=0, options=()):
        self.name, self.title, self.memory_of = name, title, memory_of
        self.tokens, self.options = tokens, options


CASES = (
    Case("read", "Reading the whole model, nothing cached", lambda model: 0),
    Case("fits", "Everything fits in memory", lambda model: model.plain_size + 256 * MIB, 17),
    Case("streams", "Weights do not fit: every token reads them from storage", lambda model: SMALL, 5),
    Case("compressed", "The image fits, the decoded model does not",
         lambda model: model.image_size + PROGRAMS, 6, ("cache=compressed",)),
)


class Sample:
    """One run."""

    def __init__(self, seconds, tokens_per_s, bytes_read, peak_memory):
        self.seconds, self.tokens_per_s = seconds, tokens_per_s
        self.bytes_read, self.peak_memory = bytes_read, peak_memory
        self.mounted = self.fetched = None  # of the image alone: seconds, bytes


class Result:
    """The rounds of one case on one model at one speed of storage, for each system a list of samples."""

    def __init__(self, case, model, rate):
        self.case, self.model, self.rate = case, model, rate
        self.memory = case.memory_of(model)
        self.samples = {system: [] for system in SYSTEMS}
        self.others = 0.0  # part of the processors that other programs took

    def median(self, system, field):
        values = [getattr(sample, field) for sample in self.samples[system]]
        return None if None in values or not values else statistics.median(values)

    def ratio(self, field):
        """entrofs / plain, of medians; None if it was not measured."""
        plain, entrofs = (self.median(system, field) for system in SYSTEMS)
        return entrofs / plain if plain and entrofs else None

    def spread(self, field):
        """The smallest and the largest ratio of a round."""
        ratios = [getattr(entrofs, field) / getattr(plain, field)
                  for plain, entrofs in zip(*(self.samples[system] for system in SYSTEMS))]
        return min(ratios), max(ratios)


class Processors:
    """How much of the processors others than our children take between start and share."""

    def start(self):
        self.busy, self.ours, self.time = self.all_busy(), self.children(), time.monotonic()

    def share(self):
        elapsed = (time.monotonic() - self.time) * os.cpu_count()
        others = self.all_busy() - self.busy - (self.children() - self.ours)
        return max(0.0, others / elapsed)

    @staticmethod
    def children():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    @staticmethod
    def all_busy():
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Bench:
    """Runs cases; texts are compared, so that no wrong weight goes unseen."""

    def __init__(self, disk, threads):
        self.disk, self.threads = disk, threads
        self.version = None  # of the control groups
        self.texts = {}  # of each model, what any run must write

    def use(self, case, model, folder, group):
        """What the case does with a folder of files: (seconds, tokens a second)."""
        if not case.tokens:
            return runs.read_file(os.path.join(folder, WHOLE), group), None
        text = runs.write_text(model.program("entrofs-run"), folder, case.tokens, self.threads, group)
        expected = self.texts.setdefault((model.data, case.tokens), text.text)
        if text.text != expected:
            raise runs.Failed(f"{model.data}: entrofs-run writes another text than before")
        return text.first, text.speed

    def run_plain(self, case, model, group):
        runs.drop_cached(model.plain)
        seconds, speed = self.use(case, model, model.plain, group)
        return Sample(seconds, speed, group.bytes_read(), group.peak_memory())

    def run_entrofs(self, case, model, group):
        runs.drop_cached(model.image)
        started = time.monotonic()
        with runs.Mount(model.program("entrofs"), model.image, group, case.options) as mount:
            mounted = time.monotonic() - started
            seconds, speed = self.use(case, model, mount, group)
            sample = Sample(seconds, speed, group.bytes_read(), group.peak_memory())
            counted = runs.statistics(mount)
        if counted["errors"]:
            raise runs.Failed(f"the daemon counts {counted['errors']} errors")
        sample.mounted, sample.fetched = mounted, counted["bytes_fetched"]
        if case.tokens:
            sample.seconds += mounted  # from nothing to the first token
        return sample

    def measure(self, case, model, rate, rounds):
        """Both systems take turns, each run in a new group with nothing cached."""
        result = Result(case, model, rate)
        others, processors = [], Processors()
        for number in range(rounds):
            order = SYSTEMS if number % 2 == 0 else SYSTEMS[::-1]
            for system in order:
                run = self.run_plain if system == "plain" else self.run_entrofs
                processors.start()
                with Group(self.disk, rate * MB, result.memory) as group:
                    self.version = group.version
                    result.samples[system].append(run(case, model, group))
                others.append(processors.share())
        result.others = statistics.median(others)
        print(f"measured: {case.name}, {model.data}, {rate} MB/s, {rounds} rounds", file=sys.stderr)
        return result

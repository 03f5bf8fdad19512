#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads through a mount, every system in turn; benchmarks/mount.sh starts this. See docs/benchmarks.md."""
import argparse
import contextlib
import fnmatch
import functools
import json
import os
import signal
import sys
import tempfile
from statistics import median

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

import autogroup
import cases
import data as data_sets
import measure
import report
import systems
from arguments import positive, some_of
from data import Failed

SYSTEMS = ("entrofs", "null", "plain", "odirect", "squashfuse", "squashfs", "erofs")
MEASURED = ("gbps", "iops", "p50_us", "p99_us", "cpu_s_per_gb", "rss_mib", "first_byte_ms")
WEIGHT_OFFSET = 1 << 24  # behind all headers
MEMORY_FACTOR = 4  # times the file, which the page cache is to have without asking the host
FIRST_BYTE = ("first-byte", "first-byte-cold", "first-weight-cold")


def say(text):
    print(f"mount.sh: {text}", file=sys.stderr, flush=True)


def row_of(case, state, data, system, variant="", stored_fraction=None, skipped=None):
    row = {"case": case, "data": data, "system": system, "variant": variant, "state": state,
           "stored_fraction": stored_fraction, "skipped": skipped, "rounds": {}}
    row.update(dict.fromkeys(MEASURED))
    return row


def add_round(row, result):
    for key, value in result.items():
        if value is not None:
            row["rounds"].setdefault(key, []).append(value)


def finish(row):
    for key, values in row["rounds"].items():
        row[key] = max(values) if key == "rss_mib" else median(values)
    return row


def measure_or_skip(row, work):
    """Another round of it. What fails once, such as O_DIRECT where a system has none, is not tried again."""
    if row["skipped"]:
        return
    try:
        add_round(row, work())
    except Failed as error:
        row["skipped"] = str(error)
        row["rounds"] = {}
        say(f"{row['case']}, {row['data']}, {report.label(row)}: skipped: {error}")


def run_case(case, data, mounted, arguments):
    """One row for each system that takes part, measured in turns."""
    rows = [(row_of(case.name, case.state, data.name, system.name, system.variant, data.stored_fraction), system)
            for system in mounted if case.has(system.name, arguments.everywhere)]
    for _ in range(arguments.rounds):
        for row, system in rows:
            measure_or_skip(row, functools.partial(measure.measure, case, system, arguments.build))
    return [finish(row) for row, _ in rows]


def mount_all(data, below, arguments, mounted):
    """Appends to mounted, so that whatever was begun can be undone."""
    for system, reason in systems.listed(arguments, data, below):
        if system.name not in arguments.systems:
            continue
        if reason:
            say(f"{system.label}: skipped: {reason}")
            continue
        mounted.append(system)
        try:
            system.start()
        except Failed as error:
            if system.name in cases.ALWAYS:
                raise
            system.stop()  # such as in containers, which have no loop devices
            mounted.remove(system)
            say(f"{system.label}: skipped: {error}")
            continue
        say(f"{data.name}: comparing what {system.label} gives with the plain file")
        measure.verify(system, data.plain)


def stop_all(mounted):
    """What cannot be stopped does not keep the others mounted."""
    for system in mounted:
        try:
            system.stop()
        except (Failed, OSError) as error:
            say(f"cannot unmount {system.label}: {error}")


def run_data(data, chosen, below, arguments, rows):
    mounted = []
    try:
        mount_all(data, below, arguments, mounted)
        with measure.memory_that_stays(MEMORY_FACTOR * data.size):
            for number, case in enumerate(chosen):
                say(f"{data.name}: {case.name} ({number + 1} of {len(chosen)})")
                rows += run_case(case, data, mounted, arguments)
    finally:
        stop_all(mounted)


def first_byte_contestants(name, image, data, arguments):
    """(data, system, variant, command to which a mount point is added, file in the mount)."""
    command = [os.path.join(arguments.build, "entrofs"),
               *(["-o", arguments.mount_options] if arguments.mount_options else []), image]
    yield name, "entrofs", "", command, data.kind.view if data else data_sets.CODES
    if not data:
        return
    for system, reason in systems.compressed(data, ""):
        if not reason:
            command = ["squashfuse", system.image] if system.name == "squashfuse" else \
                ["mount", "-t", system.name, "-o", "loop,ro", system.image]
            yield name, system.name, system.variant, command, "data"


def run_first_byte(names, contestants, below, arguments):
    rows, mountpoint = [], os.path.join(below, "first")
    for name in names:
        say(name)
        cold = name.endswith("cold")
        entries = [(row_of(name, "cold" if cold else "warm", data, system, variant), command, inner)
                   for data, system, variant, command, inner in contestants if system in arguments.systems]
        if not cold:
            for row, command, inner in entries:  # so that all it takes is in memory
                measure_or_skip(row, functools.partial(measure.first_byte, command, mountpoint, inner, 0, cold))
                row["rounds"] = {}
        for _ in range(arguments.rounds):
            for row, command, inner in entries:
                offset = WEIGHT_OFFSET if name.startswith("first-weight") else 0
                measure_or_skip(row, functools.partial(measure.first_byte, command, mountpoint, inner, offset, cold))
        rows += [finish(row) for row, _, _ in entries]
    return rows


def remove_mountpoints(below):
    """Nothing in them: what is still mounted is not to be touched."""
    try:
        os.rmdir(below)
    except OSError as error:
        say(f"cannot remove '{below}': {error.strerror}")


def run(arguments, rows, used):
    """Appends all that was asked for to rows, and the data sets to used: whoever interrupts it keeps what was measured."""
    chosen = [case for case in cases.all_cases() if is_chosen(case.name, arguments)]
    mounting = [name for name in FIRST_BYTE if is_chosen(name, arguments)]
    contestants = []
    for name in arguments.data:
        used.append(data_sets.prepare(arguments.work, name, arguments.build, arguments.quick, say))
        contestants += first_byte_contestants(name, used[-1].image, used[-1], arguments)
    if mounting:
        image = data_sets.prepare_7b(arguments.work, arguments.build, arguments.quick, say)
        contestants += first_byte_contestants("7b", image, None, arguments)
    below = tempfile.mkdtemp(prefix="entrofs-bench.")
    try:
        # Before anything else is mounted, whose programs would be in memory already.
        rows += run_first_byte(mounting, contestants, below, arguments)
        for data in used:
            run_data(data, chosen, below, arguments, rows)
    finally:
        remove_mountpoints(below)


def is_chosen(name, arguments):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in arguments.cases)


def parse():
    parser = argparse.ArgumentParser(
        prog="mount.sh", description="Measures reading through a mount of entrofs next to a server that does "
        "nothing, the plain file, squashfuse, kernel squashfs and erofs; prints Markdown. docs/benchmarks.md tells more.")
    build = os.path.join(data_sets.ROOT, "build")
    parser.add_argument("--build", default=build, help="where entrofs was built (build)")
    parser.add_argument("--work", help="where data is made and kept, on the disk to measure (BUILD/benchmarks/mount)")
    parser.add_argument("--json", metavar="FILE", help="write the measurements there, too")
    parser.add_argument("--plots", metavar="DIR", help="write plots (SVG) there")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=["*"], metavar="GLOB,...",
                        help="only these; --list names all")
    parser.add_argument("--systems", type=some_of(SYSTEMS), metavar="NAME,...",
                        help=f"only these, and in every case: of {', '.join(SYSTEMS)}")
    parser.add_argument("--data", type=some_of(tuple(data_sets.KINDS)), default=list(data_sets.USUAL),
                        metavar="NAME,...", help="codes (u8, u4), weights made of codes (bf16), kept weights (lossless) (u8,u4)")
    parser.add_argument("--rounds", type=positive, help="measurements of each (5; 2 with --quick)")
    parser.add_argument("--mount-options", default="", metavar="WORD,...", help="for entrofs -o")
    parser.add_argument("--against", action="append", default=[], metavar="BUILD",
                        help="also the entrofs of this other build folder, as variant against1, against2, ...")
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="run all of it, daemons too, with this added to "
                        "the nice value; -20 keeps other programs of the machine off its processors")
    parser.add_argument("--quick", action="store_true", help="small data, few rounds: a test of this script")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and exit")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 5)
    arguments.build = os.path.abspath(arguments.build)
    arguments.work = os.path.abspath(arguments.work or os.path.join(arguments.build, "benchmarks/mount"))
    arguments.load_before = os.getloadavg()[0]
    arguments.everywhere = arguments.systems is not None
    arguments.systems = arguments.systems or list(SYSTEMS)
    return arguments


@contextlib.contextmanager
def priority(increment):
    """Adds to the nice value of this process and those it starts and, while it lasts, to that of its scheduling group."""
    before = autogroup.read() if increment else None
    try:
        os.nice(increment)
        if before is not None:
            autogroup.write(max(-20, min(19, before + increment)))
    except PermissionError as error:
        raise Failed(f"cannot add {increment} to the nice value: {error.strerror}") from None
    try:
        yield
    finally:
        if before is not None:
            autogroup.write(before)


def interrupted(number, _):
    for signals in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signals, signal.SIG_IGN)  # timeout(1) sends two: the second one would end the cleaning up
    raise SystemExit(128 + number)


def publish(rows, used, arguments):
    """The cases that were finished."""
    if not rows:
        return
    print("\n".join(report.markdown(rows, used, arguments)))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    if arguments.plots:
        report.plots(rows, arguments.plots, say)


def main():
    arguments = parse()
    if arguments.list:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads the list may have seen enough
        print("\n".join([*FIRST_BYTE, *(case.name for case in cases.all_cases())]))
        return 0
    rows, used = [], []
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    try:
        os.makedirs(arguments.work, exist_ok=True)
        try:
            with priority(arguments.nice):
                run(arguments, rows, used)
        finally:
            publish(rows, used, arguments)
    except Failed as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"cannot use '{error.filename}': {error.strerror}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

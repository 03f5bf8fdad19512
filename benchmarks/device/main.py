#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures a mounted image against plain files on a small device, emulated with control groups.

Prints a report in Markdown. Needs root, /dev/fuse and control groups; says "skipped: why" where it
cannot run. docs/device.md explains the cases.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

import cases
import emulated
import group
import models
import report
import runs
from arguments import positive, some_of

EXIT_FAILED = 1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def rates(text):
    return [positive(word) for word in text.split(",")]


def parse(arguments):
    parser = argparse.ArgumentParser(prog="device.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(models.ROOT, "build"), metavar="DIR",
                        help="where the programs are (default: build)")
    parser.add_argument("--work", metavar="DIR", help="where models are made and stay for the next time; on "
                        "the disk to throttle (default: below BUILD, removed at the end)")
    parser.add_argument("--rates", type=rates, default=[90, 250], metavar="N,...",
                        help="speeds of storage in MB/s (default: 90,250)")
    parser.add_argument("--cases", type=some_of([case.name for case in cases.CASES]), metavar="WORD,...",
                        help="of " + ", ".join(case.name for case in cases.CASES) + " (default: all)")
    parser.add_argument("--data", type=some_of(list(models.SHAPES)), default=list(models.SHAPES),
                        metavar="WORD,...", help="u8, u4 (default: both)")
    parser.add_argument("--rounds", type=positive, help="of each case (default: 5)")
    parser.add_argument("--threads", type=positive, default=os.cpu_count(),
                        help="of entrofs-run (default: one for each processor)")
    parser.add_argument("--quick", action="store_true",
                        help="small models, one round at 90 MB/s: shows that it works, not how fast")
    parser.add_argument("--arm64", choices=("yes", "no", "only"), help="also read in an emulated arm64 machine, "
                        "or do nothing else (default: yes; with --quick, no)")
    parser.add_argument("--json", metavar="FILE", help="the results as a list of objects")
    parser.add_argument("--plot", metavar="FILE", help="the results as bars, SVG")
    options = parser.parse_args(arguments)
    options.arm64 = options.arm64 or ("no" if options.quick else "yes")
    options.rounds = options.rounds or (1 if options.quick else 5)
    if options.quick:
        options.rates = options.rates[:1]
    return options


def why_unusable(options):
    """Why nothing can be measured here, or None."""
    if os.geteuid() != 0:
        return "not root: control groups cannot be made"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    try:
        with group.Group(group.disk_of(options.folder), cases.MB, 0):
            return None
    except group.Unusable as error:
        return str(error)


def chosen_cases(options):
    return [case for case in cases.CASES if not options.cases or case.name in options.cases]


def made_models(options, quick):
    made = [models.Model(data, options.folder, options.build, quick) for data in options.data]
    for model in made:
        model.make()
    return made


def measure_native(options):
    """Prints the report but for the emulated machine's part; the results."""
    disk = group.disk_of(options.folder)
    made = made_models(options, options.quick)
    for model in made:
        model.verify()
    bench = cases.Bench(disk, options.threads)
    results = [bench.measure(case, model, rate, options.rounds)
               for rate in options.rates for case in chosen_cases(options) for model in made]
    version = runs.must([os.path.join(options.build, "entrofs"), "--version"])
    decoder = next(line for line in version.splitlines() if line.startswith("decoder:"))
    print("\n".join([*report.machine(made, bench.version, disk, options.rounds, options.threads, decoder),
                     *report.tables(results)]), flush=True)
    return results


def measure_emulated(options):
    """The small models in an emulated machine; their readings."""
    try:
        readings = [emulated.measure(model, options.folder, options.rounds)
                    for model in made_models(options, True)]
    except emulated.Unusable as error:
        print(f"skipped: arm64: {error}\n", flush=True)
        return []
    print("\n".join(report.emulated_tables(readings)), flush=True)
    return readings


def measure(options):
    results = [] if options.arm64 == "only" else measure_native(options)
    readings = []
    try:
        if options.arm64 != "no":
            readings = measure_emulated(options)
    finally:  # what was measured before something failed is not lost
        if options.quick:
            print("No targets: what is this small is not bound by what it is bound by on a device.")
        elif options.arm64 != "only":
            print("\n".join(report.target_table(results)), flush=True)
        write_files(options, results, list(report.emulated_objects(readings)))


def write_files(options, results, extra):
    if options.json:
        report.write_json(options.json, results, extra)
    if options.plot and results and not report.write_plot(options.plot, results):
        print("no plot: gnuplot is not installed", file=sys.stderr)


def end(number, _):
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # it ends already
    sys.exit(128 + number)


def clean_up(options):
    runs.remove_all()
    group.remove_all()
    if not options.work:
        shutil.rmtree(options.folder, ignore_errors=True)


def main():
    options = parse(sys.argv[1:])
    for number in SIGNALS:
        signal.signal(number, end)  # so that everything is taken down on the way out
    try:
        os.makedirs(options.work or options.build, exist_ok=True)
        options.folder = options.work or tempfile.mkdtemp(prefix="device-", dir=options.build)
    except OSError as error:
        print(f"device.sh: cannot create '{error.filename}': {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    try:
        reason = why_unusable(options)
        if reason:
            print(f"skipped: {reason}")
            return 0
        measure(options)
        return 0
    except (runs.Failed, group.Unusable, OSError) as error:
        print(f"device.sh: {error}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        clean_up(options)


if __name__ == "__main__":
    sys.exit(main())

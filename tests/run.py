#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs every test and ends with one line: N passed, N failed, N skipped.

Three kinds: Criterion suites (BUILD/tests/unit/*), fuzz targets replaying their committed corpus
(BUILD/tests/fuzz/*), and Python suites (tests/*/test_*.py, unittest) that drive the programs and
real mounts. A name given on the command line selects the suites whose path contains it, and
NAME:CLASS only that class of a Python suite.

Suites run as many at a time as there are processors; what they print comes in the same order
nevertheless. Those of ALONE come last, one by one.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TIMEOUT = 600  # seconds for one suite
# They drop the kernel's caches, which others fill, or count what had to be read in spite of them.
ALONE = ("tests/mount/test_reading.py", "tests/mount/test_system.py")


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def report(name, passed, failed, skipped, seconds, detail=""):
    state = "FAILED" if failed else "ok"
    counts = f"{passed} passed" + (f", {failed} failed" if failed else "")
    counts += f", {skipped} skipped" if skipped else ""
    print(f"{state:7}{name:40} {counts} ({seconds:.1f} s)", flush=True)
    if detail:
        print(detail.rstrip(), flush=True)


def run(command, env):
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT, text=True, errors="replace")
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
        text = out.decode(errors="replace") if isinstance(out, bytes) else out
        return -1, text + f"\ntimed out after {TIMEOUT} s"


def tallies(out):
    """The lines that say how many inputs a suite tried and what became of them."""
    return "\n".join(sorted(re.findall(r"^inputs: .*", out, re.M)))


def run_criterion(program, env):
    with tempfile.NamedTemporaryFile(suffix=".tap") as tap:
        code, out = run([program, f"--tap={tap.name}"], env)
        text = open(tap.name, errors="replace").read()
    skipped = len(re.findall(r"^(?:not )?ok .*# SKIP", text, re.M))
    passed = len(re.findall(r"^ok ", text, re.M)) - len(re.findall(r"^ok .*# SKIP", text, re.M))
    failed = len(re.findall(r"^not ok (?!.*# SKIP)", text, re.M))
    if code != 0 and failed == 0:
        failed = 1
    return passed, failed, skipped, out + text if failed else tallies(out)


def run_replay(program, env):
    corpus = os.path.join("tests/fuzz/corpus", os.path.basename(program))
    code, out = run([program, corpus], env)
    return (0, 1, 0, out) if code else (1, 0, 0, tallies(out))


def run_python(path, env, only=""):
    code, out = run([sys.executable, os.path.abspath(__file__), "--one", path, only], env)
    match = re.search(r"^@@ (\d+) (\d+) (\d+)$", out, re.M)
    if not match:
        return 0, 1, 0, out
    passed, failed, skipped = map(int, match.groups())
    reasons = "\n".join(sorted(set(re.findall(r"skipped:.*", out))))
    return passed, failed, skipped, out if failed else f"{reasons}\n{tallies(out)}".strip()


def run_one_python(path, only):
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__))))
    loader = unittest.TestLoader()
    if only:
        loader.testNamePatterns = [f"*.{only}.*"]
    suite = loader.discover(os.path.dirname(path), os.path.basename(path))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    # What is skipped as a whole, a module or a class, has run no test; one test may fail several times.
    ran_not = sum(isinstance(test, unittest.TestCase) for test, _ in result.skipped)
    print(f"@@ {max(result.testsRun - failed - ran_not, 0)} {failed} {skipped}")
    return 1 if failed else 0


def select(suite, words):
    """The suite, or the parts of it, that the words name."""
    runner, path = suite
    for word in words:
        name, _, only = word.partition(":")
        if name not in path:
            continue
        if not only:
            return [suite]
        if runner is run_python:
            return [(lambda path, env: run_python(path, env, only), path)]
    return []


def run_suite(suite, env):
    """The name, the counts, the seconds it took and the details, as report() takes them."""
    runner, path = suite
    start = time.monotonic()
    passed, failed, skipped, detail = runner(path, env)
    return os.path.relpath(path), passed, failed, skipped, time.monotonic() - start, detail


def results(suites, jobs, env):
    """Of each suite, in the order they are given but for those that run alone."""
    together = [suite for suite in suites if suite[1] not in ALONE]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(lambda suite: run_suite(suite, env), together)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for suite in suites:
        if suite[1] in ALONE:
            yield run_suite(suite, env)


def count(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 on")
    return int(text)


def heed_signals():
    """Programs under test are told to end by these, which nohup(1) and shells ignore for what they start."""
    for number in signal.SIGINT, signal.SIGHUP, signal.SIGQUIT:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main():
    heed_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--jobs", "-j", type=count, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="suites at a time (default: as many as there are processors)")
    parser.add_argument("--one", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("select", nargs="*")
    args = parser.parse_args()
    if args.one:
        return run_one_python(args.one, "".join(args.select))

    env = dict(os.environ, BUILD=os.path.abspath(args.build), LC_ALL="C.UTF-8")
    suites = [(run_criterion, p) for p in sorted(glob.glob(f"{args.build}/tests/unit/*")) if os.access(p, os.X_OK)]
    suites += [(run_replay, p) for p in sorted(glob.glob(f"{args.build}/tests/fuzz/*")) if os.access(p, os.X_OK)]
    suites += [(run_python, p) for p in sorted(glob.glob("tests/*/test_*.py"))]
    if args.select:
        suites = [chosen for suite in suites for chosen in select(suite, args.select)]
    tally = Tally()
    for name, passed, failed, skipped, seconds, detail in results(suites, args.jobs, env):
        tally.add(passed, failed, skipped)
        report(name, passed, failed, skipped, seconds, detail)
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())

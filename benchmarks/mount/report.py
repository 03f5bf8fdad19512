# SPDX-License-Identifier: MIT
"""The report in Markdown, and its plots by gnuplot."""
import os
import re
import shutil
import subprocess

from measure import DROP_CACHES
from targets import all_targets

COLUMNS = (("gbps", "GB/s", "{:.2f}"), ("iops", "IOPS", "{:.0f}"), ("p50_us", "p50 us", "{:.0f}"),
           ("p99_us", "p99 us", "{:.0f}"), ("cpu_s_per_gb", "daemon CPU s/GB", "{:.2f}"),
           ("rss_mib", "daemon RSS MiB", "{:.0f}"), ("first_byte_ms", "first byte ms", "{:.1f}"))
STATES = {"cold": "nothing cached", "image": "mounted pages dropped, image warm where the system caches it",
          "warm": "all in the page cache"}
PLOTS = (("sequential", "GB/s, one reader, nothing cached", "gbps", "GB/s", r"seq-cold-"),
         ("mapped", "GB/s, through a mapping", "gbps", "GB/s", r"mmap-(cold|populate|warm)$"),
         ("random", "reads a second, at random, 4 KiB", "iops", "IOPS", r"rand-(4k|jobs-|direct-4k)"))


def text_of(command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def first(pattern, text, otherwise="unknown"):
    match = re.search(pattern, text, re.M)
    return match[1].strip() if match else otherwise


def content(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def versions(build):
    entrofs = " ".join(text_of([os.path.join(build, "entrofs"), "--version"]).split())
    return ", ".join(word for word in (
        entrofs, text_of(["fio", "--version"]),
        "squashfuse " + first(r"squashfuse ([\d.]+)", text_of(["squashfuse", "--version"]), "missing"),
        "mksquashfs " + first(r"version ([\d.]+)", text_of(["mksquashfs", "-version"]), "missing"),
        "mkfs.erofs " + first(r"mkfs.erofs ([\d.]+)", text_of(["mkfs.erofs", "-V"]), "missing")) if word)


def machine(arguments):
    """Lines about where this ran."""
    lscpu = text_of(["lscpu"])
    source, kind = (text_of(["findmnt", "-nro", "SOURCE,FSTYPE", "-T", arguments.work]).split() + ["?", "?"])[:2]
    memory = int(first(r"MemTotal:\s+(\d+)", content("/proc/meminfo"), "0")) / 1e6
    yield f"* Machine: {first(r'Model name:(.*)', lscpu)}, {os.cpu_count()} processors, {memory:.1f} GB of memory" \
          f"; hypervisor: {first(r'Hypervisor vendor:(.*)', lscpu, 'none')}"
    system = first(r'PRETTY_NAME="(.*)"', content("/etc/os-release"))
    yield f"* System: {system}, kernel {os.uname().release}"
    yield f"* Disk: {source}, {kind}"
    yield f"* Load before the run: {arguments.load_before:.1f} processes, after it {os.getloadavg()[0]:.1f}"
    yield f"* Programs: {versions(arguments.build)}"
    yield "* Cold: " + (f"{DROP_CACHES} before each measurement" if os.access(DROP_CACHES, os.W_OK) else
                        "as only root can empty the page cache, only the files concerned are dropped (POSIX_FADV_DONTNEED)")
    if arguments.nice:
        yield f"* Priority: everything ran at nice {os.nice(0)}"
    yield f"* Mount options of entrofs: {arguments.mount_options or 'the default ones'}"
    yield f"* Rounds: {arguments.rounds}, the systems take turns; medians. Every file was compared with the plain one first."


def cell(row, key, form):
    return "" if row[key] is None else form.format(row[key])


def label(row):
    return f"{row['system']} {row['variant']}".strip()


def table_of(rows):
    columns = [column for column in COLUMNS if any(row[column[0]] is not None for row in rows)]
    yield "| system | " + " | ".join(title for _, title, _ in columns) + " | range |"
    yield "| --- |" + " ---: |" * (len(columns) + 1)
    for row in rows:
        if row["skipped"]:
            yield f"| {label(row)} |" + " |" * len(columns) + f" {row['skipped']} |"
            continue
        values = row["rounds"].get("gbps") or row["rounds"].get("first_byte_ms")
        cells = " | ".join(cell(row, key, form) for key, _, form in columns)
        yield f"| {label(row)} | {cells} | {min(values):.2f}..{max(values):.2f} |"


def tables(rows):
    groups = {}
    for row in rows:
        groups.setdefault((row["data"], row["case"], row["state"]), []).append(row)
    for (data, case, state), group in groups.items():
        yield f"\n### {case}, {data}\n\n{STATES[state]}\n"
        yield from table_of(group)


def target_table(rows):
    """Of the cases that were run."""
    run = {(row["case"], row["data"]) for row in rows}
    yield "| target | case | data | asked | measured | |"
    yield "| --- | --- | --- | ---: | ---: | --- |"
    for target in all_targets(rows):
        if target.value is None and (target.case, target.data) not in run:
            continue
        value = "not measured" if target.value is None else f"{target.value:.2f}{target.unit}"
        verdict = {None: "", True: "met", False: "missed"}[target.met]
        yield f"| {target.what} | {target.case} | {target.data} | {target.asked} | {value} | {verdict} |"


def markdown(rows, data_sets, arguments):
    yield "# Reading through a mount\n"
    yield from machine(arguments)
    for data in data_sets:
        yield f"* Data {data.name}: {data.size / 1e9:.3f} GB of codes, image {data.stored_fraction:.3f} of that"
    yield "\n## Targets\n"
    yield from target_table(rows)
    yield "\n## Measurements"
    yield from tables(rows)


def quoted(text):
    return '"' + text.replace("_", " ") + '"'


def plot(rows, path, title, key, unit):
    """Bars: a group for each case, a colour for each system."""
    labels = list(dict.fromkeys(label(row) for row in rows))
    cases = list(dict.fromkeys(row["case"] for row in rows))
    values = {(row["case"], label(row)): row[key] for row in rows}
    lines = ["$data << END"]
    for case in cases:
        numbers = [values.get((case, name)) for name in labels]
        lines.append(" ".join([quoted(case), *("NaN" if number is None else f"{number:.6g}" for number in numbers)]))
    lines += ["END", "set terminal svg size 900,420 dynamic background 'white'", f"set output '{path}'",
              f"set title {quoted(title)}", f"set ylabel '{unit}'", "set yrange [0:*]", "set style data histogram",
              "set style histogram clustered gap 1.5", "set style fill solid 0.85", "set boxwidth 0.95",
              "set key outside right", "set grid ytics", "set xtics rotate by -25",
              "plot " + ", ".join(f"$data using {i + 2}:xtic(1) title {quoted(name)}"
                                  for i, name in enumerate(labels))]
    done = subprocess.run(["gnuplot"], input="\n".join(lines), stderr=subprocess.PIPE, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def plots(rows, folder, say):
    """Writes FOLDER/WHAT-DATA.svg for what was measured."""
    if not shutil.which("gnuplot"):
        say("no plots: gnuplot is not installed")
        return
    os.makedirs(folder, exist_ok=True)
    for name, title, key, unit, pattern in PLOTS:
        for data in sorted({row["data"] for row in rows}):
            chosen = [row for row in rows if row["data"] == data and re.match(pattern, row["case"])
                      and row[key] is not None and row["system"] != "odirect"]
            if chosen:
                error = plot(chosen, os.path.join(folder, f"{name}-{data}.svg"), f"{title}, {data}", key, unit)
                if error:
                    say(f"no plot '{name}-{data}.svg': {error}")

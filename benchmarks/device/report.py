# SPDX-License-Identifier: MIT
"""Results as Markdown, as JSON and as a plot, and what became of the targets."""
import json
import os
import platform
import shutil
import subprocess

import cases
import emulated
import runs
from cases import MIB, MB, SYSTEMS
from group import read_ahead

SLOW = 90  # MB/s: of the targets
# case, encoding, what, the least ratio. Reading counts against the ideal, tokens against the plain file.
TARGETS = (
    ("read", "u8", "whole model, of the ideal speed", 0.95),
    ("read", "u4", "whole model, of the ideal speed", 0.95),
    ("streams", "u8", "tokens/s while streaming, of the plain file's", 1.35),
    ("streams", "u4", "tokens/s while streaming, of the plain file's", 2.4),
    ("compressed", "u8", "tokens/s, image fits, decoded does not, of the plain file's", 5),
    ("compressed", "u4", "tokens/s, image fits, decoded does not, of the plain file's", 5),
)


def number(value, digits=3):
    return "" if value is None else f"{value:.{digits}g}" if value < 100 else f"{value:.0f}"


def size(value):
    return f"{value / MB:.0f} MB"


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "| " + " | ".join("---" if i < 2 else "---:" for i in range(len(header))) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def processor():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def machine(models, group_version, disk, rounds, threads, programs):
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) // 1024
    yield "# A small device, emulated"
    yield ""
    yield f"* Machine: {processor()}, {os.cpu_count()} processors, {memory} MiB; kernel {platform.release()}."
    yield f"* {programs.capitalize()}; entrofs-run with {threads} threads."
    yield (f"* Storage: disk {disk} (read_ahead_kb {read_ahead(disk)}), throttled by control groups of version {group_version}; daemon and "
           "reader are both in the group, a new one for each run.")
    yield ("* Cache: before each run the image, or the plain files, are dropped from the page cache, and found to be "
           "absent; the mount is new. Programs are cached.")
    yield (f"* {rounds} round{'s' if rounds > 1 else ''}; in each, plain file and mount take turns; figures are "
           "medians, ratios are of medians, and in brackets the smallest and the largest of a round.")
    yield "* What is measured runs ahead of other programs (niceness, also of its scheduling group)."
    for model in models:
        yield (f"* {model.data}: {model.name} shapes, {model.layers} layers: plain {size(model.plain_size)}, image "
               f"{size(model.image_size)}, so {model.ideal_ratio:.3f} of the bits is ideal. All files "
               "compared byte for byte before timing; the same text from every run.")
    yield ""


def ratio_text(result, field):
    ratio = result.ratio(field)
    if ratio is None:
        return ""
    least, most = result.spread(field)
    return f"{ratio:.2f} ({least:.2f} - {most:.2f})"


def reading_rows(results):
    for result in results:
        for system in SYSTEMS:
            seconds = result.median(system, "seconds")
            mine = system == "entrofs"
            yield [f"{result.rate} MB/s, {result.model.data}", system, number(seconds),
                   number(result.model.plain_size / MB / seconds),
                   size(result.median(system, "bytes_read")),
                   ratio_text(result, "seconds") if mine else "",
                   f"{result.model.ideal_ratio / result.ratio('seconds'):.3f}" if mine else ""]


def token_rows(results):
    for result in results:
        for system in SYSTEMS:
            mine = system == "entrofs"
            passes = result.case.tokens  # the prompt is one, and each token but the last
            yield [f"{result.rate} MB/s, {result.model.data}", system,
                   f"{result.memory // MIB} MiB",
                   number(result.median(system, "seconds")),
                   ratio_text(result, "seconds") if mine else "",
                   number(result.median(system, "tokens_per_s")),
                   ratio_text(result, "tokens_per_s") if mine else "",
                   size(result.median(system, "bytes_read") / passes),
                   f"{100 * result.others:.0f} %" if mine else ""]


def tables(results):
    for case in cases.CASES:
        mine = [result for result in results if result.case is case]
        if not mine:
            continue
        yield f"## {case.title} (`{case.name}`)"
        yield ""
        if case.options:
            yield f"Mounted with `-o {','.join(case.options)}`."
            yield ""
        if case.tokens:
            yield from table(["storage", "system", "memory cap", "first token, s", "/ plain", "tokens/s",
                              "/ plain", "read a token", "other programs"], token_rows(mine))
        else:
            yield from table(["storage", "system", "s", "MB/s", "read", "time / plain", "of ideal"],
                             reading_rows(mine))


def emulated_tables(readings):
    yield "## Inside an emulated arm64 machine"
    yield ""
    yield (f"Cortex-A57, {emulated.PROCESSORS} processors, kernel {readings[0].kernel}; {readings[0].decoder}; drives "
           f"of {emulated.RATE} MB/s. All files were compared byte for byte. Figures are medians of "
           f"{len(readings[0].seconds['plain'])}, in turns, nothing cached.")
    yield ""
    yield from table(["data", "files", "plain, s", "entrofs, s", "time / plain", "ideal", "of ideal"],
                     ([reading.model.data, str(reading.files), number(reading.median("plain")),
                       number(reading.median("entrofs")), f"{reading.ratio():.3f}",
                       f"{reading.model.ideal_ratio:.3f}", f"{reading.model.ideal_ratio / reading.ratio():.3f}"]
                      for reading in readings))


def emulated_objects(readings):
    for reading in readings:
        for system in SYSTEMS:
            yield {
                "case": "read-arm64", "what": "read", "machine": "arm64, emulated",
                "storage_mb_s": emulated.RATE, "data": reading.model.data, "system": system, "options": [],
                "seconds": reading.median(system), "tokens_per_s": None,
                "ideal_ratio": reading.model.ideal_ratio, "plain_bytes": reading.model.plain_size,
                "image_bytes": reading.model.image_size, "memory_cap": None,
                "rounds": len(reading.seconds[system]), "decoder": reading.decoder, "verified": True,
            }


def reached(results):
    """(what, encoding, target, figure or None) of each target."""
    for case, data, what, least in TARGETS:
        found = [r for r in results if (r.case.name, r.model.data, r.rate) == (case, data, SLOW)]
        if not found:
            yield what, data, least, None
        elif case == "read":
            yield what, data, least, found[0].model.ideal_ratio / found[0].ratio("seconds")
        else:
            yield what, data, least, found[0].ratio("tokens_per_s")


def target_table(results):
    yield f"## Targets, at {SLOW} MB/s"
    yield ""
    rows = []
    for what, data, least, figure in reached(results):
        verdict = "not measured" if figure is None else "reached" if figure >= least else "missed"
        rows.append([what, data, f"{least:g}", number(figure), verdict])
    yield from table(["target", "data", "at least", "measured", ""], rows)


def objects(results, extra):
    """One object for each case, encoding and system."""
    for result in results:
        for system in SYSTEMS:
            yield {
                "case": f"{result.case.name}-{result.rate}", "what": result.case.name,
                "machine": "native", "storage_mb_s": result.rate, "data": result.model.data,
                "system": system, "options": list(result.case.options) if system == "entrofs" else [],
                "seconds": result.median(system, "seconds"),
                "tokens_per_s": result.median(system, "tokens_per_s"),
                "ideal_ratio": result.model.ideal_ratio,
                "plain_bytes": result.model.plain_size, "image_bytes": result.model.image_size,
                "memory_cap": result.memory or None, "rounds": len(result.samples[system]),
                "storage_bytes": result.median(system, "bytes_read"),
                "peak_memory": result.median(system, "peak_memory"),
                "mount_seconds": result.median(system, "mounted"),
                "fetched_bytes": result.median(system, "fetched"),
                "other_programs": round(result.others, 3), "verified": True,
            }
    yield from extra


def write_whole(path, text):
    part = path + ".part"
    try:
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(part, path)
    except OSError as error:
        raise runs.Failed(f"cannot write '{path}': {error.strerror}") from error


def write_json(path, results, extra):
    write_whole(path, json.dumps(list(objects(results, extra)), indent=1) + "\n")


# --- the plot ------------------------------------------------------------------------------------

def bars(results):
    """(label, entrofs / plain as speeds, the ideal) of all results; what fits is not bound by storage."""
    for result in results:
        label = f"{result.case.name} {result.rate} MB/s {result.model.data}"
        speed = result.ratio("tokens_per_s") or 1 / result.ratio("seconds")
        yield label, speed, 1 if result.case.name == "fits" else 1 / result.model.ideal_ratio


def write_plot(path, results):
    """Bars of the speed against the plain file's, with a mark at the ratio of bits. False: no gnuplot."""
    if not shutil.which("gnuplot"):
        return False
    lines = [f'{i} {speed:.4f} {ideal:.4f} "{label}"' for i, (label, speed, ideal) in enumerate(bars(results))]
    part = path + ".part"
    script = "\n".join([
        f'set terminal svg size 960,{160 + 26 * len(lines)} dynamic enhanced background "white"',
        f'set output "{part}"', "$data << END", *lines, "END",
        "set yrange [*:*] reverse", "set xrange [0:*]", "set grid x", "set style fill solid 0.8",
        'set xlabel "speed of the mount, plain file = 1 (tokens/s, or reading)"',
        "set key top right", "set lmargin 28", "unset mouse",
        'plot $data using (0):0:(0):2:($0-0.35):($0+0.35):ytic(4) with boxxyerror lc rgb "#3b6ea5" title "measured", '
        '$data using 3:0 with points pt 5 ps 0.7 lc rgb "#c04020" title "plain bits / image bits"', ""])
    done = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode or not os.path.exists(part):
        raise runs.Failed(f"cannot write '{path}': gnuplot: {done.stderr.strip()}")
    os.rename(part, path)
    return True

# SPDX-License-Identifier: MIT
"""What was asked of entrofs, and what came out, from the rows of a run alone.

A ratio is the median of the ratios of each round, whose measurements followed one another.
"""
from statistics import median

SEQUENTIAL = ("seq-cold-1m", "seq-cold-dd")
MAPPED = ("mmap-cold", "mmap-populate")
PEERS = ("squashfuse", "squashfs", "erofs")


class Rows:
    def __init__(self, rows):
        self.rows = {(row["case"], row["data"], row["system"], row["variant"]): row for row in rows}

    def get(self, case, data, system, variant=""):
        return self.rows.get((case, data, system, variant))

    def rounds(self, key, case, data, system, variant=""):
        """A value for each round, or None if it was not measured."""
        row = self.get(case, data, system, variant)
        return row and row["rounds"].get(key)

    def variants(self, case, data, system):
        return [key[3] for key in self.rows if key[:3] == (case, data, system)]

    def data(self):
        return sorted({key[1] for key in self.rows if key[1].startswith("u")}, reverse=True)


def ratio(over, under):
    if not over or not under:
        return None
    return median(a / b for a, b in zip(over, under) if b)


def ceiling(rows, case, data):
    """Rounds of min(null server, rate of the disk / bytes stored per byte served)."""
    null = rows.rounds("gbps", case, data, "null")
    disk = rows.get(case, data, "odirect")
    if not null or not disk or not disk["rounds"].get("gbps"):
        return None
    return [min(a, b / disk["stored_fraction"]) for a, b in zip(null, disk["rounds"]["gbps"])]


def best_peer(rows, case, data):
    """Rounds of the peer whose median is highest."""
    found = [rows.rounds("gbps", case, data, system, variant)
             for system in PEERS for variant in rows.variants(case, data, system)]
    return max((gbps for gbps in found if gbps), key=median, default=None)


class Target:
    def __init__(self, what, case, data, limit, value, at_least=True, unit="x"):
        self.what, self.case, self.data, self.limit, self.value = what, case, data, limit, value
        self.at_least, self.unit = at_least, unit

    @property
    def asked(self):
        if self.limit is None:
            return "for information"
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{self.unit}"

    @property
    def met(self):
        if self.value is None or self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def of_gbps(rows, data, what, case, limit, under):
    return Target(what, case, data, limit, ratio(rows.rounds("gbps", case, data, "entrofs"), under))


def for_data(rows, data):
    def null(case, key="gbps"):
        return rows.rounds(key, case, data, "null")

    def plain(case):
        return rows.rounds("gbps", case, data, "plain")

    for case in SEQUENTIAL:
        yield of_gbps(rows, data, "cold sequential, against min(null, disk / stored fraction)", case, 0.85,
                      ceiling(rows, case, data))
        yield of_gbps(rows, data, "cold sequential, against the plain file", case, 1.4 if data == "u4" else 1.2,
                      plain(case))
        yield of_gbps(rows, data, "cold sequential, against the best of squashfuse, squashfs, erofs", case, 3,
                      best_peer(rows, case, data))
        cpu = ratio(rows.rounds("cpu_s_per_gb", case, data, "entrofs"), null(case, "cpu_s_per_gb"))
        yield Target("daemon CPU per GB, against null", case, data, 2, cpu, at_least=False)
    yield of_gbps(rows, data, "warm sequential, against null", "seq-warm-1m", 0.97, null("seq-warm-1m"))
    yield Target("warm sequential, the plain file against null", "seq-warm-1m", data, None,
                 ratio(plain("seq-warm-1m"), null("seq-warm-1m")))
    iops = ratio(rows.rounds("iops", "rand-4k", data, "entrofs"),
                 rows.rounds("iops", "rand-4k", data, "squashfuse", "128k"))
    yield Target("random 4 KiB, 4 jobs, IOPS against squashfuse (128 KiB)", "rand-4k", data, 3, iops)
    for case in MAPPED:
        yield of_gbps(rows, data, "cold mapping, against min(null, disk / stored fraction)", case, 0.75,
                      ceiling(rows, case, data))
        yield of_gbps(rows, data, "cold mapping, against the plain file", case, 1.3, plain(case))
    yield of_gbps(rows, data, "mapping with MADV_RANDOM, against null", "mmap-random", 0.8, null("mmap-random"))


def for_weights(rows, data, limit):
    """Files of weights: made of codes, or kept and joined of their parts."""
    for case in SEQUENTIAL:
        yield of_gbps(rows, data, "weight file, cold, against null", case, limit, rows.rounds("gbps", case, data, "null"))


def peak_rss(rows):
    values = [row["rss_mib"] for key, row in rows.rows.items()
              if key[2:] == ("entrofs", "") and row["rss_mib"] is not None]
    return max(values, default=None)


def all_targets(rows_of_run):
    rows = Rows(rows_of_run)
    targets = [target for data in rows.data() for target in for_data(rows, data)]
    for data, limit in ("bf16", 0.7), ("lossless", None):
        if any(row["data"] == data for row in rows_of_run):
            targets += for_weights(rows, data, limit)
    targets.append(Target("peak memory of the daemon", "all of the above", "all", 96, peak_rss(rows), False, " MiB"))
    for case in ("first-byte", "first-byte-cold"):
        row = rows.get(case, "7b", "entrofs")
        targets.append(Target("mount to first byte, 7B shapes", case, "7b", 30,
                              row and row["first_byte_ms"], False, " ms"))
    return targets

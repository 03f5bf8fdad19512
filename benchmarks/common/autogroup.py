# SPDX-License-Identifier: MIT
"""The nice value of a scheduling group: see "autogroup" in sched(7).

Where the kernel makes such groups, one for each terminal or daemon, a process's own nice value counts within
its group only.
"""
PATH = "/proc/self/autogroup"


def read():
    """That of this process's group; None where there are no groups."""
    try:
        with open(PATH, encoding="ascii") as file:
            return int(file.read().split()[-1])
    except FileNotFoundError:
        return None


def write(value):
    """Nothing happens where there are no groups."""
    try:
        with open(PATH, "w", encoding="ascii") as file:
            file.write(str(value))
    except FileNotFoundError:
        pass

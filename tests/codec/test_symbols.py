# SPDX-License-Identifier: MIT
"""The codec is pure: its object files ask for nothing but memory functions and CPU detection."""
import os
import re
import shutil
import subprocess
import unittest

LIBRARY = os.path.join(os.environ.get("BUILD", "build"), "libcodec.a")

ALLOWED = re.compile(
    r"mem(cpy|move|set|cmp)(_chk)?$|__mem(cpy|move|set)_chk$"
    r"|__cpu_(model|indicator_init|features2)$"  # x86: which kernel, from libgcc
    r"|__aarch64_(cas|swp|ldadd)\d+_\w+$"  # arm64: atomics, from libgcc
    r"|_GLOBAL_OFFSET_TABLE_$|__stack_chk_(fail|guard)$"
)


class Symbols(unittest.TestCase):
    def test_undefined_symbols(self):
        nm = shutil.which("nm")
        if not nm:
            self.skipTest("no nm")
        out = subprocess.run([nm, LIBRARY], stdout=subprocess.PIPE, text=True, check=True).stdout
        undefined, defined = set(), set()
        for line in out.splitlines():
            fields = line.split()
            if len(fields) == 2 and fields[0] in "Uwv":
                undefined.add(fields[1])
            elif len(fields) == 3:
                defined.add(fields[2])
        if any(re.match(r"__(asan|ubsan|tsan|sanitizer)", name) for name in undefined):
            self.skipTest("built with a sanitizer, which adds symbols of its own")
        self.assertIn("codec_decode", defined)
        foreign = [name for name in sorted(undefined - defined) if not ALLOWED.match(name)]
        self.assertEqual(foreign, [])


if __name__ == "__main__":
    unittest.main()

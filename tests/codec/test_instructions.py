# SPDX-License-Identifier: MIT
"""x86-64: only kernels, which run after a look at the processor, use more than its baseline.

Each object file is disassembled and held to a list of instructions. What a kernel may use, and what
its file is compiled for, is what its supported() asks for.
"""
import glob
import os
import platform
import re
import shutil
import subprocess
import unittest

BUILD = os.environ.get("BUILD", "build")

# tzcnt is not here: as "rep bsf", compilers use it on any processor, in a manner that either suits.
BMI = r"\b(andn|bextr|blsi|blsmsk|blsr)\b"
BMI2 = r"\b(bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx)\b"
LZCNT = r"\blzcnt\b"
POPCNT = r"\bpopcnt\b"
SSE3_TO_4 = (r"\b(addsub|h(add|sub)p)[sd]\b|\b(lddqu|movshdup|movsldup|movddup|pabs[bwd]|palignr|ph(add|sub)"
             r"(s?w|d)|pmaddubsw|pmulhrsw|pshufb|psign[bwd]|ptest|pcmpeqq|pcmpgtq|pblend\w+|blendv?p[sd]"
             r"|round[sp][sd]|pmov[sz]x\w+|p(min|max)(sb|sd|uw|ud)|pmulld|pmuldq|pinsr[bdq]|pextr[bdq]|crc32[bwlq]?"
             r"|packusdw|mpsadbw|phminposuw|aes\w+|pclmulqdq|sha(1|256)\w+)\b")
AVX = r"%ymm|\bv[a-z]\w+\s.*%xmm|\bvzero(upper|all)\b"
AVX512 = r"%zmm|%k[0-7]\b|%[xy]mm(1[6-9]|2[0-9]|3[01])\b"
EVERYTHING = [BMI, BMI2, LZCNT, POPCNT, SSE3_TO_4, AVX, AVX512]

FORBIDDEN = {
    "bmi2": [LZCNT, SSE3_TO_4, AVX, AVX512],
    "avx2": [LZCNT, AVX512],
    "avx512": [LZCNT],
}


def kernel_of(path):
    match = re.search(r"/codec/x86/\w+_(\w+)\.o$", path)
    return match and match[1]


class Instructions(unittest.TestCase):
    def setUp(self):
        self.objdump = shutil.which("objdump")
        if platform.machine() != "x86_64":
            self.skipTest("not x86-64")
        if not self.objdump:
            self.skipTest("no objdump")
        with open(os.path.join(BUILD, "flags")) as flags:
            if re.search(r"\s-m\w", flags.read()):
                self.skipTest("built for a processor of the builder's choice")
        folders = "codec", "codec/x86", "image", "quantizer", "mkfs", "fs", "runtime-demo"
        self.objects = [path for folder in folders for path in glob.glob(f"{BUILD}/{folder}/*.o")]

    def found(self, path, patterns):
        out = subprocess.run([self.objdump, "-d", "--no-show-raw-insn", path], stdout=subprocess.PIPE, text=True,
                             check=True).stdout
        forbidden = re.compile("|".join(patterns))
        # Without the symbols that addresses are explained by.
        lines = (line.partition("<")[0].strip() for line in out.splitlines() if "\t" in line)
        return [line for line in lines if forbidden.search(line)]

    def test_only_kernels_use_more_than_the_baseline(self):
        self.assertGreater(len(self.objects), 30)
        for path in self.objects:
            if not kernel_of(path):
                with self.subTest(path):
                    self.assertEqual(self.found(path, EVERYTHING), [])

    def test_a_kernel_uses_what_it_asks_for(self):
        kernels = [path for path in self.objects if kernel_of(path)]
        self.assertEqual({kernel_of(path) for path in kernels}, set(FORBIDDEN))
        for path in kernels:
            with self.subTest(path):
                self.assertEqual(self.found(path, FORBIDDEN[kernel_of(path)]), [])

    def test_the_patterns_find_something(self):
        """In the file that may use everything there is some of each that it should have."""
        path = f"{BUILD}/codec/x86/encode_avx512.o"
        for pattern in BMI2, POPCNT, AVX, AVX512:
            self.assertTrue(self.found(path, [pattern]), pattern)


if __name__ == "__main__":
    unittest.main()

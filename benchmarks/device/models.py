# SPDX-License-Identifier: MIT
"""The models: a synthetic one for each encoding, its image, and the plain files that the mount shows."""
import filecmp
import os
import shutil
import sys

import runs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WHOLE = "quantized/model.safetensors"  # all weights in one file
# What each encoding's model is: as many layers as make the plain files about 300 MB and 250 MB, so
# that a pass through them takes seconds, and a quick one of a few MB that shows that all works.
SHAPES = {
    "u8": dict(bits=8, setting="paper-u8", full=("SmolLM-1.7B", 3), quick=("SmolLM-135M", 2)),
    "u4": dict(bits=4, setting="paper-u4", full=("SmolLM-1.7B", 6), quick=("SmolLM-135M", 4)),
}


class Model:
    """An image and the plain files of one encoding; sizes are in bytes."""

    def __init__(self, data, folder, build, quick):
        shape = SHAPES[data]
        self.data, self.build = data, build
        self.bits, self.setting = shape["bits"], shape["setting"]
        self.name, self.layers = shape["quick" if quick else "full"]
        stem = os.path.join(folder, f"{data}-{self.name}-{self.layers}")
        self.source, self.image, self.plain = stem + ".model", stem + ".efs", stem + ".files"

    def program(self, name):
        return os.path.join(self.build, name)

    def make(self):
        """Makes what is not there yet. The weights as they were before quantizing do not stay."""
        if not os.path.exists(self.image):
            runs.must([os.path.join(ROOT, "benchmarks/mkmodel"), f"--setting={self.setting}",
                       f"--layers={self.layers}", self.name, self.source])
            runs.must([self.program("mkentrofs"), "--bits", str(self.bits), self.source, self.image])
            shutil.rmtree(self.source)
        if not os.path.exists(self.plain):
            part = self.plain + ".part"
            shutil.rmtree(part, ignore_errors=True)
            runs.must([self.program("fsck.entrofs"), "--quiet", f"--extract={part}", self.image])
            os.rename(part, self.plain)
        self.image_size = os.path.getsize(self.image)
        self.plain_size = os.path.getsize(os.path.join(self.plain, WHOLE))

    @property
    def ideal_ratio(self):
        """Bits of the image for each bit of the plain file: what share of the reading is left."""
        return self.image_size / self.plain_size

    def verify(self):
        """Every byte that the mount shows, with each kind of cache, against the plain files; names the files."""
        names = sorted(os.path.relpath(os.path.join(where, name), self.plain)
                       for where, _, files in os.walk(self.plain) for name in files)
        for cache in ("decoded", "compressed"):
            with runs.Mount(self.program("entrofs"), self.image, options=(f"cache={cache}",)) as mount:
                shown = sum(len(files) for _, _, files in os.walk(mount))
                if shown != len(names):
                    raise runs.Failed(f"the mount shows {shown} files, not {len(names)}")
                filecmp.clear_cache()
                _, different, unread = filecmp.cmpfiles(mount, self.plain, names, shallow=False)
                if different or unread:
                    raise runs.Failed(f"{self.data}: the mount's files differ: {different + unread}")
        print(f"verified: {self.data}: {len(names)} files, every byte, with cache=decoded and "
              "cache=compressed", file=sys.stderr)
        return len(names)

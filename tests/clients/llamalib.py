# SPDX-License-Identifier: MIT
"""llama.cpp, through node-llama-cpp: every way it loads a GGUF file, and what it makes of a text."""
import math

from clientlib import node

# How a file is loaded: the options, and what is then true: the mode that llama.cpp says it uses, and how the
# file is mapped afterwards (the permissions of /proc/self/maps).
MODES = {
    "mmap": ({"useMmap": True}, "mmap", {"r--s"}),
    "mmap, tensors checked": ({"useMmap": True, "checkTensors": True}, "mmap", {"r--s"}),
    "mmap, tensors read when needed": ({"useMmap": True, "lazyMode": True}, "mmap", {"r--s"}),
    "read": ({"useMmap": False}, "none", set()),
    "direct I/O": ({"useDirectIo": True}, "dio", set()),
    "mlock": ({"useMlock": True}, "mlock", set()),
}


def greedy(jobs, prompts, tokens):
    """For each (file, mode): llama.cpp's own word on the mode, the mappings, and a list of text, tokens, and
    the probability of each token, one for each prompt."""
    return node("llama.mjs", [{"file": file, "options": MODES[mode][0], "prompts": prompts, "tokens": tokens}
                              for file, mode in jobs])


def perplexity(file, text, mode="mmap", window=256):
    """e to the power of the mean of -ln p, over the tokens of a text but the first of each window: what
    entrofs-run --perplexity prints by default. About 3.5 ms a token: probabilities of the whole vocabulary are
    all that the interface gives."""
    answer, = node("llama.mjs", [{"file": file, "options": MODES[mode][0], "text": text, "window": window}])
    return math.exp(answer["sum"] / answer["counted"])

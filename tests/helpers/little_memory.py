"""Read packed files, of which each unpacks to more than 160 MiB, in a process that has 320.

python tests/helpers/little_memory.py FOLDER      prints as JSON what became of each of READS
"""

import json
import resource
import sys
from pathlib import Path

import torch

from benchmarks.measuring import codes, images
from benchmarks.systems.codes_file import CodesFile
from diffae.data import open_dataset
from diffae.system.errors import UserError
from diffae.system.free_memory import free_memory

MEMORY = 320 << 20  # bytes beyond what the imports take


def data(path):
    open_dataset(path, 32).images([0])


def large():
    """Ten images of 30 MB."""
    return (torch.empty(30_000_000, dtype=torch.uint8) for _ in range(10))


READS = {
    **dict.fromkeys(("large.lmdb", "long.lmdb"), data),  # mapped, before others leave fragments
    "codes.npz": codes.read,
    "header.npz": codes.read,
    "system.npz": lambda path: CodesFile(str(path), None, torch.device("cpu")),
    "images.npz": lambda path: sum(1 for _ in images.images_in(path)),
    "ahead": lambda path: sum(1 for _ in images._ahead(lambda _: next(large()), range(10))),
    "batch": lambda path: sum(1 for _ in images.batches(large(), 10)),
    "free": lambda path: free_memory() <= MEMORY,
    **dict.fromkeys(("sprites.npz", "chunk.h5", "lying.h5", "labels.h5", "cars", "idx"), data),
    **dict.fromkeys(("a.zip", "group.parquet", "classes.parquet", "one"), data),
}

if __name__ == "__main__":
    for name in ("h5py", "pyarrow.parquet", "scipy.io", "lmdb", "lzma", "bz2"):
        __import__(name)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    became = {}
    for name, read in READS.items():
        try:
            became[name] = str(read(Path(sys.argv[1]) / name))
        except UserError as error:
            became[name] = f"refused: {error}"
        except Exception as error:
            became[name] = repr(error)
    print(json.dumps(became))

"""python -m pretend_gpu [--counts FILE] [--room N --error NAME] MODULE [ARGUMENTS ...]"""

import argparse
import atexit
import runpy
import sys
from pathlib import Path

from pretend_gpu import counts, cuda, tensor


def main() -> None:
    parser = argparse.ArgumentParser(prog="pretend_gpu", allow_abbrev=False)
    parser.add_argument("--counts", type=Path, help="write kinds, places and times of waits (JSON)")
    parser.add_argument("--room", type=int, help="examples in a batch that fit into memory")
    parser.add_argument(
        "--error", default="allocator", help="what more of them raise (memory_errors.py)"
    )
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    cuda.install()
    if args.room is not None:
        from memory_errors import OF_A_GPU

        tensor.Room.examples, tensor.Room.error = args.room, OF_A_GPU[args.error]
    if args.counts is not None:
        atexit.register(counts.write, args.counts)
    sys.argv = [args.module, *args.arguments]
    runpy.run_module(args.module, run_name="__main__", alter_sys=True)


main()

"""Train as `python -m diffae.train` does, with a limit in MiB on address space beyond the imports.

python tests/helpers/train_in_little_memory.py MIB [WORDS of diffae.train ...]
"""

import re
import resource
import sys
from pathlib import Path

from diffae.system import cli
from diffae.train import __main__ as command

if __name__ == "__main__":
    mib, *words = sys.argv[1:]
    taken = re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert taken
    most = int(taken[1]) * 1024 + int(mib) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    cli.run(lambda: command.main(words))

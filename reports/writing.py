"""Files that are written whole or not at all, and files that grow by what is whole."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file `path`; where the disk refuses, the old one stays and nothing else."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def append(path: Path, content: bytes) -> None:
    """Add `content` to the file `path`; where the disk takes a part of it only, the file becomes what it was."""
    with open(path, "ab", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        try:
            written = file.write(content)
            while written < len(content):  # a disk that is nearly full takes a part
                written += file.write(content[written:])
        except OSError:
            os.ftruncate(file.fileno(), end)
            raise

"""The file influences.npz of a run folder: the influences behind each number, in float32."""

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from diffae.system.errors import UserError
from diffae.system.files import read_file
from diffae.system.whole import write_whole
from reports.records.estimate import Influence, Influences
from reports.records.reading import MEBIBYTE, short
from reports.records.record import Record, record_key

LARGEST_FILE = 512 * MEBIBYTE  # packed and unpacked


def write_influences(path: Path, records: Iterable[Record]) -> None:
    """Write the influences of records by `record_key` to the npz file `path`, whole or not at all."""
    with_influences = (record for record in records if record.estimate.influences)
    by_key = {record_key(record): record.estimate.influences for record in with_influences}
    index: list[tuple[str, str]] = []
    arrays: dict[str, np.ndarray] = {}
    for key, influences in by_key.items():
        for source in influences:
            arrays[f"{len(index)}"] = source.values.astype(np.float32)
            index.append((key, source.units))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, index=np.array(json.dumps(index)), **arrays)  # type: ignore[arg-type]
    write_whole(path, buffer.getvalue())


def read_influences(path: Path) -> dict[str, Influences]:
    """The influences in a file, by `record_key`.

    Raises UserError naming the file if it is something else.
    """
    content = read_file(path, LARGEST_FILE)
    by_key: dict[str, Influences] = {}
    try:
        # No more is unpacked than the sizes that it declares.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            total = sum(member.file_size for member in archive.infolist())
        if total > LARGEST_FILE:
            raise ValueError(f"it unpacks to {total:,} bytes, more than {LARGEST_FILE:,}")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: np.asarray(array) for name, array in file.items()}
        for number, entry in enumerate(json.loads(str(arrays["index"]))):
            if not isinstance(entry, list) or [type(part) for part in entry] != [str, str]:
                raise ValueError("its index is not a list of pairs of text")
            (key, units), values = entry, arrays[str(number)]
            is_list = values.dtype == np.float32 and values.ndim == 1 and len(values) > 1
            if not (is_list and np.isfinite(values).all()):
                raise ValueError(f"influence {number} is not a list of two or more finite numbers")
            if units in {source.units for source in by_key.get(key, ())}:
                raise ValueError(f"influence {number} is of units that the number has already")
            by_key[key] = (*by_key.get(key, ()), Influence(units, values))
    except Exception as reason:  # of a damaged file zipfile, zlib and NumPy raise a dozen kinds
        raise UserError(f"{path}: not the influences of a run: {short(reason)}") from None
    return by_key

"""Codes with labels, as `measure` takes them: arrays that fit together, some exchanged, and tables."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from benchmarks.measuring.codes import read
from benchmarks.metrics.codes.data import TEST, TRAIN

pd.DataFrame({"texts": ["a"]})  # whose memory pyarrow maps now, not within a limit
N = 50
ROWS = np.arange(N)
FILES = np.array([f"{n}.png" for n in ROWS])
# Arrays that fit, and then some that do not.
ARRAYS: dict[str, tuple[np.ndarray, ...]] = {
    "codes": (np.sin(np.outer(ROWS, [1, 2, 3])), np.zeros((N, 2, 2), "f4"), ROWS, FILES, np.eye(4)),
    "labels": (np.outer(ROWS, [1, 2]) % 3, ROWS % 2 == 0, np.eye(N)[:, :0], ROWS[1:], FILES),
    "names": (np.array(["a", "b"]), np.array(["a", "a"]), FILES, np.array(7), ROWS.astype(object)),
    "kinds": (np.array(["classes", "real"]), np.array(["real", ""]), np.zeros(2), FILES),
    "split": (ROWS % 3, np.array(["train", "test"])[ROWS % 2], ROWS / 7, ROWS * np.nan, FILES),
    "persons": (ROWS // 2, FILES, ROWS * 1j, np.array("x"), ROWS > 9),
    "files": (FILES, FILES[::-1], ROWS, FILES[:9], np.full(N, "a")),
}
CELLS = st.sampled_from(["0", "1", "2", "-1", "1e400", "", "nan", "yes", "No", "a", "é", '"', "\0"])
NAMES = st.sampled_from(["file", "index", "a", "b:real", "c:binary", "split", "person", "", '"'])


@st.composite
def npz_file(draw, *, holds: str) -> bytes:
    names = {holds, *draw(st.sets(st.sampled_from(sorted(ARRAYS.keys() - {"codes"}))))}
    fits = draw(st.booleans())
    places = {k: 0 if fits else draw(st.integers(0, len(ARRAYS[k]) - 1)) for k in sorted(names)}
    np.savez(whole := io.BytesIO(), **{name: ARRAYS[name][k] for name, k in places.items()})
    return whole.getvalue()


@st.composite
def table(draw) -> bytes:
    """A CSV file with a row for each code, and perhaps one more or less."""
    head = draw(st.lists(NAMES, min_size=1, max_size=4))
    few = draw(
        st.lists(st.lists(CELLS, min_size=len(head), max_size=len(head)), min_size=1, max_size=4)
    )
    count = draw(st.sampled_from([N, N, N, N - 1, 1, 0]))
    lines = [head, *(few[n % len(few)] for n in range(count))]
    if draw(st.booleans()):  # with the images' names
        lines = [["file", *head], *([f"{n}.png", *line] for n, line in enumerate(lines[1:]))]
    return "\n".join(map(",".join, lines)).encode()


def read_codes(folder: Path, files: tuple[bytes, tuple[str, bytes] | None]) -> None:
    """Read codes, and labels from another file if there is one: its suffix and content."""
    content, of_labels = files
    (codes := folder / "codes.npz").write_bytes(content)
    labels = None if of_labels is None else folder / f"labels{of_labels[0]}"
    if labels is not None and of_labels is not None:
        labels.write_bytes(of_labels[1])
    found, told = read(codes, labels)
    n = len(found.values)
    assert n >= N and found.values.ndim == 2 and np.isfinite(found.values).all() and all(told)
    if found.labels is not None:
        values, names, kinds = found.labels.values, found.labels.names, found.labels.kinds
        assert values.shape == (n, len(names)) and len(kinds) == len(names) > 0
        assert np.isfinite(values).all()
        for column, kind in zip(values.T, kinds, strict=True):
            distinct = set(column.tolist())
            assert kind == "real" or distinct == set(range(len(distinct)))
            assert kind != "binary" or len(distinct) <= 2
    for rows in (found.split, found.persons):
        assert rows is None or (rows.shape == (n,) and rows.dtype == np.int64)
    assert found.split is None or {TRAIN, TEST} <= set(found.split.tolist()) <= {0, 1, 2}


def files(damage) -> st.SearchStrategy:
    """Inputs of `read_codes`; `damage` is what may happen to the bytes of a file."""
    of_labels = st.one_of(
        st.none(),
        st.tuples(st.just(".npz"), damage(npz_file(holds="labels"))),
        st.tuples(st.just(".csv"), damage(table())),
    )
    return st.tuples(st.one_of(npz_file(holds="codes"), damage(npz_file(holds="codes"))), of_labels)

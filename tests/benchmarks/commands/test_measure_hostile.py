"""npz files that are damaged, or made to do harm: `measure` gives the right numbers or one line."""

import io
import random
import tracemalloc
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from refusal import refusal

from benchmarks.measure import main
from benchmarks.metrics.sets.frechet import is_statistics, read_statistics
from diffae.system.errors import UserError

DIM = 3  # of the colours that stand for a network here
ENCRYPTED = 1  # bit of an entry's flags
FLIPS = 150

pytestmark = pytest.mark.usefixtures("no_effnet")


def npy(array, shape: str = "", version: int = 1) -> bytes:
    """The content of an .npy file; with `shape`, its header says that."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, (version, 0), allow_pickle=True)
    content = file.getvalue()
    if shape:
        true = str(array.shape).encode()
        content = content.replace(
            true + b", }" + b" " * (len(shape) - len(true)), shape.encode() + b", }", 1
        )
        assert shape.encode() in content
    return content


def npz(method: int = zipfile.ZIP_DEFLATED, **arrays: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, method)
    return file.getvalue()


def flagged(content: bytes) -> bytes:
    """With every entry marked as encrypted."""
    broken = bytearray(content)
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            broken[start + place] |= ENCRYPTED
    return bytes(broken)


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), np.uint8)
GOOD = npy(IMAGES)
HOSTILE_IMAGES: dict[str, tuple[bytes, str]] = {
    "encrypted": (flagged(npz(arr_0=GOOD)), "encrypted"),
    "bzip2": (npz(zipfile.ZIP_BZIP2, arr_0=GOOD), "compressed by method 12"),
    "lzma": (npz(zipfile.ZIP_LZMA, arr_0=GOOD), "compressed by method 14"),
    "minus one image": (npz(arr_0=npy(IMAGES, "(-1, 12, 12, 3)")), "its header announces"),
    "too many images": (npz(arr_0=npy(IMAGES, "(10**15, 12, 12, 3)")), "arr_0 cannot be read"),
    "a billion images": (npz(arr_0=npy(IMAGES, "(1000000000, 12, 12, 3)")), "its header announces"),
    "no images": (npz(arr_0=npy(IMAGES[:0])), "uint8 (0, 12, 12, 3), not images"),
    "no pixels": (npz(arr_0=npy(IMAGES[:, :0])), "uint8 (3, 0, 12, 3), not images"),
    "Fortran order": (npz(arr_0=npy(np.asfortranarray(IMAGES))), "in Fortran order; save"),
    "complex": (npz(arr_0=npy(IMAGES + 1j)), "not images"),
    "pickled": (npz(arr_0=npy(IMAGES.astype(object))), "its header announces object"),
    "a later format": (npz(arr_0=npy(IMAGES, version=3)), "version (3, 0)"),
    "other names": (npz(images=GOOD), "no item named 'arr_0.npy'"),
    "no array": (npz(arr_0=b"text"), "arr_0 cannot be read"),
    "cut": (npz(arr_0=GOOD)[:-40], "not a zip file"),
    "an npy file": (GOOD, "not a zip file"),
    "empty": (b"", "not a zip file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE_IMAGES)
def test_hostile_images_are_one_line(kind, tmp_path, capsys):
    content, words = HOSTILE_IMAGES[kind]
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    good.write_bytes(npz(arr_0=GOOD))
    bad.write_bytes(content)
    for arguments in (("mse", good, bad), ("mse", bad, good), ("psnr", good, bad, "--protocol", "plain"), ("--explain", good, bad)):  # fmt: skip
        line = refusal(main, capsys, *arguments)
        assert f"{bad}: " in line and words in line and "folder" not in line


def statistics(**others) -> dict[str, bytes]:
    """The arrays of a file of statistics of as many features as the network's, some replaced."""
    arrays = {"mu": np.zeros(DIM), "sigma": np.eye(DIM), "n": np.array(9)} | others
    return {name: x if isinstance(x, bytes) else npy(x) for name, x in arrays.items()}


HOSTILE_STATISTICS: dict[str, tuple[Callable[[], bytes], str]] = {
    "complex mu": (lambda: npz(**statistics(mu=np.zeros(DIM) + 0j)), "mu is complex128"),
    "complex sigma": (lambda: npz(**statistics(sigma=np.eye(DIM) + 1j)), "sigma is complex128"),
    "text": (lambda: npz(**statistics(mu=np.full(DIM, "0"))), "real numbers"),
    "pickled": (lambda: npz(**statistics(n=np.array(9, object))), "n cannot be read"),
    "several n": (lambda: npz(**statistics(n=np.array([9, 9]))), "n has the shape (2,)"),
    "half an image": (lambda: npz(**statistics(n=np.array(9.5))), "n is 9.5"),
    "no sigma": (lambda: npz(mu=npy(np.zeros(DIM))), "not statistics"),
    "a row": (lambda: npz(**statistics(mu=np.zeros((1, DIM)))), "are not d and d x d numbers"),
    "encrypted": (lambda: flagged(npz(**statistics())), "encrypted"),
    "lzma": (lambda: npz(zipfile.ZIP_LZMA, **statistics()), "compressed by method 14"),
    "other network": (lambda: npz(**statistics(mu=np.zeros(2), sigma=np.eye(2))), "statistics of 2 features"),
    "cut": (lambda: npz(**statistics())[:-9], "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE_STATISTICS)
def test_hostile_statistics_are_one_line(kind, tmp_path, capsys):
    make, words = HOSTILE_STATISTICS[kind]
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    good.write_bytes(npz(arr_0=GOOD))
    bad.write_bytes(make())
    for arguments in (("fd_effnet", bad, good), ("fd_effnet", good, bad)):
        line = refusal(main, capsys, *arguments)
        assert f"{bad}: " in line and words in line


@pytest.mark.parametrize("side", [3_000, 20_000])
def test_what_a_small_file_unpacks_to_is_never_allocated(side, tmp_path, capsys):
    """Zeros compress a thousandfold; the other file only announces them."""
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("mu.npy", npy(np.zeros(side)))
        with archive.open("sigma.npy", "w") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f8", "fortran_order": False, "shape": (side, side)}
            )
            for _ in range(side if side < 10_000 else 1):
                file.write(bytes(8 * side))
    (tmp_path / "good.npz").write_bytes(npz(arr_0=GOOD))
    tracemalloc.start()
    try:
        line = refusal(main, capsys, "fd_effnet", bomb, tmp_path / "good.npz")
        assert not is_statistics(bomb) or side < 10_000
        assert tracemalloc.get_traced_memory()[1] < 2e7
    finally:
        tracemalloc.stop()
    assert f"{bomb}: statistics of {side}" in line or "its header announces" in line


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_images_with_a_flipped_bit_have_the_right_numbers_or_one_line(method, tmp_path, capsys):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    good.write_bytes(content := npz(method, arr_0=GOOD))
    draw, outcomes = random.Random(0), set()
    for _ in range(FLIPS):
        bad.write_bytes(flipped(content, draw))
        try:
            main(["mse", str(good), str(bad)])
            assert capsys.readouterr().out.endswith("\nmse 0\n")
            outcomes.add("right")
        except UserError as error:
            assert str(bad) in str(error) and "folder" not in str(error)
            outcomes.add("refused")
    assert outcomes == {"right", "refused"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_statistics_with_a_flipped_bit_are_right_or_refused(method, tmp_path):
    draw, outcomes = random.Random(1), set()
    x = np.random.default_rng(1).normal(size=(9, 4))
    arrays = {"mu": x.mean(0), "sigma": np.cov(x.T), "n": np.array(9)}
    content = npz(method, **{name: npy(array) for name, array in arrays.items()})
    for _ in range(FLIPS):
        (tmp_path / "bad.npz").write_bytes(flipped(content, draw))
        try:
            found = read_statistics(tmp_path / "bad.npz")
        except UserError as error:
            assert "bad.npz" in str(error)
            outcomes.add("refused")
            continue
        np.testing.assert_array_equal(found.mean, arrays["mu"])
        np.testing.assert_allclose(found.scatter, 8 * arrays["sigma"], rtol=1e-12)
        outcomes.add("right")
    assert outcomes == {"right", "refused"}


def flipped(content: bytes, draw: random.Random) -> bytes:
    """With one bit flipped, more often among the archive's own fields than in the content."""
    ends = [*range(150), *range(len(content) - 400, len(content))]
    place = draw.choice(ends) if draw.random() < 0.7 else draw.randrange(len(content))
    broken = bytearray(content)
    broken[place % len(content)] ^= 1 << draw.randrange(8)
    return bytes(broken)

"""Data sets of known factors: which image is which, and what is refused."""

import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import factor_files
import numpy as np
import pytest
from refusal import refusal

from diffae.data import find_reader, open_dataset
from diffae.data.__main__ import main
from diffae.data.factors import arrays, stream
from diffae.data.factors.combinations import spread, subset_of, subset_with_combinations
from diffae.data.factors.stream import DEFLATE, Stream, array_in
from diffae.data.partition import TEST, TRAIN, VALID
from diffae.system.errors import UserError


def factors_of(data):
    return data.factors(np.arange(len(data)))


def place_of(image, grey=False):
    """The place that `painted` put into an image."""
    first, second = np.asarray(image).reshape(-1)[[0, 3 if grey else 1]].tolist()
    return first + 256 * second


def test_shapes3d(tmp_path):
    """Labels are angles and hues; a factor is the place among its values, as the file is ordered."""
    pytest.importorskip("h5py")
    factor_files.shapes3d(tmp_path / "3dshapes.h5")
    data = open_dataset(tmp_path, 64)
    found = factors_of(data)
    assert np.array_equal(found.values, factor_files.grid(*factor_files.SHAPES))
    assert found.names == tuple("floor_hue wall_hue object_hue scale shape orientation".split())
    assert found.kinds == ("classes", "classes", "classes", "ordered", "classes", "ordered")
    assert [place_of(data.source.read(i)) for i in (0, 5, 287)] == [0, 5, 287]
    assert (
        data.name == tmp_path.name and open_dataset(tmp_path / "3dshapes.h5", 64).name == "3dshapes"
    )
    shares = [np.mean(data.partition == part) for part in (TRAIN, VALID, TEST)]
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.01)


@pytest.mark.parametrize("compressed", [True, False])
def test_dsprites(compressed, tmp_path):
    """0 and 1 are black and white, the pickle is not opened, and the one colour is no factor."""
    path = factor_files.dsprites(tmp_path / "dsprites.npz", compressed)
    data = open_dataset(path, 64)
    found = factors_of(data)
    assert found.names == ("shape", "scale", "orientation", "pos_x", "pos_y")
    assert found.kinds == ("classes", "ordered", "classes", "ordered", "ordered")
    assert np.array_equal(found.values, factor_files.grid(*factor_files.SPRITES[1:]))
    columns = np.asfortranarray(factor_files.grid(*factor_files.SPRITES).astype(">i2"))
    other = factor_files.dsprites(tmp_path / "b.npz", compressed, latents_classes=columns)
    assert np.array_equal(factors_of(open_dataset(other, 64)).values, found.values)
    for index in (143, 3, 77, 4):
        pixels = np.asarray(data.source.read(index))
        assert set(np.unique(pixels)) == {0, 255} and (pixels[..., 0] > 0).sum() == index


SMALL = {288: (6, 6, 2, 1, 1, 2, 2), 128: (4, 4, 2, 1, 1, 2, 2)}


@pytest.mark.parametrize(
    ("n", "file", "name"),
    [
        (288, "mpi3d_toy.npz", "mpi3d-toy"),
        (288, "mpi3d_realistic.npz", "mpi3d-realistic"),
        (288, "mpi3d_real.npz", "mpi3d-real"),
        (128, "real3d_complicated_shapes_ordered.npz", "mpi3d-complex"),
    ],
)
def test_mpi3d(n, file, name, tmp_path, monkeypatch):
    """Six colours and shapes, but four in the complex set; the four are told apart."""
    monkeypatch.setattr(arrays, "SIZES", SMALL)
    data = open_dataset(factor_files.mpi3d(tmp_path / file, n, compressed=n == 128), 64)
    assert data.name == name
    found = factors_of(data)
    sizes = [size for size in SMALL[n] if size > 1]
    assert np.array_equal(found.values, factor_files.grid(*sizes))
    assert found.names[:3] == ("object_color", "object_shape", "object_size")
    assert [place_of(data.source.read(i)) for i in (n - 1, 0, 70)] == [n - 1, 0, 70]


def test_the_published_sizes_of_mpi3d():
    for n, sizes in arrays.SIZES.items():
        assert np.prod(sizes) == n
    assert arrays.SIZES[1_036_800][:2] == (6, 6)


def test_cars3d(tmp_path):
    """Objects are numbered by list.txt; the last axes of `im` are azimuth and elevation."""
    folder = factor_files.cars3d(tmp_path / "cars")
    data = open_dataset(folder, 128)
    found = factors_of(data)
    assert (found.names, found.kinds) == (
        ("object", "elevation", "azimuth"),
        ("classes", "ordered", "classes"),
    )
    assert len(data) == 2 * 4 * 24
    for index in (191, 0, 30, 100):
        car, elevation, azimuth = found.values[index].astype(int)
        pixels = np.asarray(data.source.read(index))
        assert pixels.shape == (128, 128, 3)
        assert pixels[5, 7].tolist() == [100 + car, azimuth, elevation]


def test_classes_that_are_texts_have_combinations_too(tmp_path):
    """As a labels.csv has them."""
    data = open_dataset(factor_files.dsprites(tmp_path / "dsprites.npz"), 64)
    names = data.columns.dtype.names
    texts = np.rec.fromarrays([data.columns[name].astype("U1") for name in names], names=names)
    some, same = (subset_with_combinations(one, 80) for one in (data, replace(data, columns=texts)))
    assert len(same) == 72
    assert same.factors([0]).kinds == ("classes",) * 5
    assert [some.name_of(i) for i in range(72)] == [same.name_of(i) for i in range(72)]


@pytest.mark.parametrize(("size", "count"), [(10, 2), (10, 3), (10, 10), (9, 3), (40, 7)])
def test_values_that_are_kept_are_spread_from_the_first_to_the_last(size, count):
    places = spread(size, count)
    gaps = np.diff(places)
    assert (places[0], places[-1], len(places)) == (0, size - 1, count)
    assert gaps.min() > 0 and gaps.max() - gaps.min() <= 1


def test_of_several_images_of_a_combination_the_first_is_kept(tmp_path):
    """Each image twice, one after the other, of at most as many as there are combinations."""
    data = open_dataset(factor_files.dsprites(tmp_path / "dsprites.npz"), 64)
    twice = subset_of(data, np.repeat(np.arange(len(data)), 2))
    kept, once = (subset_with_combinations(some, len(data)) for some in (twice, data))
    names = [[some.name_of(i) for i in range(len(some))] for some in (kept, once)]
    assert names[0] == names[1]


# ----------------------------------------------------------------------------------------------
# Reading in place


def test_a_compressed_file_is_read_anywhere_and_by_several_processes(tmp_path, monkeypatch):
    """In any order it is what NumPy unpacks, and a block or two are unpacked for a row."""
    monkeypatch.setattr(stream, "PIECE", 1000)
    monkeypatch.setattr(stream, "STEP", 50_000)
    content = np.random.default_rng(0).integers(0, 6, (3000, 90)).astype(np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=content)
    array = array_in(tmp_path / "a.npz", "images")
    for index in np.random.default_rng(1).permutation(3000)[:200]:
        assert np.array_equal(array.row(index), content[index])
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(array.row, [2999, 0, 1500]))
    assert np.array_equal(rows, content[[2999, 0, 1500]])
    unpack, sizes = stream._unpack, []
    monkeypatch.setattr(stream, "_unpack", lambda *args: sizes.append(1) or unpack(*args))
    array.row(1000)
    assert len(sizes) <= 2


@pytest.mark.parametrize("size", [199, 200, 201, 350, 400])
def test_bytes_at_the_ends_of_blocks_and_of_the_file(size, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "STEP", 100)
    content = np.random.default_rng(size).bytes(size)
    packer = zlib.compressobj(wbits=DEFLATE)
    (tmp_path / "packed").write_bytes(packer.compress(content) + packer.flush())
    read = Stream(tmp_path / "packed", 0, deflated=True).read
    for offset, count in [(size, 9), (size - 9, 99), (95, 5), (100, 100), (0, 999), (999, 1)]:
        assert read(offset, count) == content[offset : offset + count]


def test_a_damaged_block_is_refused_again_and_the_one_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "STEP", 100)
    packer, content = zlib.compressobj(wbits=DEFLATE), bytes(range(250))
    packed = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    (tmp_path / "packed").write_bytes(packed + b"\xff" * 99)
    read = Stream(tmp_path / "packed", 0, deflated=True).read
    for _ in range(2):
        with pytest.raises(UserError, match=r"packed: cannot be read"):
            read(240, 9)
    assert read(90, 20) == content[90:110]


# ----------------------------------------------------------------------------------------------
# The commands


def test_a_prepared_copy_has_the_factors_and_the_pixels(tmp_path):
    pytest.importorskip("h5py")
    factor_files.shapes3d(tmp_path / "3dshapes.h5")
    paths = [str(tmp_path / "3dshapes.h5"), str(tmp_path / "copy")]
    main(["prepare", *paths, "--size", "64", "--workers", "1"])
    data, copy = open_dataset(tmp_path / "3dshapes.h5", 64), open_dataset(tmp_path / "copy", 64)
    some = [0, 100, 287]
    assert np.array_equal(copy.images(some), data.images(some))
    for a, b in zip(factors_of(copy), factors_of(data), strict=True):
        assert np.array_equal(a, b)
    assert copy.fingerprint == data.fingerprint and copy.name == data.name


# ----------------------------------------------------------------------------------------------
# Refusals


@pytest.fixture
def refused(capsys):
    def check(path, *words):
        line = refusal(main, capsys, "check", path, "--size", "32")
        assert all(word in line for word in (str(path), *words)), line

    return check


def test_damaged_files_are_refused(refused, tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    shapes = factor_files.shapes3d(tmp_path / "3dshapes.h5")
    factor_files.cut(shapes)
    refused(shapes, "cannot be read")
    sprites = factor_files.dsprites(tmp_path / "sprites.npz")
    factor_files.broken_entry(sprites, "imgs.npy")
    refused(sprites, "download it again")
    monkeypatch.setattr(arrays, "SIZES", SMALL)
    toy = factor_files.mpi3d(tmp_path / "toy.npz", 288)
    factor_files.cut(toy)
    refused(toy, "no known format")
    cars = factor_files.cars3d(tmp_path / "cars")
    factor_files.cut(cars / "car_002_mesh.mat")
    refused(cars, "no array im")
    (cars / "car_007_mesh.mat").unlink()
    refused(cars, "car_007_mesh.mat is missing, which list.txt names")


def test_other_shapes_and_values_are_refused(refused, tmp_path):
    pytest.importorskip("h5py")
    places, shapes = factor_files.grid(*factor_files.SHAPES).astype(float), factor_files.shapes3d
    images = np.zeros((288, 32, 32, 3), np.uint8)
    refused(shapes(tmp_path / "a.h5", images=images), "not Shapes3D's")
    longer = np.zeros((289, 64, 64, 3), np.uint8)
    refused(
        shapes(tmp_path / "longer.h5", images=longer),
        "labels (288, 6) are not 289 x 6 finite",
    )
    texts = places.astype("S9")
    refused(shapes(tmp_path / "text.h5", labels=texts), "labels (288, 6) are not 288 x 6 finite")
    places[3, 2] = np.nan
    refused(shapes(tmp_path / "b.h5", labels=places), "are not 288 x 6 finite")
    places[3, 2] = places[0, 2] = 7.0
    refused(shapes(tmp_path / "c.h5", labels=places), "288 images are not all combinations of 3 x")
    narrow = np.zeros((144, 64, 0), np.uint8)
    refused(factor_files.dsprites(tmp_path / "i.npz", imgs=narrow), "not those of dSprites")
    large = np.zeros((144, 512, 512), np.uint8)
    refused(factor_files.dsprites(tmp_path / "j.npz", imgs=large), "not those of dSprites")
    white, classes = np.full((144, 64, 64), 255, np.uint8), np.zeros((144, 5), int)
    refused(factor_files.dsprites(tmp_path / "d.npz", imgs=white), "has 255, not 0 and 1")
    sprites = factor_files.dsprites(tmp_path / "e.npz", latents_classes=classes)
    refused(sprites, "not those of dSprites")
    refused(factor_files.mpi3d(tmp_path / "f.npz", 100), "not MPI3D's 1,036,800 or 460,800")
    (tmp_path / "two").mkdir()
    for name in ("g", "h"):
        factor_files.dsprites(tmp_path / "two" / f"{name}.npz")
    refused(tmp_path / "two", "several data sets: g.npz, h.npz")
    transposed = np.zeros((128, 128, 3, 4, 24), np.uint8)
    cars = factor_files.cars3d(tmp_path / "cars", car_002_mesh=transposed)
    refused(cars, "no array im (128, 128, 3, 24, 4)")
    np.savez(tmp_path / "codes.npz", codes=np.zeros((60, 4)))
    assert find_reader(tmp_path / "codes.npz").title != "known factors"


def test_bytes_of_another_file_are_refused(refused, tmp_path):
    """Each way in which HDF5 takes an array from another file, whose change no fingerprint would see."""
    h5py = pytest.importorskip("h5py")
    other = factor_files.shapes3d(
        tmp_path / "other.h5", images=np.zeros((288, 64, 64, 3), np.uint8)
    )
    shape = (288, 64, 64, 3)
    (tmp_path / "bytes").write_bytes(bytes(288 * 64 * 64 * 3))
    virtual = h5py.VirtualLayout(shape, "u1")
    virtual[:] = h5py.VirtualSource(str(other), "images", shape)
    for way in ("external", "soft", "storage", "virtual", "labels"):
        path = factor_files.shapes3d(tmp_path / f"{way}.h5")
        name = "labels" if way == "labels" else "images"
        with h5py.File(path, "a") as file:
            del file[name]
            file["away"] = h5py.ExternalLink(str(other), "/")
            if way == "soft":
                file["images"] = h5py.SoftLink("/away/images")
            elif way == "storage":
                parts = [(str(tmp_path / "bytes"), 0, 288 * 64 * 64 * 3)]
                file.create_dataset("images", shape, "u1", external=parts)
            elif way == "virtual":
                file.create_virtual_dataset("images", virtual)
            else:
                file[name] = h5py.ExternalLink(str(other), name)
        refused(path, f"{name} cannot be read (no array, or one of another file; copy its data")


def test_without_h5py_it_is_named(refused, tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    path = factor_files.shapes3d(tmp_path / "3dshapes.h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    refused(path, "needs a package; pip install 'h5py>=3.12'")

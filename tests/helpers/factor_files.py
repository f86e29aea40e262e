"""Small files in the layouts of data sets of known factors, and what they hold.

Every image is one grey or colour that tells its place in the file, so that a test can say which
image was read.
"""

import zipfile

import numpy as np
from scipy.io import savemat


def painted(n, *shape):
    """Images uint8 [n, *shape] of which each has its own first two values."""
    images = np.zeros((n, *shape), np.uint8)
    images.reshape(n, -1)[:, 0] = np.arange(n) % 256
    images.reshape(n, -1)[:, 1] = np.arange(n) // 256
    return images


def grid(*sizes):
    """All combinations [n, K] of places, the last factor the fastest."""
    return np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)


SHAPES = (3, 2, 2, 4, 2, 3)


def shapes3d(path, images=None, labels=None):
    import h5py

    places = grid(*SHAPES)
    values = (0.1 * places[:, :3], np.linspace(0.75, 1.25, 4)[places[:, 3:4]])
    values += (places[:, 4:5], np.linspace(-30, 30, 3)[places[:, 5:]])
    with h5py.File(path, "w") as file:
        pixels = painted(len(places), 64, 64, 3) if images is None else images
        file.create_dataset(
            "images", data=pixels, chunks=(1, *pixels.shape[1:]), compression="gzip"
        )
        file["labels"] = np.hstack(values).astype(float) if labels is None else labels
    return path


SPRITES = (1, 3, 2, 4, 2, 3)


def dsprites(path, compressed=True, **changed):
    """With the pickle that the public file holds, which nothing may open."""
    places = grid(*SPRITES)
    shown = (np.arange(64 * 64).reshape(1, 64, 64) < np.arange(len(places))[:, None, None]).astype(
        np.uint8
    )
    arrays = {"imgs": shown, "latents_classes": places, "latents_values": places * 0.5} | changed
    save = np.savez_compressed if compressed else np.savez
    save(path, **arrays, metadata=np.array({"date": "April 2017"}, dtype=object))
    return path


def mpi3d(path, n, compressed=False, **more):
    save = np.savez_compressed if compressed else np.savez
    save(path, images=painted(n, 64, 64, 3), **more)
    return path


CARS = ("car_007_mesh", "car_002_mesh")  # the order of list.txt, which is not that of the folder


def car(which):
    """`im`: its red tells the car, green the azimuth and blue the elevation."""
    im = np.zeros((128, 128, 3, 24, 4), np.uint8)
    im[:, :, 0] = 100 + which
    im[:, :, 1] = np.arange(24)[:, None]
    im[:, :, 2] = np.arange(4)
    return im


def cars3d(folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in CARS))
    for which, name in enumerate(CARS):
        savemat(folder / f"{name}.mat", {"im": changed.get(name, car(which))}, do_compression=True)
    return folder


def cut(path, share=0.5):
    """The same file, cut short."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def broken_entry(path, name):
    """The npz file with a byte of one array's content changed in its middle."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(name)
    content = bytearray(path.read_bytes())
    middle = entry.header_offset + 60 + entry.compress_size // 2
    content[middle : middle + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))

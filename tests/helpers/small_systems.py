"""Small systems whose numbers depend on everything that a system is given, and data for them."""

import hashlib
import shutil
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from colours import SquaredError, features
from metric_weights import write_onnx
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import weights
from benchmarks.metrics.networks.chosen import DISTANCES, FEATURES
from benchmarks.plugin import Code, Part, System
from diffae.data import Dataset
from diffae.data.portraits import PortraitDrawing, write_dataset
from diffae.diffusion import noise
from diffae.diffusion.scheme import find

SIDE, LARGER, POOL = 16, 24, 8
LABELS = ("Male", "Smiling")
COUNTS = {"train": 100, "valid": 16, "test": 44}  # of the images that `write_people` writes

# Sizes of a run of all benchmarks on few people, of which every one matters.
SMALL_SIZES = {
    "reconstruction.images": 12,
    "probes.train": 60,
    "probes.valid": 10,
    "probes.test": 30,
    "identity.images": 2,
    "edits.attributes": 1,
    "edits.pairs": 2,
    "edits.calibration": 1,
    "edits.directions": ("paper", "ridge"),
    "edits.classifier": 60,
    "interpolation.pairs": 6,
    "latent.images": 20,
    "latent.training": 30,
    "latent.moved": 10,
    "fewshot.reference": 80,
    "fewshot.pool": 40,
    "fewshot.samples": 6,
    "fewshot.seeds": 1,
    "fewshot.binary_k": 5,
    "fewshot.pu_positives": 5,
    "fewshot.pu_unlabeled": 20,
    "samples.count": 24,
    "unconditional.reference": 40,
    "memorisation.train": 50,
}


def write_people(out: Path) -> Path:
    """160 portraits of 24 px in CelebA's layout, four of each person, with two attributes."""
    for name, content in _people().items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    return out


@cache
def _people() -> dict[Path, bytes]:
    """Its files: drawing them takes a second, and many modules need them."""
    with TemporaryDirectory() as folder:
        out = _draw_people(Path(folder) / "portraits")
        files = (path for path in out.rglob("*") if path.is_file())
        return {path.relative_to(out): path.read_bytes() for path in files}


def _draw_people(out: Path) -> Path:
    write_dataset(out, sum(COUNTS.values()), LARGER, workers=1)
    table = out / "list_attr_celeba.txt"
    count, names, *rows = table.read_text().splitlines()
    kept = [names.split().index(name) + 1 for name in LABELS]
    lines = [" ".join(row.split()[column] for column in (0, *kept)) for row in rows]
    table.write_text("\n".join([count, " ".join(LABELS), *lines]) + "\n")
    return out


def with_truth(patch) -> None:
    """People whose attributes can be changed, as those that ship."""
    made = Dataset.__post_init__

    def known(self) -> None:
        made(self)
        object.__setattr__(self, "truth", PortraitDrawing(0, LARGER))

    patch.setattr(Dataset, "__post_init__", known)


def write_others(people: Path, out: Path) -> Path:
    """The same as `people`, upside down: other images under the same names."""
    shutil.copytree(people, out)
    for path in (out / "img_align_celeba").iterdir():
        Image.open(path).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(path)
    return out


def write_labels(people: Path, out: Path, split: str) -> Path:
    """The same as `people`, of whom every third of a split has the other labels."""
    shutil.copytree(people, out)
    table, numbers = out / "list_attr_celeba.txt", ("train", "valid", "test")
    splits = dict(map(str.split, (out / "list_eval_partition.txt").read_text().splitlines()))
    count, names, *rows = table.read_text().splitlines()
    for i, (name, *labels) in enumerate(row.split() for row in rows):
        if i % 3 == 0 and numbers[int(splits[name])] == split:
            rows[i] = " ".join([name, *(str(-int(label)) for label in labels)])
    table.write_text("\n".join([count, names, *rows]) + "\n")
    return out


def write_strangers(people: Path, out: Path) -> Path:
    """The same as `people`, each test image of a person of its own."""
    shutil.copytree(people, out)
    table = out / "identity_CelebA.txt"
    splits = dict(map(str.split, (out / "list_eval_partition.txt").read_text().splitlines()))
    rows = [row.split() for row in table.read_text().splitlines()]
    own = (f"1000{i}" if splits[name] == "2" else who for i, (name, who) in enumerate(rows))
    pairs = zip(rows, own, strict=True)
    table.write_text("".join(f"{name} {who}\n" for (name, _), who in pairs))
    return out


class Everything(System):
    """It can do all that a system can. Each solver and each T gives other images."""

    name, title = "everything", "Everything"
    capabilities = frozenset(
        "encode decode semantic stochastic sample sample_latents predict_x0".split()
    )
    image_size, semantic_dim, latent_dim = SIDE, 12, 12 + 3 * SIDE**2
    iterative, solver = True, find("ddim")

    def __init__(self, bias: float = 0.0):
        self.net = nn.Linear(12, 12)
        with torch.no_grad():
            self.net.weight.copy_(0.8 * torch.eye(12) + 0.02)
            self.net.bias.fill_(bias)
        self.fingerprint = f"everything {bias!r}"

    def solving(self, solver):
        found = Everything.__new__(Everything)
        vars(found).update(vars(self), solver=find(solver))
        return found

    def _shift(self, steps: int) -> float:
        return zlib.crc32(f"{self.solver} {steps}".encode()) / 2**34

    def _flat(self, semantic: Tensor, calls: int = 1) -> Tensor:
        for _ in range(calls):
            semantic = self.net(semantic)
        return F.interpolate(semantic.reshape(-1, 3, 2, 2), SIDE)

    def encode_semantic(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, POOL).flatten(1)

    def encode_stochastic(self, images, semantic, steps):
        return 8 * (images - self._flat(semantic)) * (1 - self._shift(steps))

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        flat = self._flat(code.semantic, steps)
        return (flat + (1 + flat) * code.x_T / 8 - self._shift(steps)).clamp(-1, 1)

    def sample_latents(self, indices, seed, steps):
        drawn = noise.normal(seed, "everything", indices, (12,))
        return (0.4 + self._shift(steps)) * drawn

    def predict_x0(self, images_noised, t, semantic):
        return (0.5 * images_noised + 0.5 * self._flat(semantic)).clamp(-1, 1)

    def networks(self):
        return {"decoder": self.net}


class Called(Everything):
    """It counts the images that its networks are given, once for each call that they take, and by T."""

    name = title = "called"
    calls: Counter[tuple[str, int | None]] = Counter()

    def solving(self, solver):
        found = super().solving(solver)
        found.__class__ = Called
        return found

    def encode_semantic(self, images):
        self.calls["encoder", None] += len(images)
        return super().encode_semantic(images)

    def encode_stochastic(self, images, semantic, steps):
        self.calls["decoder", steps] += len(images) * self.solver.encode_calls(steps)
        return super().encode_stochastic(images, semantic, steps)

    def decode(self, code, steps=100):
        self.calls["decoder", steps] += len(code.semantic) * self.solver.decode_calls(steps)
        return super().decode(code, steps)

    def sample_latents(self, indices, seed, steps):
        self.calls["latent", steps] += len(indices) * self.solver.decode_calls(steps)
        return super().sample_latents(indices, seed, steps)

    def predict_x0(self, images_noised, t, semantic):
        self.calls["decoder", None] += len(images_noised)
        return super().predict_x0(images_noised, t, semantic)


def called(path: object, device: object) -> Called:
    return Called()


class Plain(Everything):
    """Its code is a vector and nothing else; nothing is random."""

    name = title = "plain"
    capabilities = frozenset("encode decode semantic".split())
    latent_dim = 12

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return self._flat(code.semantic, steps).clamp(-1, 1)


class Tokens(System):
    """Every 4 x 4 pixels, averaged, become the nearest of ten colours; nothing is random."""

    name = title = "tokens"
    capabilities = frozenset("encode decode semantic".split())
    image_size, latent_dim = SIDE, 16
    semantic_parts = (Part.of_tokens((4, 4), 10),)
    fingerprint = "tokens"
    book = torch.rand(10, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def encode_ranked(self, images, ranks):
        means = F.avg_pool2d(images, 4).movedim(1, -1)
        order = torch.cdist(means.reshape(-1, 3), self.book).argsort(1)
        return order.gather(1, ranks.reshape(-1, 1)).reshape(ranks.shape)

    def encode_semantic(self, images):
        return self.encode_ranked(images, torch.zeros(len(images), 4, 4, dtype=torch.int64))

    def decode(self, code: Code, steps: int = 100):
        return F.interpolate(self.book[code.semantic].movedim(-1, 1), SIDE)


def networks_of_files(patch) -> None:
    """Networks that cost nothing, each of the bytes of its file, in place of the published ones."""

    def seen(path: Path) -> tuple[str, float]:
        content = path.read_bytes()
        return hashlib.sha256(content).hexdigest(), 1 + zlib.crc32(content) / 2**32

    def feature_network(path: Path, device: torch.device, *how: str):
        sha256, scale = seen(path)
        found = features()
        module = nn.Sequential(found.module, Times(scale))
        return replace(found, sha256=sha256, module=module, network="inception", metric_name="fid")

    def distance(network: str, metric_name: str):
        def of(path: Path, device: torch.device):
            sha256, scale = seen(path)
            return Scaled(metric_name, network, sha256=sha256, scale=scale)

        return of

    patch.setitem(FEATURES, "inception", feature_network)
    patch.setitem(DISTANCES, "alexnet", distance("alexnet", "lpips"))
    patch.setitem(DISTANCES, "vgg16", distance("vgg16", "lpips_vgg"))


class Times(nn.Module):
    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


@dataclass(frozen=True)
class Scaled(SquaredError):
    """The squared error times a number that is its weights."""

    sha256: str = ""
    scale: float = 1.0

    def __call__(self, a: Tensor, b: Tensor, *, clamped: bool = True) -> Tensor:
        return self.scale * super().__call__(a, b)

    def describe(self) -> dict[str, str]:
        return {"perceptual_network": self.network, "perceptual_sha256": self.sha256}


def write_weights(folder: Path, content: bytes) -> Path:
    """Files for `networks_of_files`, and a face network whose filters are of `content`."""
    folder.mkdir(exist_ok=True)
    for name in ("inception", "alexnet", "vgg16"):
        (folder / weights.KNOWN[name].files[-1].filename).write_bytes(name.encode() + content)
    write_onnx(folder / weights.KNOWN["arcface"].files[-1].filename, seed=content[0])
    return folder

"""`list`: benchmarks, suites, systems, data sets and profiles, one line each."""

from benchmarks import systems
from benchmarks.core import suites
from benchmarks.core.profiles import described
from benchmarks.core.registry import REGISTRY
from benchmarks.runtime.registry import Registry
from benchmarks.systems.shared.recognised import CONFIG, PACKAGED
from diffae.checkpoints.packaged import packaged_configs
from diffae.system import cli

FOR_TESTS = "dummy-"  # with which the names of systems begin that only tests use
DATASETS = {
    "portraits": "procedural portraits with 40 attributes and identities, drawn on first use (default)",
    "CelebA": "folder with img_align_celeba/, list_attr_celeba.txt, list_eval_partition.txt",
    "CelebA-HQ": "folder with CelebA-HQ-img/, CelebAMask-HQ-attribute-anno.txt, the mapping to CelebA",
    "FFHQ, LSUN": "folder or zip of images; or the LMDB files that DiffAE's authors publish",
    "LMDB": "folder with data.mdb, from DiffAE's authors; label files beside it are used",
    "Fashion-MNIST": "folder with IDX files, train-images-idx3-ubyte(.gz) and so on",
    "ImageNet": "folder with val/ or train/, which have class folders such as n01440764/",
    "COCO": "folder with val2017/",
    "parquet": "folder in the Hub's layout, what `datasets` saves, or one .parquet file",
    "WebDataset": "folder of .tar shards",
    "images": "any folder or zip of images, at any depth; no attributes, a seeded split",
}


def list_everything(arguments: list[str]) -> None:
    """Print benchmarks, suites, systems, packaged checkpoints, data sets and profiles, one line each."""
    cli.Parser(cli.prog("benchmarks.run list"), None).parse(arguments)
    _section("Benchmarks", _lines(REGISTRY))
    frozen = {suite.name: suite for suite in map(suites.read, suites.names())}
    lines = {name: f"{s.content['description']}; SHA-256 {s.sha256}" for name, s in frozen.items()}
    _section("Suites (frozen, one word)", lines)
    usable = _lines(systems.REGISTRY)
    shown = {name: line for name, line in usable.items() if not name.startswith(FOR_TESTS)}
    _section("Systems (--systems)", shown)
    _section(
        "Packaged checkpoints (--ckpt)",
        {name: f"{c.kind}, {c.image_size} px" for name, c in packaged_configs().items()},
    )
    _section(
        "Packaged small versions of other systems (--systems, without a --ckpt of theirs)", _small()
    )
    _section("Data (--data; look at it with python -m diffae.data check)", DATASETS)
    _section("Profiles (--profile)", described())


def _small() -> dict[str, str]:
    """Packaged checkpoints by the systems that read them.

    Two systems may share one network, as stylegan2-w and stylegan2-wplus do.
    """
    there = {path.parent.name for path in PACKAGED.glob(f"*/{CONFIG}")}
    names = [name for name in systems.REGISTRY.own if name.partition("-")[0] in there]
    return {name: "32 px, trained on the portraits (diffae-bench docs systems)" for name in names}


def _lines(registry: Registry) -> dict[str, str]:
    return {name: registry.describe(name) for name in registry.usable()}


def _section(title: str, entries: dict[str, str]) -> None:
    lines = [cli.printable(f"  {name:18}{text}") for name, text in entries.items()]
    print("\n".join([title, *lines]) + "\n")

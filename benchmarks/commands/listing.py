"""`list`: benchmarks, systems, data sets and profiles, a line each."""

from benchmarks import REGISTRY, systems
from benchmarks.core.profiles import PROFILES
from diffae import checkpoint, cli

DATASETS = {
    "portraits": "procedural portraits with 40 attributes and identities, drawn on first use (default)",
    "CelebA": "folder with img_align_celeba/, list_attr_celeba.txt, list_eval_partition.txt",
    "CelebA-HQ": "folder with CelebA-HQ-img/, CelebAMask-HQ-attribute-anno.txt, the mapping to CelebA",
    "FFHQ, LSUN": "folder or zip of images; or the LMDB files that DiffAE's authors publish",
    "LMDB": "folder with data.mdb, from DiffAE's authors; label files beside it are used",
    "Fashion-MNIST": "folder with IDX files, train-images-idx3-ubyte(.gz) and so on",
    "images": "any folder or zip of images, at any depth; no attributes, a seeded split",
}


def list_everything(arguments: list[str]) -> None:
    """Print benchmarks, systems, packaged checkpoints, data sets and profiles, a line each."""
    cli.Parser("python -m benchmarks.run list", None).parse(arguments)
    benchmarks = [REGISTRY.get(name) for name in REGISTRY.usable()]
    _section("Benchmarks", {b.name: f"{b.title} ({b.paper})" for b in benchmarks})
    _section("Systems (--systems)", {n: systems.describe(n) for n in systems.REGISTRY.usable()})
    configs = {n: checkpoint.open_checkpoint(n).config for n in checkpoint.packaged_names()}
    _section(
        "Packaged checkpoints (--ckpt)",
        {name: f"{config.kind}, {config.image_size} px" for name, config in configs.items()},
    )
    _section("Data (--data; look at it with python -m diffae.data check)", DATASETS)
    _section("Profiles (--profile)", {p.name: p.description for p in PROFILES.values()})


def _section(title: str, entries: dict[str, str]) -> None:
    lines = [cli.printable(f"  {name:18}{text}") for name, text in entries.items()]
    print("\n".join([title, *lines]) + "\n")

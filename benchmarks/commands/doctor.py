"""`list` and `doctor`: what there is, what is missing, and where it would go."""

from pathlib import Path

from benchmarks import REGISTRY, systems
from benchmarks.commands.options import Missing
from benchmarks.core.base import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.profiles import PROFILES
from benchmarks.core.store import default_root
from benchmarks.metrics import weights
from benchmarks.metrics.weights import NotAvailable
from benchmarks.systems.base import System
from diffae import checkpoint, cli
from diffae.errors import UserError

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


def examine(arguments: list[str]) -> None:
    """Print every metric weight: whether it is here and verified, else where it goes; and what follows."""
    parser = cli.Parser("python -m benchmarks.run doctor", None)
    parser.add_argument("--weights-dir", type=cli.path)
    folder = parser.parse(arguments).weights_dir
    if folder is not None and not folder.is_dir():
        raise UserError(f"--weights-dir {folder}: no such folder")
    print("\n".join(weights_report(folder)))
    print(f"packaged checkpoints: {', '.join(checkpoint.packaged_names()) or 'none'}")
    root = default_root()
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"store: {root} ({size / 1e6:.0f} MB; may be deleted, set DIFFAE_CACHE to move it)")


def weights_report(folder: Path | None) -> list[str]:
    """Every metric weight, and what the benchmarks will and will not report with those that are here."""
    lines = ["Metric weights (nothing is downloaded):"]
    for weight in weights.KNOWN.values():
        lines += [
            f"  {weight.name}: {weight.what_for}",
            f"    {_state(weight, folder)}",
            f"    published at {weight.published_at}",
            f"    SHA-256 {weight.sha256}",
            f"    licence: {weight.licence}",
        ]
    lines.append("Reported with what is here:")
    names = REGISTRY.usable()
    return lines + [f"  {name}: {_reported(REGISTRY.get(name), folder)}" for name in names]


def _state(weight: weights.Weight, folder: Path | None) -> str:
    path = weights.find(weight.name, folder)
    if path is None:
        places = f"{folder or 'the folder given by --weights-dir'}, or into {weights.hub_folder()}"
        return f"missing: put {weight.filename} ({weight.size_mb:g} MB) into {places}"
    if not path.is_file():
        return f"a folder where a file belongs: {path}"
    if weights.sha256(path) == weight.sha256:
        return f"verified: {path}"
    return f"another file than the published one: {path} (needs --allow-unknown-weights)"


def _reported(benchmark: Benchmark, folder: Path | None) -> str:
    """What a benchmark will report and, where weights are missing, what it will not."""
    seen, metrics = benchmark.seen, list(dict.fromkeys((*benchmark.metrics, *benchmark.infos)))
    if seen is None:
        return ", ".join(metrics) or "it does not say what"
    if weights.find(seen.weight, folder) is not None:
        return ", ".join([*metrics, seen.metric])
    return f"{', '.join([*metrics, seen.instead])}; not {seen.metric}: {seen.weight} is missing"


def seen_in_training(context: Context, loaded: list[System]) -> dict[str, str]:
    """Systems by title whose checkpoint was trained on test images of this run's data, and what to say of it."""
    return {
        system.title: f"evaluated on images that this checkpoint was trained on ({known.split} of {known.data})"
        for system in loaded
        if (known := system.trained_on) is not None and known.saw(context.dataset, "test")
    }


def announce(context: Context, loaded: list[System], missing: Missing) -> None:
    """Say on stderr, before anything is computed, what the run will and will not report."""
    say = [
        f"data: {context.dataset.name}, {len(context.dataset)} images, {context.dataset.image_size} px"
    ]
    say.append(f"partition: {context.dataset.partition_source}")
    say += [f"left out: {line}" for line in context.dataset.left_out]
    say.append(f"systems: {', '.join(system.title for system in loaded)}")
    say += [f"not run: {title}: {reason}" for title, reason in missing.items()]
    say += weights_report(context.weights_dir)
    say.append(f"perceptual distance: {context.perceptual.metric_name} ({context.perceptual.name})")
    say.append(f"Frechet distance: {context.features.metric_name} ({context.features.name})")
    try:
        say.append(f"identity: {context.face.metric_name} ({context.face.name})")
    except NotAvailable as reason:
        say.append(f"identity: not reported: {reason}")
    cli.say("\n".join(say))


def announce_images(context: Context, loaded: list[System]) -> None:
    """Say what only the content of all images tells: files of an odd kind, and models that have seen them."""
    note = context.dataset.survey.note
    say = [f"files: {note}"] if note else []
    say += [f"{title}: {text}" for title, text in seen_in_training(context, loaded).items()]
    if say:
        cli.say("\n".join(say))

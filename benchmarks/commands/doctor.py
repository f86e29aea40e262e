"""`doctor`: versions, the GPUs, which metric weights are here, where to put the others, and what can
be measured.
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from platform import platform, python_version

import torch
from torch.utils import collect_env

from benchmarks import weights
from benchmarks.commands.weights import listing
from benchmarks.core.benchmark import Benchmark
from benchmarks.core.registry import REGISTRY
from benchmarks.core.store import default_root
from benchmarks.metrics import METRICS
from diffae import __version__
from diffae.checkpoints.packaged import packaged_names
from diffae.system import cli
from reports.records.metrics import alternatives
from reports.records.reading import grouped


def examine(arguments: list[str]) -> None:
    """Print versions, the GPUs, the metric weights, and what the benchmarks can therefore report."""
    parser = cli.Parser(cli.prog("benchmarks.run doctor"), None)
    parser.add_argument("--weights-dir", type=cli.path, help="folder of metric weights")
    folder = parser.parse(arguments).weights_dir
    software = f"diffae-bench {__version__}, torch {version('torch')}, Python {python_version()}"
    print(f"{software}, {platform()}", *devices(), "", sep="\n")
    print("\n".join(weights_report(folder)))
    print(f"packaged checkpoints: {', '.join(packaged_names()) or 'none'}")
    root = default_root()
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"store: {root} ({size / 1e6:.0f} MB; may be deleted, set DIFFAE_CACHE to move it)")


def devices() -> Iterator[str]:
    """A line for each GPU with its capability and memory, and one of driver, CUDA and cuDNN."""
    if not torch.cuda.is_available():
        yield "no GPU that PyTorch finds"
        return
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        memory = f"{card.total_memory / 2**30:.1f} GiB"
        yield f"cuda:{index}: {card.name}, capability {card.major}.{card.minor}, {memory}"
    driver = collect_env.get_nvidia_driver_version(collect_env.run) or "not found"
    yield f"driver {driver}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def weights_report(folder: Path | None) -> list[str]:
    """The list of weights, and what the benchmarks will and will not report."""
    names = REGISTRY.usable()
    return [
        "`python -m benchmarks.run weights NAME...` fetches weights; or put a file of them into",
        f"{folder or 'the folder given by --weights-dir'} or into {weights.folder()}:",
        *listing(folder),
        "",
        "Reported with what is here:",
        *(f"  {name}: {_reported(REGISTRY.get(name), folder)}" for name in names),
    ]


def _reported(benchmark: Benchmark, folder: Path | None) -> str:
    """What a benchmark will report and, if weights are missing, what it will not."""
    shown = (metric for spec in benchmark.tables for metric in spec.metrics)
    metrics = list(dict.fromkeys((*shown, *benchmark.infos)))
    if not metrics:
        return "it does not say what"
    measurable = {metric: at_hand(metric, folder) for metric in metrics}
    text = ", ".join(name for names in measurable.values() for name in names)
    lasts = [names[-1] for names in measurable.values() if names]
    only = {METRICS[name].only_on for name in lasts if name in METRICS} - {""}
    text += "".join(f", on the data set {name} only" for name in only)
    lacking = (metric for metric, names in measurable.items() if metric not in names)
    missing = grouped(lacking, lambda metric: METRICS[metric].network)
    return text + "".join(
        f"; not {', '.join(metrics)}: {network} is missing" for network, metrics in missing.items()
    )


def at_hand(metric: str, folder: Path | None) -> list[str]:
    """`metric`, or its stand-in, depending on which weights are present; empty if neither can be
    measured.

    A stand-in for one data set only is followed by that for the others.
    """
    names = []
    for name in alternatives(metric):
        network = METRICS[name].network if name in METRICS else ""
        if network not in weights.KNOWN or weights.find(network, folder) is not None:
            names.append(name)
            if name not in METRICS or not METRICS[name].only_on:
                break
    return names

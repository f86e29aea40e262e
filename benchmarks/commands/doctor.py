"""`doctor`: which metric weights are present, which are missing, and where to put them."""

from pathlib import Path

from benchmarks import weights
from benchmarks.core.benchmark import Benchmark
from benchmarks.core.registry import REGISTRY
from benchmarks.core.store import default_root
from benchmarks.metrics import METRICS
from diffae.checkpoints.packaged import packaged_names
from diffae.system import cli
from reports.records.metrics import alternatives


def examine(arguments: list[str]) -> None:
    """Print for every metric weight whether it is present and verified, else where it belongs.

    The end lists what the benchmarks can therefore report.
    """
    parser = cli.Parser(cli.prog("benchmarks.run doctor"), None)
    parser.add_argument("--weights-dir", type=cli.path)
    folder = parser.parse(arguments).weights_dir
    print("\n".join(weights_report(folder)))
    print(f"packaged checkpoints: {', '.join(packaged_names()) or 'none'}")
    root = default_root()
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"store: {root} ({size / 1e6:.0f} MB; may be deleted, set DIFFAE_CACHE to move it)")


def weights_report(folder: Path | None) -> list[str]:
    """Every metric weight, and what the benchmarks will and will not report with those present."""
    lines = ["Metric weights (nothing is downloaded):"]
    for weight in weights.KNOWN.values():
        metrics = [name for name, metric in METRICS.items() if metric.network == weight.name]
        lines += [
            f"  {weight.name}: {weight.what_for}",
            f"    for {', '.join(metrics)}",
            f"    {_state(weight, folder)}",
            f"    published: {weight.published_at}",
            *(f"    SHA-256 of {file.filename}: {file.sha256}" for file in weight.files),
            f"    licence: {weight.licence}",
        ]
    lines.append("Reported with what is here:")
    names = REGISTRY.usable()
    return lines + [f"  {name}: {_reported(REGISTRY.get(name), folder)}" for name in names]


def _state(weight: weights.Weight, folder: Path | None) -> str:
    found = weights.find_file(weight.name, folder)
    if found is None:
        return f"missing: {weights.how_to_get(weight.name, folder)}"
    if not found.path.is_file():
        return f"a folder where a file belongs: {found.path}"
    if found.is_published:
        return f"verified: {found.path}"
    return f"not the published file: {found.path} (needs --allow-unknown-weights)"


def _reported(benchmark: Benchmark, folder: Path | None) -> str:
    """What a benchmark will report and, if weights are missing, what it will not."""
    shown = (metric for spec in benchmark.tables for metric in spec.metrics)
    metrics = list(dict.fromkeys((*shown, *benchmark.infos)))
    if not metrics:
        return "it does not say what"
    found = {metric: at_hand(metric, folder) for metric in metrics}
    text = ", ".join(name for name in found.values() if name)
    only = {METRICS[name].only_on for name in found.values() if name in METRICS} - {""}
    text += "".join(f", on the data set {name} only" for name in only)
    missing: dict[str, list[str]] = {}
    for metric, name in found.items():
        if name != metric:
            missing.setdefault(METRICS[metric].network, []).append(metric)
    return text + "".join(
        f"; not {', '.join(lacking)}: {network} is missing" for network, lacking in missing.items()
    )


def at_hand(metric: str, folder: Path | None) -> str:
    """`metric`, or its stand-in, depending on which weights are present.

    An empty string if neither can be measured.
    """
    for name in alternatives(metric):
        network = METRICS[name].network if name in METRICS else ""
        if network not in weights.KNOWN or weights.find(network, folder) is not None:
            return name
    return ""

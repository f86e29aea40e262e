"""The pretrained weights of metric networks: a list of them, or fetch some.

    python -m benchmarks.run weights                      every network, and whether it is here
    python -m benchmarks.run weights alexnet vgg16        fetch these, verify them, and keep them
    python -m benchmarks.run weights all                  all that have no terms of their own
    python -m benchmarks.run weights --from Downloads/    what is there already; nothing is downloaded

They are kept in $DIFFAE_CACHE/weights. $DIFFAE_WEIGHTS_MIRROR, an address or a folder that holds
the files under the names that are listed, is tried first. Proxies are those of the environment.
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import weights
from benchmarks.metrics import METRICS
from benchmarks.weights import Weight, fetch
from diffae.system import cli
from diffae.system.errors import UserError

ALL = "all"


def main(arguments: list[str]) -> None:
    """Print the list, or put weights into `weights.folder()`."""
    args = _parse(arguments)
    wanted = [weights.KNOWN[name] for name in dict.fromkeys(args.names) if name != ALL]
    if ALL in args.names:
        free = [weight for weight in weights.KNOWN.values() if _is_free(weight)]
        wanted += [weight for weight in free if weight not in wanted]
    if args.given is not None:
        _take(args.given, wanted)
    elif wanted:
        _fetch(wanted, args.accept_licence)
    else:
        print("\n".join(listing(None)))


def _parse(arguments: list[str]) -> Namespace:
    parser = cli.Parser(cli.prog("benchmarks.run weights"), __doc__)
    network = "network whose weights to fetch, or all that have no terms of their own"
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help=network)
    add = parser.add_mutually_exclusive_group().add_argument
    taken = "take the weights from a file, recognised by its content, or from the files in a folder"
    add("--from", dest="given", type=cli.path, metavar="FILE|FOLDER", help=taken)
    accept = "accept the terms of the networks that are named, which are printed"
    add("--accept-licence", action="store_true", help=accept)
    return parser.parse(arguments, intermixed=True)


def _known(name: str) -> str:
    if name not in weights.KNOWN and name != ALL:
        raise UserError(f"no network {name!r}{cli.did_you_mean(name, [*weights.KNOWN, ALL])}")
    return name


# ----------------------------------------------------------------------------------------------
# Fetching


def _is_free(weight: Weight) -> bool:
    return weight.is_fetched and not weight.terms


def _fetch(wanted: Sequence[Weight], accepted: bool) -> None:
    """Fetch one network after the other, unless it is here; one that fails does not stop the others."""
    errors = []
    with fetch.opened() as scratch:
        for weight in wanted:
            path = weights.find(weight.name, None)
            try:
                if path is None or not weights.is_published(path, [weight.name]):
                    _accept(weight, accepted)
                    path = fetch.fetch(weight, scratch)
            except UserError as error:
                errors.append(str(error))
            else:
                _print_verified(weight, path)
    if errors:
        raise UserError("; ".join(errors))


def _accept(weight: Weight, accepted: bool) -> None:
    """Print the terms of a network. Raises UserError if they are not accepted."""
    if not weight.terms:
        return
    cli.say(f"{weight.name}: {weight.terms}")
    if not accepted:
        raise UserError(
            f"{weight.name}: it has terms, printed above; accept them by --accept-licence"
        )


def _take(path: Path, wanted: Sequence[Weight]) -> None:
    """Take from a file or folder what is wanted, or all that is in it."""
    files = fetch.given(path)
    with fetch.opened():
        kept = {weight: fetch.take(files, weight) for weight in wanted or weights.KNOWN.values()}
    for weight, taken in kept.items():
        if taken is not None:
            _print_verified(weight, taken)
    missing = [weight.name for weight in wanted if kept[weight] is None]
    if missing or not any(kept.values()):
        names = ", ".join(missing) or "any network"
        raise UserError(f"--from {path}: no file of {names}, by its SHA-256, is there")


def _print_verified(weight: Weight, path: Path) -> None:
    print(f"{weight.name}: verified: {path}", flush=True)


# ----------------------------------------------------------------------------------------------
# The list


def listing(folder: Path | None) -> list[str]:
    """Every network with its files and their SHA-256; `folder` is searched for weights first."""
    lines = []
    for weight in weights.KNOWN.values():
        lines.append(f"{weight.name}: {_state(weight, weights.find(weight.name, folder))}")
        lines += [f"    {note}" for note in _notes(weight)]
    return lines


def _state(weight: Weight, path: Path | None) -> str:
    if path is None:
        return "not here"
    if weights.is_published(path, [weight.name]):
        return f"verified, here: {path}"
    return f"not the published file: {path} (needs --allow-unknown-weights)"


def _notes(weight: Weight) -> Iterator[str]:
    """What a network is, which metrics use it, its licence and terms, and its files."""
    yield weight.what_for
    names = [name for name, metric in METRICS.items() if metric.network == weight.name]
    if names:
        yield f"for {', '.join(names)}"
    yield f"licence: {weight.licence}"
    if weight.terms:
        yield f"{weight.terms} (--accept-licence)"
    yield f"from {weight.published_at}"
    for file in weight.files:
        yield f"{file.filename}, {file.size_mb} MB, SHA-256 {file.sha256 or 'not known'}"

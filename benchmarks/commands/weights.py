"""The pretrained weights of metric networks: a list of them, or fetch some.

    python -m benchmarks.run weights                      every network, and whether it is here
    python -m benchmarks.run weights alexnet vgg16        fetch these, verify them, and keep them
    python -m benchmarks.run weights all                  all that have no terms of their own
    python -m benchmarks.run weights --from Downloads/    what is there already; nothing is downloaded

They are kept in $DIFFAE_CACHE/weights. $DIFFAE_WEIGHTS_MIRROR, an address under which the files have
the names that are listed, is tried first. Proxies are those of the environment.
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
    wanted = list(dict.fromkeys(weight for networks in args.names for weight in networks))
    if args.given is not None:
        _take(args.given, wanted)
    elif wanted:
        _fetch(wanted, args.accept_licence)
    else:
        print("\n".join(listing(None)))


def _parse(arguments: list[str]) -> Namespace:
    parser = cli.Parser(cli.prog("benchmarks.run weights"), __doc__)
    network = "network whose weights to fetch, or all that have no terms of their own"
    parser.add_argument("names", nargs="*", type=_networks, metavar="NAME", help=network)
    add = parser.add_mutually_exclusive_group().add_argument
    taken = "take the weights from a file, recognised by its content, or from the files in a folder"
    add("--from", dest="given", type=cli.path, metavar="FILE|FOLDER", help=taken)
    accept = "accept the terms of the networks that are named, which are printed"
    add("--accept-licence", action="store_true", help=accept)
    return parser.parse(arguments, intermixed=True)


def _networks(name: str) -> list[Weight]:
    """The type of NAME: the networks that it stands for."""
    if name == ALL:
        return [kind for kind in weights.KNOWN.values() if kind.is_fetched and not kind.terms]
    if name not in weights.KNOWN:
        raise UserError(f"no network {name!r}{cli.did_you_mean(name, [*weights.KNOWN, ALL])}")
    return [weights.KNOWN[name]]


# ----------------------------------------------------------------------------------------------
# Fetching


def _fetch(wanted: Sequence[Weight], accepted: bool) -> None:
    """Fetch one network after the other; one that fails does not stop the others."""
    errors = []
    with fetch.opened() as scratch:
        for weight in wanted:
            try:
                _print_verified(weight, _published_file(weight, accepted, scratch))
            except UserError as error:
                errors.append(str(error))
    if errors:
        raise UserError("; ".join(errors))


def _published_file(weight: Weight, accepted: bool, scratch: Path) -> Path:
    """The file of a network that is here, or else its download.

    Terms of a network are printed. Raises UserError if they are not accepted.
    """
    path = weights.find(weight.name, None)
    if path is not None and weights.is_published(path, [weight.name]):
        return path
    if weight.terms:
        cli.say(f"{weight.name}: {weight.terms}")
        if not accepted:
            remedy = "accept them by --accept-licence"
            raise UserError(f"{weight.name}: it has terms, printed above; {remedy}")
    return fetch.fetch(weight, scratch)


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

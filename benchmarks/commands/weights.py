"""The pretrained weights of metric networks: a table of them, or fetch some.

    python -m benchmarks.run weights                      every network, and whether it is here
    python -m benchmarks.run weights alexnet vgg16        fetch these, verify them, and keep them
    python -m benchmarks.run weights all                  all that have no terms of their own
    python -m benchmarks.run weights --from Downloads/    what is there already; nothing is downloaded
    python -m benchmarks.run weights --check              compare networks with their golden values

They are kept in $DIFFAE_CACHE/weights. $DIFFAE_WEIGHTS_MIRROR, an address or a folder that holds
the files under the names that `doctor` prints, is tried first. Proxies are those of the
environment; pip has settings of its own.
"""

import textwrap
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import weights
from benchmarks.metrics import METRICS
from benchmarks.weights import Weight, fetch
from diffae.system import cli
from diffae.system.errors import UserError

ALL = "all"
WIDTH = 100  # characters of a line of the table
COLUMNS = "{:19}{:9}{:>9}  {:9}{}"
HOW = (
    "`python -m benchmarks.run weights NAME...` fetches; `... doctor` has the SHA-256 of every file"
)


def main(arguments: list[str]) -> None:
    """Print the table, or put weights into `weights.folder()`."""
    args = _parse(arguments)
    names = dict.fromkeys([*args.names, *args.accept_licence])
    wanted = [weights.KNOWN[name] for name in names if name != ALL]
    if args.check:
        _check_values(wanted)
    elif args.given is not None:
        _take(args.given, wanted)
    elif names:
        if ALL in names:
            free = [weight for weight in weights.KNOWN.values() if _is_free(weight)]
            wanted += [weight for weight in free if weight not in wanted]
        _fetch(wanted, args.accept_licence)
    else:
        print("\n".join([*table(None), "", HOW]))


def _parse(arguments: list[str]) -> Namespace:
    parser = cli.Parser(cli.prog("benchmarks.run weights"), __doc__)
    network = "network whose weights to fetch, or all that have no terms of their own"
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help=network)
    add = parser.add_mutually_exclusive_group().add_argument
    taken = "take the weights from a file, recognised by its content, or from the files in a folder"
    add("--from", dest="given", type=cli.path, metavar="FILE|FOLDER", help=taken)
    accept = "fetch the network NAME too, and accept its terms, which are printed; may be repeated"
    add("--accept-licence", action="append", default=[], type=_known, metavar="NAME", help=accept)
    compare = "compare what the networks that are here compute with known values (docs networks)"
    add("--check", action="store_true", help=compare)
    return parser.parse(arguments, intermixed=True)


def _known(name: str) -> str:
    if name not in weights.KNOWN and name != ALL:
        raise UserError(f"no network {name!r}{cli.did_you_mean(name, [*weights.KNOWN, ALL])}")
    return name


# ----------------------------------------------------------------------------------------------
# Fetching


def _is_free(weight: Weight) -> bool:
    return weight.is_fetched and not weight.terms


def _fetch(wanted: Sequence[Weight], accepted: Sequence[str]) -> None:
    """Fetch what is not here yet."""
    with fetch.opened() as scratch:

        def get(weight: Weight) -> Path:
            if weight.terms:
                cli.say(f"{weight.name}: {weight.terms}")
            if weight.terms and weight.name not in accepted:
                flag = f"--accept-licence {weight.name}"
                raise UserError(
                    f"{weight.name}: it has terms, printed above; accept them by {flag}"
                )
            return fetch.fetch(weight, scratch)

        _each(wanted, get)


def _take(path: Path, wanted: Sequence[Weight]) -> None:
    """Take from a file or folder what is not here yet: what is wanted, or all that is in it."""
    files = fetch.given(path)
    held = [weight for weight in weights.KNOWN.values() if fetch.held(files, weight)]
    if not held:
        raise UserError(f"--from {path}: no file of the table, by its SHA-256, is there")
    with fetch.opened():
        _each(wanted or held, lambda weight: fetch.take(files, weight))


def _each(wanted: Sequence[Weight], get: Callable[[Weight], Path]) -> None:
    """Get one network after the other; one that fails does not stop the others."""
    errors = []
    for weight in wanted:
        path = weights.find(weight.name, None)
        try:
            if path is None or not weights.is_published(path, [weight.name]):
                path = get(weight)
        except UserError as error:
            errors.append(str(error))
        else:
            print(f"{weight.name}: verified: {path}", flush=True)
    if errors:
        raise UserError("; ".join(errors))


# ----------------------------------------------------------------------------------------------
# Golden values


def _check_values(wanted: Sequence[Weight]) -> None:
    """Print the golden values of networks, or of all that are here, beside what their weights give.

    Raises UserError if one differs.
    """
    from benchmarks.metrics.networks import golden

    wrong = []
    for weight in wanted or weights.KNOWN.values():
        if not wanted and weights.find(weight.name, None) is None:
            continue
        for expected, value in golden.check(weight.name, None):
            holds = expected.holds(value)
            verdict = "as known" if holds else f"NOT the known {expected.value:g}"
            images = " and ".join(expected.pair)
            print(f"{weight.name}: {expected.kind} of {images}: {value:.6g}, {verdict}")
            if not holds:
                wrong.append(weight.name)
        print(f"{weight.name}: its SHA-256 is the published one")
    if wrong:
        names = ", ".join(dict.fromkeys(wrong))
        raise UserError(f"golden values do not hold: {names}; the lines above say which")


# ----------------------------------------------------------------------------------------------
# The table


def table(folder: Path | None) -> list[str]:
    """Every network, in lines of at most `WIDTH` characters except for long paths.

    `folder` is searched for weights first.
    """
    lines = [COLUMNS.format("network", "here", "size", "SHA-256", "licence")]
    for weight in weights.KNOWN.values():
        path, file = weights.find(weight.name, folder), weight.files[0]
        state, where = _state(weight, path)
        row = (f"{file.size_mb} MB", file.sha256[:8], weight.licence)
        lines.append(COLUMNS.format(weight.name, state, *row))
        for note in _notes(weight):
            lines += textwrap.wrap(f"    {note}", WIDTH, subsequent_indent="    ")
        if where:
            lines.append(f"    {where}")
    return lines


def _state(weight: Weight, path: Path | None) -> tuple[str, str]:
    """Whether the weights are here in a word, and a note on the file."""
    if path is None:
        return "no", ""
    if weights.is_published(path, [weight.name]):
        return "verified", f"here: {path}"
    return "differs", f"not the published file: {path} (needs --allow-unknown-weights)"


def _notes(weight: Weight) -> Iterator[str]:
    """What a network is, which metrics use it, where its weights come from, and their terms."""
    yield weight.what_for
    names = [name for name, metric in METRICS.items() if metric.network == weight.name]
    if names:
        yield f"for {', '.join(names)}"
    yield f"from {weight.published_at}"
    if weight.terms:
        yield f"{weight.terms} (--accept-licence {weight.name})"

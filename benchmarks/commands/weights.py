"""The pretrained weights of metric networks: a table of them, or fetch some.

    python -m benchmarks.run weights                      every network, and whether it is here
    python -m benchmarks.run weights alexnet vgg16        fetch these, verify them, and keep them
    python -m benchmarks.run weights all                  all but those whose terms are not accepted
    python -m benchmarks.run weights --from Downloads/    what is there already; nothing is downloaded
    python -m benchmarks.run weights --check              compare networks with their golden values

They are kept in $DIFFAE_CACHE/weights. $DIFFAE_WEIGHTS_MIRROR, an address or a folder that holds
the files under the names that `doctor` prints, is tried first. Proxies are those of the
environment; pip has settings of its own.
"""

import textwrap
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import weights
from benchmarks.metrics import METRICS
from benchmarks.weights import fetch
from diffae.system import cli
from diffae.system.errors import UserError

ALL = "all"
WIDTH = 100  # characters of a line of the table
HOW = (
    "`python -m benchmarks.run weights NAME...` fetches; `... doctor` has the SHA-256 of every file"
)
UNVERIFIABLE = "; never fetched, as no published SHA-256 is known"
INDENTED = textwrap.TextWrapper(
    WIDTH, "    ", "    ", break_long_words=False, break_on_hyphens=False
)
COLUMNS = "{:19}{:9}{:>9}  {:9}{}"


def main(arguments: list[str]) -> None:
    """Print the table, or put weights into `weights.folder()`."""
    args = _parse(arguments)
    if args.check:
        _check_values(args.names)
    elif args.given is not None:
        _take(args.given, args.names)
    elif args.names:
        _fetch(args.names, args.accept_licence)
    else:
        print("\n".join([*table(None), "", HOW]))


def _parse(arguments: list[str]) -> Namespace:
    parser = cli.Parser(cli.prog("benchmarks.run weights"), __doc__)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="network whose weights to fetch, or all")
    taken = "take the weights from a file, recognised by its content, or from the files in a folder"
    add("--from", dest="given", type=cli.path, metavar="FILE|FOLDER", help=taken)
    accept = "accept the terms of the network NAME, which are printed; may be repeated"
    add("--accept-licence", action="append", default=[], metavar="NAME", help=accept)
    compare = "compare what the networks that are here compute with known values (docs networks)"
    add("--check", action="store_true", help=compare)
    args = parser.parse(arguments, intermixed=True)
    _check(args)
    return args


def _check(args: Namespace) -> None:
    """Raise UserError for a name that is not in the table, or a consent that nothing needs."""
    for name in args.names:
        if name not in weights.KNOWN and name != ALL:
            raise UserError(f"no network {name!r}{cli.did_you_mean(name, [*weights.KNOWN, ALL])}")
    with_terms = [name for name, weight in weights.KNOWN.items() if weight.terms]
    for name in args.accept_licence:
        if name not in with_terms:
            near = cli.did_you_mean(name, with_terms)
            raise UserError(f"--accept-licence: no network {name!r} has terms to accept{near}")
        if name not in args.names and ALL not in args.names:
            raise UserError(f"--accept-licence {name}: also name {name} among those to fetch")
    if args.check and (args.given is not None or args.accept_licence):
        raise UserError("--check: fetches nothing; leave out --from and --accept-licence")


# ----------------------------------------------------------------------------------------------
# Fetching


def _fetch(names: Sequence[str], accepted: Sequence[str]) -> None:
    """Fetch what is not here yet."""
    missing = [name for name in _named(names) if not _is_here(name)]
    wanted = [name for name in missing if _is_wanted(name, accepted, explicit=name in names)]
    _each(wanted, lambda fetching, name: fetching.fetch(weights.KNOWN[name]))


def _named(names: Iterable[str]) -> list[str]:
    return list(weights.KNOWN) if ALL in names else list(dict.fromkeys(names))


def _is_here(name: str) -> bool:
    """Whether the weights are here, verified; then their path is printed."""
    found = weights.find_file(name, None)
    if found is None or not found.is_published:
        return False
    print(f"{name}: verified: {found.path}")
    return True


def _is_wanted(name: str, accepted: Sequence[str], explicit: bool) -> bool:
    """Whether to fetch it. If it is only part of `all`, it may be left out.

    Raises UserError for terms that are not accepted.
    """
    weight = weights.KNOWN[name]
    if weight.terms and name not in accepted:
        refused = f"{name}: {weight.terms} To accept this: --accept-licence {name}"
        if explicit:
            raise UserError(refused)
        cli.say(f"left out: {refused}")
        return False
    if not explicit and not any(fetch.sources_of(weight)):
        cli.say(f"left out: {name}: nothing to fetch it from ({weight.published_at})")
        return False
    return True


def _each(names: Sequence[str], get: Callable[[fetch.Fetching, str], Path]) -> None:
    """Get one network after the other; one that fails does not stop the others."""
    if not names:
        return
    failed = []
    with fetch.opened() as fetching:
        for name in names:
            if terms := weights.KNOWN[name].terms:
                cli.say(f"{name}: {terms}")
            try:
                print(f"{name}: verified: {get(fetching, name)}", flush=True)
            except UserError as error:
                if len(names) == 1:
                    raise
                cli.say(cli.printable(str(error)))
                failed.append(name)
    if failed:
        raise UserError(f"not here: {', '.join(failed)}; the lines above say why")


def _take(path: Path, names: Sequence[str]) -> None:
    """Take from a file or folder what is not here yet: all that is in it, unless `names` says what."""
    files = fetch.candidates(path)
    there = [name for name, weight in weights.KNOWN.items() if fetch.held(files, weight)]
    if not there and path.is_dir():
        raise UserError(f"--from {path}: no file in this folder is one of the table")
    if not there:
        large = path.stat().st_size > fetch.largest()
        seen = "it is larger than all" if large else f"its SHA-256 is {weights.sha256(path)}"
        raise UserError(f"--from {path}: not a file of the table ({seen})")
    wanted = there if not names or ALL in names else dict.fromkeys(names)
    missing = [name for name in wanted if not _is_here(name)]
    _each(missing, lambda fetching, name: fetch.take(fetching, weights.KNOWN[name], files))


# ----------------------------------------------------------------------------------------------
# Golden values


def _check_values(names: Sequence[str]) -> None:
    """Print the golden values of networks beside what their weights here give.

    Without `names`, of all that are here. Raises UserError if one differs.
    """
    from benchmarks.metrics.networks import golden

    named = _named(names) if names and ALL not in names else []
    here = [name for name in weights.KNOWN if weights.find(name, None) is not None]
    wrong = []
    for name in named or here:
        found = list(golden.check(name, None))
        for known, value in found:
            says = "as known" if known.holds(value) else f"NOT the known {known.value:g}"
            print(f"{name}: {known.kind} of {' and '.join(known.pair)}: {value:.6g}, {says}")
        if not found:
            print(f"{name}: no golden value is known; its SHA-256 is the published one")
        wrong += [name] * (not all(known.holds(value) for known, value in found))
    if wrong:
        raise UserError(f"golden values do not hold: {', '.join(wrong)}; the lines above say which")


# ----------------------------------------------------------------------------------------------
# The table


def table(folder: Path | None) -> list[str]:
    """Every network, in lines of at most `WIDTH` characters except for long paths.

    `folder` is searched for weights first.
    """
    lines = [COLUMNS.format("network", "here", "size", "SHA-256", "licence")]
    for weight in weights.KNOWN.values():
        found = weights.find_file(weight.name, folder)
        file = found.file if found else weight.files[0]
        short = file.sha256[:8] or "unknown"
        row = (weight.name, _state(found), f"{file.size_mb} MB", short, weight.licence)
        notes = [line for note in _notes(weight) for line in INDENTED.wrap(note)]
        lines += [COLUMNS.format(*row), *notes, *([f"    {_where(found)}"] if found else [])]
    return lines


def _state(found: weights.Found | None) -> str:
    if found is None:
        return "no"
    return "verified" if found.is_published else "differs"


def _notes(weight: weights.Weight) -> Iterator[str]:
    """What a network is, which metrics use it, where its weights come from, and their terms."""
    yield weight.what_for
    if names := [name for name, metric in METRICS.items() if metric.network == weight.name]:
        yield f"for {', '.join(names)}"
    yield f"from {weight.published_at}{'' if weight.verifiable else UNVERIFIABLE}"
    if weight.terms:
        yield f"{weight.terms} (--accept-licence {weight.name})"


def _where(found: weights.Found) -> str:
    if found.is_published:
        return f"here: {found.path}"
    if found.path.is_file():
        return f"not the published file: {found.path} (needs --allow-unknown-weights)"
    return f"a folder where a file belongs: {found.path}"

"""Measure metrics between two folders of images.

    python -m benchmarks.measure fid real/ samples/
    python -m benchmarks.measure fid real.npz samples/          statistics that others saved
    python -m benchmarks.measure fid real/ --save real.npz      save statistics for later
    python -m benchmarks.measure kid,fid real/ samples/      both from one pass over the images
    python -m benchmarks.measure kid real/ samples/ --subsets 100x1000     as torch-fidelity
    python -m benchmarks.measure precision,recall real/ samples/
    python -m benchmarks.measure cmmd real/ samples/
    python -m benchmarks.measure ssim,ms_ssim originals/ reconstructions/
    python -m benchmarks.measure psnr,ssim originals/ reconstructions/ --protocol llamagen,maskbit
    python -m benchmarks.measure --explain originals/ reconstructions/ --out explained
    python -m benchmarks.measure --which psnr=27.43,ssim=0.912 originals/ reconstructions/
    python -m benchmarks.measure ssim,lpips,mse,fid runs/RUN/images/inputs runs/RUN/images/diffae     several at once
    python -m benchmarks.measure auroc,tad codes.npz labels.csv     numbers of codes
    python -m benchmarks.measure tad codes.npz labels.csv --protocol infodiffusion
    python -m benchmarks.measure --explain codes.npz labels.csv --out explained

Frechet distances, as fid, kernel distances, as kid, CMMD, and precision, recall, density and
coverage compare two sets; A is the reference. The others compare pairs: files of the same name,
whatever their suffix, and the mean over them is printed. Images are folders, or npz files as ADM's
(`arr_0`), whose pairs are in order. Numbers of codes take CODES, .npz (`codes` [n, d]) or .npy, and
LABELS, .npz (`labels` [n, K], `names`) or CSV, or those in CODES (`diffae-bench docs codes`). The last line on stdout is METRIC VALUE; the lines
before say how it was measured, and the standard error where there is one: that of the draw of both
sets, or of the mean over pairs. Several metrics are printed one after the other, in the given
order. A metric whose weights are missing is never replaced by another: it gives a line on stderr
and exit status 2, and the others are printed.
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from benchmarks.measuring.asked import Asked
from benchmarks.measuring.by_protocol import EXPLAIN, explain_pairs, measure_by, write
from benchmarks.measuring.codes import are_codes, explain_codes, measure_codes
from benchmarks.measuring.images import NAMES, measure_pairs
from benchmarks.measuring.sets import MOMENTS, by_network, measure_sets
from benchmarks.measuring.which import printed, which_pairs
from benchmarks.metrics.codes.table import NUMBERS
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.sets.frechet import is_statistics
from benchmarks.runtime.choices import add_options, given
from benchmarks.runtime.precision import full_precision
from diffae.system import cli
from diffae.system.allocation import keep_freed_memory
from diffae.system.errors import UserError
from diffae.system.files import OutputPath, refuse_outputs
from reports.page import protocols
from reports.records import metrics
from reports.records.metrics import comparing, published_name
from reports.tables.output import made_before

SETS = comparing(metrics.SETS)
PAIRS = (*comparing(metrics.PAIRS), *NAMES)


def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse(arguments, intermixed=True)
    if args.explain and args.which:
        raise UserError("--which: not with --explain")
    if args.out is not None and not args.explain:
        raise UserError("--out: for --explain only")
    if args.of is not None and not args.which:
        raise UserError("--of: for --which only")
    if args.explain or args.which:
        (_explain if args.explain else _which)(args)
        return
    if args.a is None:
        raise UserError("give METRIC, A and B")
    names = list(dict.fromkeys(args.metric.split(",")))
    if unknown := [name for name in names if name not in (*SETS, *PAIRS, *NUMBERS)]:
        near = cli.did_you_mean(unknown[0], (*SETS, *PAIRS, *NUMBERS))
        raise UserError(f"unknown metric {unknown[0]!r}{near}")
    asked = Asked(args.a, args.b, **given(args, Asked))
    sets, pairs, codes = ([x for x in names if x in kind] for kind in (SETS, PAIRS, NUMBERS))
    if codes and (sets or pairs):
        raise UserError(f"{codes[0]} is of codes, {(*sets, *pairs)[0]} of images: ask for one kind")
    _refuse_others(asked, codes)
    if asked.save is not None:
        _refuse_save(sets, pairs)
    if asked.subsets is not None and "kid" not in map(published_name, names):
        raise UserError(f"--subsets: {args.metric} is no kernel distance")
    if asked.protocol and (asked.save is not None or asked.subsets is not None):
        raise UserError("--protocol: not with --save or --subsets")
    if asked.limit is not None and sets and not asked.protocol:
        raise UserError(f"--limit: {sets[0]} compares sets; it is for metrics of pairs")
    if asked.b is None and asked.save is None and not codes:
        raise UserError(f"{args.metric} needs two folders, A and B")
    refuse_outputs([OutputPath("--save", asked.save, is_statistics)], (asked.a, asked.b))
    with full_precision():
        found, refused = _measured(sets, pairs, codes, asked)
    if found:
        print("\n".join(line for name in names for line in found.get(name, [])), flush=True)
    for reason in refused[:-1]:
        cli.say(f"error: {reason}")
    if refused:
        raise UserError(refused[-1])


def _measured(
    sets: Sequence[str], pairs: Sequence[str], codes: Sequence[str], asked: Asked
) -> tuple[dict[str, list[str]], list[str]]:
    """The lines of each metric that can be measured, and for the others the reason why they cannot."""
    found: dict[str, list[str]] = {}
    refused: list[str] = []

    @contextmanager
    def noting(*names: str) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            refused.append(f"{', '.join(names)}: {error}")

    if codes:
        return measure_codes(codes, asked, noting), refused
    if asked.protocol:
        every = list(map(schema.named, schema.asked(asked.protocol, False)))
        for name, protocol in product((*sets, *pairs), every):
            with noting(name):
                found[name] = [*found.get(name, []), *measure_by(protocol, name, asked)]
        return found, refused
    if pairs:
        lines, reasons = measure_pairs(pairs, asked)
        found |= lines
        refused += reasons
    for names in by_network(sets):
        with noting(*names):
            found |= measure_sets(names, asked, noting)
    return found, refused


def _folders(args: Namespace, flag: str) -> Asked:
    """A and B of a flag in place of METRIC, the first two arguments."""
    asked = Asked(Path(args.metric), args.a, **given(args, Asked))
    both = args.a is not None or (flag == "--explain" and are_codes(asked.a))
    if not (args.metric and both) or args.b is not None or args.save or args.subsets:
        raise UserError(f"{flag}: takes A and B, and neither METRIC, --save nor --subsets")
    return asked


def _explain(args: Namespace) -> None:
    """`--explain A B`: of folders, or of codes and their labels."""
    asked = _folders(args, "--explain")
    of_codes = are_codes(asked.a)
    refuse_outputs([OutputPath("--out", args.out, Path.is_dir)], (asked.a, asked.b))
    if args.out is not None:
        made_before(args.out, EXPLAIN)  # anything else is refused before the work
    _refuse_others(asked, of_codes)
    keep_freed_memory()
    with full_precision():
        found = explain_codes(asked) if of_codes else explain_pairs(asked)
    print("\n".join([*found.lines, protocols.text(found.sections)]), flush=True)
    if args.out is not None:
        for path in write(args.out, found):
            print(path)


def _which(args: Namespace) -> None:
    """`--which NUMBERS A B`."""
    asked = _folders(args, "--which")
    if asked.limit is not None and args.of is None:
        raise UserError("--limit: a sample has other numbers; add --of M, how many images had them")
    _refuse_others(asked, False)
    keep_freed_memory()
    with full_precision():
        print("\n".join(which_pairs(asked, args.which, args.of)), flush=True)


def _refuse_others(asked: Asked, of_codes: object) -> None:
    """Raises UserError for an option of images with numbers of codes, or the reverse."""
    of_images = {"--save": asked.save, "--subsets": asked.subsets, "--limit": asked.limit}
    for flag, value in (of_images if of_codes else {"--seed": asked.seed}).items():
        if value is not None:
            raise UserError(f"{flag}: not of {'numbers of codes' if of_codes else 'images'}")


def _refuse_save(sets: Sequence[str], pairs: Sequence[str]) -> None:
    """Raises UserError if the metrics are not one that statistics are enough for."""
    if others := [*pairs, *(name for name in sets if published_name(name) != MOMENTS)]:
        raise UserError(f"--save: {others[0]} has no statistics; Frechet distances have")
    if len(sets) > 1:
        raise UserError("--save: takes one metric")


def _parser() -> cli.Parser:
    parser = cli.Parser(cli.prog("benchmarks.measure"), __doc__)
    add = parser.add_argument
    names = f"{', '.join((*SETS, *PAIRS))}; of codes: {', '.join(NUMBERS)}"
    add("metric", metavar="METRIC[,METRIC...]", help=names)
    a = "folder of images or npz file with arr_0; for Frechet distances also statistics (.npz); or CODES"
    add("a", metavar="A", type=cli.path, nargs="?", help=a)
    add("b", metavar="B", type=cli.path, nargs="?", help="the folder to compare with, or LABELS")
    explain = "A and B by every protocol, and why the numbers differ (in place of METRIC)"
    add("--explain", action="store_true", help=explain)
    which = "protocols by which A and B have printed numbers: psnr=27.43,ssim=0.912 (for METRIC)"
    add("--which", type=cli.argument(printed), metavar="METRIC=NUMBER,...", help=which)
    of = "of --which: the numbers are printed for M other images"
    add("--of", type=cli.between(2), metavar="M", help=of)
    out = "of --explain: keep it as page, picture, tables"
    add("--out", type=cli.path, metavar="DIR", help=out)
    add_options(parser, Asked)
    return parser


if __name__ == "__main__":
    cli.run(main)

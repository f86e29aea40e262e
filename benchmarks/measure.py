"""Measure metrics between two folders of images.

    python -m benchmarks.measure fid real/ samples/
    python -m benchmarks.measure fid real.npz samples/          statistics that others saved
    python -m benchmarks.measure fid real/ --save real.npz      save statistics for later
    python -m benchmarks.measure kid,fid real/ samples/      both from one pass over the images
    python -m benchmarks.measure kid real/ samples/ --subsets 100x1000     as torch-fidelity
    python -m benchmarks.measure rkid,rfid originals/ reconstructions/
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
coverage compare two sets; A is the reference. With an r before the name, as rfid and rkid, the
distances are those of originals A and their reconstructions B, as in Table 1. These and the others
compare pairs: files of the same name, whatever their suffix. For the others, the mean over pairs is
printed. Images are folders, or npz files as ADM's
(`arr_0`), whose pairs are in order. Numbers of codes take CODES, .npz (`codes` [n, d]) or .npy, and
LABELS, .npz (`labels` [n, K], `names`) or CSV, or those in CODES (`diffae-bench docs codes`). The last line on stdout is METRIC VALUE; the lines
before say how it was measured, and the standard error where there is one: that of the draw of both
sets, or of the mean over pairs. Several metrics are printed one after the other, in the given
order. A metric whose weights are missing is never replaced by another: it gives a line on stderr
and exit status 2, and the others are printed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measuring.by_protocol import EXPLAIN, explain_pairs, measure_by_protocols, write
from benchmarks.measuring.codes import are_codes, explain_codes, measure_codes
from benchmarks.measuring.images import NAMES, measure_pairs
from benchmarks.measuring.request import Answer, Numbers, Request
from benchmarks.measuring.sets import MOMENTS, PAIRED, measure_sets
from benchmarks.measuring.which import which_pairs
from benchmarks.metrics.codes.table import NUMBERS as CODES
from benchmarks.metrics.groups import metrics_of
from benchmarks.metrics.sets.frechet import is_statistics
from benchmarks.runtime.precision import full_precision
from diffae.system import cli
from diffae.system.allocation import keep_freed_memory
from diffae.system.errors import UserError
from diffae.system.files import OutputPath, refuse_outputs
from diffae.system.settings import add_options
from reports.page import protocols
from reports.records.metrics import published_name
from reports.tables.output import made_before

SETS = metrics_of("features of two sets")
OF_DECODED = tuple(m for m in metrics_of("features of pairs") if published_name(m) in PAIRED)
PAIRS = (*metrics_of("pairs of images"), *NAMES)
NAMED = (*SETS, *OF_DECODED, *PAIRS, *CODES)


def main(arguments: list[str] | None = None) -> None:
    metrics, request = _read(arguments)
    if request.explain:
        _explain(request)
    elif request.which:
        _which(request, request.which)
    else:
        _measure(metrics, request)


def _read(arguments: list[str] | None) -> tuple[list[str], Request]:
    """The metrics, and the request. A flag in place of METRIC has A and B in the first two arguments."""
    values = vars(_parser().parse(arguments, intermixed=True))
    metric, a, b = (values.pop(name) for name in ("metric", "a", "b"))
    flags = [f"--{name}" for name in ("explain", "which") if values.get(name)]
    request = Request(Path(metric), a, **values) if flags else Request(a, b, **values)
    _refuse_first(_misplaced_flags(request, a is None and not flags))
    both = a is not None or (request.explain and are_codes(request.a))
    if flags and (not (metric and both) or b is not None or request.save or request.subsets):
        raise UserError(f"{flags[0]}: takes A and B, and neither METRIC, --save nor --subsets")
    return list(dict.fromkeys(metric.split(","))), request


def _measure(metrics: Sequence[str], request: Request) -> None:
    """`METRIC A B`: print the lines of each metric, then raise UserError for those that have none."""
    _refuse_first(_refusals(metrics, request))
    refuse_outputs([OutputPath("--save", request.save, is_statistics)], (request.a, request.b))
    with full_precision():
        answers = list(_answers(metrics, request))
    measured = [answer for answer in answers if answer.lines]
    for answer in sorted(measured, key=lambda answer: metrics.index(answer.metric)):
        print("\n".join(answer.lines), flush=True)
    refusals = [answer.refusal for answer in answers if answer.refusal]
    for reason in refusals[:-1]:
        cli.say(f"error: {reason}")
    if refusals:
        raise UserError(refusals[-1])


def _answers(metrics: Sequence[str], request: Request) -> Iterator[Answer]:
    """The answers on metrics, family by family, each with the inputs that its groups need."""
    sets, pairs, codes = _families(metrics)
    if codes:
        yield from measure_codes(codes, request)
    elif request.protocol:
        yield from measure_by_protocols([*sets, *pairs], request)
    else:
        yield from measure_pairs(pairs, request)
        yield from measure_sets(sets, request)


def _families(metrics: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The metrics of sets of images, of pairs of images, and of codes."""
    families = (*SETS, *OF_DECODED), PAIRS, CODES
    sets, pairs, codes = ([m for m in metrics if m in family] for family in families)
    return sets, pairs, codes


# ----------------------------------------------------------------------------------------------
# --explain and --which


def _explain(request: Request) -> None:
    """`--explain A B`: of folders, or of codes and their labels."""
    of_codes, out = are_codes(request.a), request.out
    refuse_outputs([OutputPath("--out", out, Path.is_dir)], (request.a, request.b))
    if out is not None:
        made_before(out, EXPLAIN)  # anything else is refused before the work
    _refuse_first(_options_of_others(request, of_codes))
    keep_freed_memory()
    with full_precision():
        explanation = explain_codes(request) if of_codes else explain_pairs(request)
    print("\n".join([*explanation.lines, protocols.text(explanation.sections)]), flush=True)
    if out is not None:
        for path in write(out, explanation):
            print(path)


def _which(request: Request, numbers: Numbers) -> None:
    """`--which NUMBERS A B`."""
    if request.limit is not None and request.of is None:
        raise UserError("--limit: a sample has other numbers; add --of M, how many images had them")
    _refuse_first(_options_of_others(request, of_codes=False))
    keep_freed_memory()
    with full_precision():
        print("\n".join(which_pairs(request, numbers)), flush=True)


# ----------------------------------------------------------------------------------------------
# What is refused before anything is measured


def _refuse_first(reasons: Iterator[str]) -> None:
    """Raise UserError with the first reason, if there is one."""
    reason = next(reasons, None)
    if reason is not None:
        raise UserError(reason)


def _misplaced_flags(request: Request, lacks_images: bool) -> Iterator[str]:
    """Why the flags and arguments do not go together."""
    if request.explain and request.which:
        yield "--which: not with --explain"
    if request.out is not None and not request.explain:
        yield "--out: for --explain only"
    if request.of is not None and not request.which:
        yield "--of: for --which only"
    if lacks_images:
        yield "give METRIC, A and B"


def _refusals(metrics: Sequence[str], request: Request) -> Iterator[str]:
    """Why metrics cannot be measured with these options."""
    for unknown in (name for name in metrics if name not in NAMED):
        yield f"unknown metric {unknown!r}{cli.did_you_mean(unknown, NAMED)}"
    sets, pairs, codes = _families(metrics)
    together, published = ",".join(metrics), [published_name(name) for name in metrics]
    if codes and (sets or pairs):
        yield f"{codes[0]} is of codes, {[*sets, *pairs][0]} of images: ask for one kind"
    yield from _options_of_others(request, bool(codes))
    if request.save is not None:
        for metric in [*pairs, *sets]:
            if published_name(metric) != MOMENTS:
                yield f"--save: {metric} has no statistics; Frechet distances have"
        if len(sets) > 1:
            yield "--save: takes one metric"
    if request.subsets is not None and "kid" not in published:
        yield f"--subsets: {together} is no kernel distance of two sets"
    if request.subsets is not None and "rkid" in published:
        paired = metrics[published.index("rkid")]
        yield f"--subsets: not of {paired}, which is over all pairs of different images"
    if request.protocol and (request.save is not None or request.subsets is not None):
        yield "--protocol: not with --save or --subsets"
    if request.b is None and request.save is None and not codes:
        yield f"{together} needs two folders, A and B"


def _options_of_others(request: Request, of_codes: bool) -> Iterator[str]:
    """Options of images that are given with metrics of codes, or the reverse."""
    of_images = {"--save": request.save, "--subsets": request.subsets, "--limit": request.limit}
    for flag, value in (of_images if of_codes else {"--seed": request.seed}).items():
        if value is not None:
            yield f"{flag}: not of {'numbers of codes' if of_codes else 'images'}"


def _parser() -> cli.Parser:
    parser = cli.Parser(cli.prog("benchmarks.measure"), __doc__)
    add = parser.add_argument
    names = f"{', '.join((*SETS, *OF_DECODED, *PAIRS))}; of codes: {', '.join(CODES)}"
    add("metric", metavar="METRIC[,METRIC...]", help=names)
    a = "folder of images or npz file with arr_0; for Frechet distances also statistics (.npz); or CODES"
    add("a", metavar="A", type=cli.path, nargs="?", help=a)
    add("b", metavar="B", type=cli.path, nargs="?", help="the folder to compare with, or LABELS")
    add_options(parser, Request)
    return parser


if __name__ == "__main__":
    cli.run(main)

"""The evaluations of a training over images seen, as a page that stands alone.

python -m diffae.train PRESET --evaluate-every N --out DIR      makes them
python -m reports.training DIR --out training.html             draws them, also while the training goes on
"""

from diffae.system.cli import Parser, path, prog, run
from diffae.system.files import Target, begins, refuse_outputs, writing
from diffae.system.whole import write_whole


def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse(arguments)
    from reports.trend.page import evaluations, render_training, runs_in  # which needs Matplotlib

    ours = begins(b"<!DOCTYPE html>", b"diffae-bench training")
    refuse_outputs([Target("--out", args.out, ours)], runs_in(args.folder))
    page = render_training(args.folder.resolve().name, evaluations(args.folder))
    with writing(args.out, "or choose another --out"):
        write_whole(args.out, page.encode())
    print(args.out)


def _parser() -> Parser:
    parser = Parser(prog("reports.training"), __doc__)
    parser.add_argument("folder", type=path, metavar="DIR", help="the folder of a training")
    parser.add_argument("--out", type=path, required=True, metavar="FILE", help="the page to write")
    return parser


if __name__ == "__main__":
    run(main)

"""The evaluations of a training over images seen, as a page that stands alone.

python -m diffae.train PRESET --evaluate-every N --out DIR      makes them
python -m reports.training DIR --out training.html             draws them, also while the training goes on
"""

import argparse
import sys

from diffae.cli import prog
from diffae.errors import UserError
from diffae.files import Target, begins, refuse_outputs
from reports.command import Parser, path, refuse
from reports.reading import Refused

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        return _draw(args)
    except (Refused, UserError) as reason:
        return refuse(str(reason))
    except OSError as error:
        return refuse(f"{error.filename or args.out}: {error.strerror or error}")
    except KeyboardInterrupt:
        return INTERRUPTED


def _draw(args: argparse.Namespace) -> int:
    from reports.trend.training import evaluations, render, runs_in  # which needs Matplotlib
    from reports.writing import write_whole

    ours = begins(b"<!DOCTYPE html>", b"diffae-bench training")
    refuse_outputs([Target("--out", args.out, ours)], runs_in(args.folder))
    page = render(args.folder.resolve().name, evaluations(args.folder))
    write_whole(args.out, page.encode())
    print(args.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog("reports.training"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=path, metavar="DIR", help="the folder of a training")
    parser.add_argument("--out", type=path, required=True, metavar="FILE", help="the page to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())

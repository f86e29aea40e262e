"""Data sets that the package can make.

python -m diffae.data portraits --out DIR --count N --size 64
"""

import os
from pathlib import Path

from diffae import cli
from diffae.data.portraits import write_dataset
from diffae.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    parser = cli.Parser("python -m diffae.data", __doc__)
    parser.add_argument("what", help="portraits")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write, in CelebA's layout"
    )
    parser.add_argument("--count", type=cli.positive, required=True, help="number of pictures")
    parser.add_argument("--size", type=cli.positive, default=64, help="pixels a side (default: 64)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=cli.positive, default=os.cpu_count())
    args = parser.parse(arguments)
    if args.what != "portraits":
        raise UserError(
            f"unknown data set {args.what!r}{cli.did_you_mean(args.what, ['portraits'])}"
        )
    write_dataset(args.out, args.count, args.size, args.seed, args.workers)
    print(args.out)


if __name__ == "__main__":
    cli.run(main)

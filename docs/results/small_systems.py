"""What the small versions of other systems cost: the table of docs/systems.md, of the files that ship.

python docs/results/small_systems.py            prints it
python docs/results/small_systems.py --write    puts it into docs/systems.md
"""

import argparse
import json
from pathlib import Path

from safetensors import safe_open
from tabulate import tabulate

from benchmarks import systems
from benchmarks.systems.files import folder

PAGE = Path(__file__).parents[1] / "systems.md"
BEGIN, END = "<!-- small systems -->\n", "<!-- end -->"
NAMES = {
    "vqgan": ("vqgan",),
    "vqvae2": ("vqvae2",),
    "nvae": ("nvae",),
    "stylegan2": ("stylegan2-w", "stylegan2-wplus"),
    "d2c": ("d2c",),
}


def table() -> str:
    rows = []
    for name, registered in NAMES.items():
        found = folder.packaged(name)
        if found is None:
            rows.append([name, "does not ship", "", "", "", ""])
            continue
        stages = json.loads((found / "training.json").read_text())["stages"]
        rows.append(
            [
                ", ".join(systems.load(one).title for one in registered),
                f"{_parameters(found):,}",
                ", ".join(f"{systems.load(one).latent_dim:,}" for one in registered),
                " + ".join(f"{stage['examples']:,}" for stage in stages.values()),
                f"{sum(stage['seconds'] for stage in stages.values()) / 60:.0f}",
                f"{(found / folder.WEIGHTS).stat().st_size / 2**20:.1f}",
            ]
        )
    headers = ["system", "parameters", "numbers a code", "images seen", "minutes", "MiB"]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def _parameters(path: Path) -> int:
    """Numbers in the weights, buffers of codebooks and norms among them."""
    with safe_open(path / folder.WEIGHTS, "pt") as file:
        return sum(file.get_tensor(name).numel() for name in file.keys())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    made = table()
    if not parser.parse_args().write:
        print(made)
        return
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()

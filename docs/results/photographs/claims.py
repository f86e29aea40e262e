"""Which of the paper's results hold on photographs: the table of claims, from two run folders.

    python docs/results/photographs/claims.py PORTRAITS CIFAR-10

A claim compares two numbers of a run. It holds if the first is better by more than chance explains, at
the 5 % level; it does not hold if it is worse by more than that. Otherwise the run does not decide it.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reports.records.reading import joined
from reports.records.record import Record
from reports.records.run_folder import Run, read_run
from reports.tables.numbers import error_pair
from reports.tables.ranking import gap_between

STEPS = (10, 20, 50, 100)
Pair = tuple[Record, Record]  # the number that the claim calls better, and the other


@dataclass(frozen=True)
class Numbers:
    """The numbers of a run."""

    run: Run

    def find(self, system: str, metric: str, table: str, **fields: object) -> Record:
        """The one number of this system, metric, table and these fields."""
        fields |= {"system": system, "metric": metric, "table": table}
        records = [
            record
            for record in self.run.rows
            if all(getattr(record, name) == value for name, value in fields.items())
        ]
        if len(records) != 1:
            raise LookupError(f"{len(records)} numbers of {fields}")
        return records[0]

    def ssim(self, system: str, steps: int, x_T: str = "inverted") -> Record:
        return self.find(system, "ssim", "table2_ablation", steps=steps, setting=f"x_T {x_T}")

    def pixels(self) -> Record:
        return self.find("pixels + PCA", "ssim", "table1_reconstruction")

    def auroc(self, system: str) -> Record:
        return self.find(system, "auroc", "section5.3_probe", setting="mean")

    def path(self, system: str) -> Record:
        """By LPIPS if its weights were there, else by the network that stands in for it."""
        table = "appendix_f_smoothness"
        measured = {record.metric for record in self.run.rows if record.value is not None}
        metric = "ppl" if "ppl" in measured else "ppl_effnet"
        return self.find(system, metric, table, setting="median")

    def samples(self, system: str) -> Record:
        return self.find(system, "kd_effnet", "table4_unconditional_fid")

    def of_class(self) -> Iterator[Pair]:
        """Samples of each class, and images of all classes."""
        for record in self.run.rows:
            if record.table == "table3_fewshot_fid" and record.metric == "kd_effnet":
                if record.system == "DiffAE" and record.value is not None:
                    setting = record.setting
                    yield record, self.find("naive", "kd_effnet", record.table, setting=setting)


Claim = Callable[[Numbers], Iterator[Pair]]


def _diffae_and_ddim(numbers: Numbers) -> Iterator[Pair]:
    for steps in STEPS:
        yield numbers.ssim("DiffAE", steps), numbers.ssim("DDIM", steps)


CLAIMS: dict[str, Claim] = {
    "DiffAE reconstructs better than DDIM, SSIM at T = 10, 20, 50, 100 (Table 2)": _diffae_and_ddim,
    "DiffAE at T = 20 reconstructs better than DDIM at T = 100, SSIM (Table 2)": lambda n: iter(
        [(n.ssim("DiffAE", 20), n.ssim("DDIM", 100))]
    ),
    "With the inverted x_T more is kept than by z_sem alone, SSIM at T = 100 (Table 2)": lambda n: (
        iter([(n.ssim("DiffAE", 100), n.ssim("DiffAE", 100, "random"))])
    ),
    "z_sem alone reconstructs better than pixels + PCA of as many numbers, SSIM": lambda n: iter(
        [(n.ssim("DiffAE", 100, "random"), n.pixels())]
    ),
    "Probes of z_sem are better than those of pixels + PCA, mean AUROC (Section 5.3)": lambda n: (
        iter([(n.auroc("DiffAE"), n.auroc("pixels + PCA"))])
    ),
    "Probes of z_sem are better than those of a random encoder, mean AUROC": lambda n: iter(
        [(n.auroc("DiffAE"), n.auroc("random encoder"))]
    ),
    "Paths of DiffAE are shorter than those of DDIM, median path length (Appendix F)": lambda n: (
        iter([(n.path("DiffAE"), n.path("DDIM"))])
    ),
    "Samples of DiffAE are nearer to the data than those of DDIM, kernel distance (Table 4)": lambda n: (
        iter([(n.samples("DiffAE"), n.samples("DDIM"))])
    ),
    "Samples of a class are nearer to it than images of all classes, kernel distance (Table 3)": Numbers.of_class,
}


def standing(pair: Pair) -> str:
    """Whether the first number of a pair is better: "yes", "no" or "undecided"."""
    gap = gap_between(*pair)
    if not gap.is_clear:
        return "undecided"
    return "yes" if gap.behind > 0 else "no"


def cell(claim: Claim, numbers: Numbers) -> tuple[str, str]:
    """The numbers of a claim, and whether it holds."""
    pairs = list(claim(numbers))
    standings = [standing(pair) for pair in pairs]
    if len(pairs) == 1:
        return " against ".join(map(text, pairs[0])), standings[0]
    counts = [f"{standings.count(word)} {word}" for word in ("yes", "undecided", "no")]
    return "; ".join(f"{text(a)} against {text(b)}" for a, b in pairs), ", ".join(counts)


def text(record: Record) -> str:
    value, error = record.value, record.estimate.stderr
    assert value is not None
    return joined(*error_pair(value, error or None, record.metric), by=" ± ")


def table(portraits: Path, photographs: Path) -> list[list[str]]:
    """A row for each claim: the claim, and for each run its numbers and whether it holds."""
    runs = [Numbers(read_run(folder)) for folder in (portraits, photographs)]
    return [
        [title, *(part for numbers in runs for part in cell(claim, numbers))]
        for title, claim in CLAIMS.items()
    ]


if __name__ == "__main__":
    for row in table(Path(sys.argv[1]), Path(sys.argv[2])):
        print(" | ".join(row))

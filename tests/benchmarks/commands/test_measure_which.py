"""`benchmarks.measure --which`: which protocols print a number."""

import io
import itertools
from collections import defaultdict
from contextlib import redirect_stdout

import numpy as np
import pytest
from data import originals_and_made, write_pair
from light_networks import lighten, write_light_weights

from benchmarks.measure import main
from benchmarks.measuring import images, which
from benchmarks.measuring.request import printed
from benchmarks.measuring.which import answer, compared
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.cases import ImageCase
from benchmarks.metrics.protocols.explain import Explained
from diffae.system.errors import UserError
from reports.records.estimate import Estimate, Influence

DIGITS = {"psnr": 2, "ssim": 4}
PLAIN = schema.named("plain")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("pair"), originals_and_made())


@pytest.fixture
def ask(capsys, tmp_path):
    """The lines of an answer; no networks are found."""

    def told(numbers, *arguments):
        main(["--which", numbers, *arguments, "--weights-dir", str(tmp_path)])
        return capsys.readouterr().out.splitlines()

    return told


# ----------------------------------------------------------------------------------------------
# What each protocol prints


@pytest.fixture(scope="module")
def rows(pair):
    """The printed row of each protocol that has both: PSNR with two digits, SSIM with four.

    That they are what the protocols' codes compute is tested in test_protocols_of_codes.py.
    """
    found = {}
    for name in schema.names():
        if schema.named(name).psnr and schema.named(name).ssim:
            with redirect_stdout(io.StringIO()) as out:
                main(["psnr,ssim", *pair, "--protocol", name])
            words = map(str.split, out.getvalue().splitlines())
            values = {line[0]: float(line[1]) for line in words if len(line) == 2}
            found[name] = {metric: f"{values[metric]:.{DIGITS[metric]}f}" for metric in DIGITS}
    return found


@pytest.fixture(scope="module")
def measured():
    """What was measured of folders, by what was asked for."""
    return {}


@pytest.fixture
def once(measured, monkeypatch):
    """Folders are measured once by the tests that use this."""
    measure = which.on_pairs

    def remembered(every, asked, metrics):
        key = asked.pair, asked.weights_dir, metrics
        if key not in measured:
            measured[key] = measure(every, asked, metrics=metrics)
        return measured[key]

    monkeypatch.setattr(which, "on_pairs", remembered)


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("name", [n for n in schema.names() if schema.named(n).psnr])
def test_a_row_is_found_again_and_every_line_is_as_computed_anew(name, pair, rows, ask):
    row, sets = rows[name], defaultdict(list)
    for other, texts in rows.items():
        sets[tuple(texts.values())].append(other)
    expected = [f"fits {', '.join(sets[tuple(row.values())])}"]
    expected += [
        f"excluded {other} by {metric}: {row[metric]}, here {text}"
        for other, texts in rows.items()
        for metric, text in texts.items()
        if text != row[metric]
    ]
    expected += [f"alike {', '.join(names)}" for names in sets.values() if len(names) > 1]
    without = ", ".join(other for other in schema.names() if other not in rows)
    expected.append(f"not printed by {without}: psnr, ssim")
    assert ask(",".join(map("=".join, row.items())), *pair) == expected
    assert len(sets) >= 8


# ----------------------------------------------------------------------------------------------
# Two numbers


def explained(value, influences=(0.0,), n=9, metric="psnr"):
    of_pairs = (Influence("pairs", np.asarray(influences, dtype=float)),)
    number = Estimate(value, of_pairs, n=n)
    return Explained(ImageCase(metric, PLAIN), number)


@pytest.mark.parametrize(
    ("number", "inside", "outside"),
    [
        ("27.43", (27.4251, 27.425, 27.435, 27.43), (27.4249, 27.4351, 27.44)),
        ("27.430", (27.4296, 27.4305), (27.4294, 27.4306)),
        ("27", (26.5, 27.49), (26.49, 27.51)),
        ("27.", (26.5,), (26.49,)),
        (".9", (0.86, 0.94), (0.84, 0.96)),
        ("-3.1", (-3.14, -3.06), (-3.16, -3.04, 3.1)),
    ],
)
def test_a_number_fits_within_half_a_unit_of_its_last_digit(number, inside, outside):
    for value in inside:
        assert compared(explained(value), number).miss <= 1, value
    for value in (*outside, np.inf):
        assert compared(explained(value), number).miss > 1, value


def test_a_number_of_another_sample_is_compatible_in_95_of_100_draws():
    """Of n images here and M there, with the error of both and few degrees of freedom."""
    draw = np.random.default_rng(0)
    for n, many in ((5, 40), (40, 5)):
        fits = []
        for _ in range(3000):
            here, there = draw.normal(20, 3, n), draw.normal(20, 3, many)
            mean = here.mean()
            one = explained(mean, (here - mean) / np.sqrt(n * (n - 1)), n)
            fits.append(compared(one, f"{there.mean():.9f}", many).miss <= 1)
        assert np.mean(fits) == pytest.approx(0.95, abs=0.012)


def test_the_rounding_of_a_number_of_another_sample_counts_too():
    error = [0.01] * 4  # of 4 images, or of as many blocks of more: a standard error of 0.02
    t = 3.182446  # of 3 degrees of freedom
    half = 0.05 + t * 0.02 * np.sqrt(1 + 1 / 3)
    for sign, n in itertools.product((-1, 1), (4, 100)):
        assert compared(explained(20 + 0.999 * sign * half, error, n), "20.0", 3 * n).miss <= 1
        assert compared(explained(20 + 1.001 * sign * half, error, n), "20.0", 3 * n).miss > 1


def test_what_has_no_error_of_a_difference_is_not_compared():
    """A Frechet distance falls with n, so that its error says nothing of another n."""
    frechet = explained(2.19, [0.1] * 20, 500, "rfid")
    assert "not comparable across samples" in compared(frechet, "2.19", 50_000).reason
    assert "50,000 there, 500 here" in compared(frechet, "2.19", 50_000).reason
    assert compared(frechet, "2.19", 500).miss <= 1 and compared(frechet, "4.28", 500).miss > 1
    one = compared(explained(27.43, [np.nan], 1), "27.43", 9)
    assert one.reason == "not comparable across samples: it has no standard error here"
    assert not one.text


# ----------------------------------------------------------------------------------------------
# Lines


@pytest.mark.usefixtures("once")
def test_the_nearest_prints_the_metrics_and_most_of_its_numbers_fit(pair, rows, ask):
    off = f"{float(rows['llamagen']['ssim']) + 0.0007:.4f}"
    told = ask(f"psnr={rows['llamagen']['psnr']},ssim={off}", *pair)
    named = f"nearest llamagen: psnr {rows['llamagen']['psnr']}, ssim {rows['llamagen']['ssim']}"
    assert told[:2] == ["none fits", named]
    # all SSIM are far, and that of no protocol whose PSNR is another is nearer to more numbers
    told = ask(f"psnr={rows['seed-voken']['psnr']},ssim=2", *pair)
    assert told[1].startswith("nearest seed-voken: ")
    told = ask("psnr=3.00", *pair)
    furthest = min(float(row["psnr"]) for row in rows.values())
    assert told[1].endswith(f": psnr {furthest:.2f}")


def test_a_code_that_does_not_print_a_metric_is_not_the_nearest():
    """LlamaGen prints no LPIPS: it has one number that does not fit, and plain two."""
    numbers = {"psnr": "20.0", "lpips": "0.100"}
    values = (("llamagen", "psnr", 20.1), ("plain", "psnr", 23.0), ("plain", "lpips", 0.9))
    found = [
        compared(Explained(ImageCase(m, schema.named(name)), Estimate(x, n=9)), numbers[m])
        for name, m, x in values
    ]
    every = [schema.named(name) for name in ("llamagen", "plain")]
    told = answer(found, numbers, every)
    assert told[:2] == ["none fits", "nearest plain: psnr 23.0, lpips 0.900"]


@pytest.mark.usefixtures("once")
def test_what_is_not_printed_or_not_computed_is_no_silent_fit(pair, rows, ask):
    plain = rows["plain"]
    told = ask(f"ssim={plain['ssim']},lpips=0.1,fid=2.19,psnr={plain['psnr']}", *pair)
    assert told[0] == "fits plain, diffae by ssim, psnr alone"
    assert "not printed by llamagen: lpips" in told
    assert "not printed by clean-fid, pytorch-fid" not in "".join(told)  # two lines would be one
    lpips = [line for line in told if line.startswith("not compared lpips of ")]
    assert [line.partition(" missing")[0].split(": ") for line in lpips] == [
        [
            f"not compared lpips of {', '.join(n for n in rows if trunk_of(n) == trunk)}",
            f"the weights of {trunk} are",
        ]
        for trunk in ("alexnet", "vgg16")
    ]
    of_rfid = [line for line in told if line.startswith("not compared rfid of plain, adm, ")]
    assert len(of_rfid) == 1 and "the weights of inception are missing: run" in of_rfid[0]
    assert "against" not in "".join(told)
    assert ask("rfid=2.19", *pair)[0] == "none compared"


def trunk_of(name):
    lpips = schema.named(name).lpips
    return lpips and lpips.trunk


def test_an_infinite_number_here_is_excluded(pair, ask):
    told = ask("psnr=40.1", pair[0], pair[0])
    assert told[0] == "none fits" and "excluded plain by psnr: 40.1, here inf" in told
    assert "excluded rae by psnr: 40.1, here 100.0" in told
    told = ask("psnr=100", pair[0], pair[0], "--of", "10")
    assert told[0] == "fits maskbit, rae"
    assert "not comparable across samples: it has no standard error here" in told[-2]


def test_of_another_sample(pair, rows, ask, capsys):
    """The error of plain's SSIM here, as it is printed, decides."""
    main(["ssim", *pair, "--protocol", "plain"])
    *_, line, value = capsys.readouterr().out.splitlines()
    error, value = float(line.rsplit(" ", 1)[1]), float(value.split()[1])
    t = 2.306004  # of 8 degrees of freedom
    for share, fits in ((0.98, True), (1.02, False)):
        number = value - share * t * error * np.sqrt(1 + 9 / 1000)
        told = ask(f"ssim={number:.7f}", *pair, "--of", "1000")
        assert ("excluded plain by ssim: " not in "\n".join(told)) == fits
        assert told[0].startswith("fits ") and ("plain, " in told[0]) == fits
        assert "plain" not in ask(f"ssim={number:.7f}", *pair)[0]


def test_a_sample_of_the_pairs_is_another_sample(pair, ask):
    with pytest.raises(UserError, match=r"^--limit: .* --of M"):
        ask("psnr=20", *pair, "--limit", "5")
    told = ask("psnr=20", *pair, "--limit", "5", "--of", "9")
    assert told[0] == "at most 5 pairs, drawn at random"


def test_each_image_is_read_once_for_all_protocols(pair, ask, monkeypatch):
    seen, read = [], images.read
    monkeypatch.setattr(images, "read", lambda path, asked: seen.append(path) or read(path, asked))
    ask("psnr=20,ssim=0.9,lpips=0.1,rfid=3", *pair)
    assert len(seen) == len(set(seen)) == 18
    monkeypatch.setattr(images, "AHEAD", 1)
    seen.clear()
    assert ask("rfid=3", *pair)[0] == "none compared" and len(seen) < 18


def test_a_protocol_of_ones_own_is_asked_too(pair, rows, ask, tmp_path):
    text = (schema.FOLDER / "plain.toml").read_text(encoding="utf-8")
    text = text.replace('error = ["of pixels in [0, 1]"', 'error = ["halved"')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    number = float(rows["plain"]["psnr"]) + 6.02
    told = ask(f"psnr={number:.1f}", *pair, "--protocol", str(tmp_path / "mine.toml"))
    assert told[0] == "fits mine"


@pytest.mark.slow  # networks look at the images by many protocols
@pytest.mark.usefixtures("once")
def test_rows_with_networks_are_found_again(pair, tmp_path, monkeypatch, capsys):
    """All four metrics as `--protocol` prints them, through light networks."""
    lighten(monkeypatch)
    folder = write_light_weights(tmp_path / "weights")
    flags = [*pair, "--weights-dir", str(folder), "--allow-unknown-weights"]

    def printed_by(name):
        """In the order of METRICS, with four digits."""
        of = [m for m in schema.METRICS if getattr(schema.named(name), m)]
        main([",".join("fid" if m == "rfid" else m for m in of), *flags, "--protocol", name])
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        values = [float(words[1]) for words in lines if len(words) == 2]
        return {metric: f"{x:.4f}" for metric, x in zip(of, values, strict=True)}

    rows = {name: printed_by(name) for name in schema.names()}
    for name, row in rows.items():
        main(["--which", ",".join(map("=".join, row.items())), *flags])
        told = capsys.readouterr().out.splitlines()
        whole = next(line for line in told if line.startswith("fits ") and "alone" not in line)
        assert whole.removeprefix("fits ").split(", ") == [
            other for other, texts in rows.items() if {**texts, **row} == texts
        ], name
        others = {"adm": "ADM's statistics", "diffae": "training images"}
        for other, reference in others.items():
            assert f"rfid of {other} is against {reference}, here against A" in told


# ----------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ("pnsr=27.43", "unknown metric 'pnsr'; did you mean psnr?"),
        ("lpips_vgg=0.1", "unknown metric 'lpips_vgg'; did you mean lpips?"),
        ("psnr=27,43", "unknown metric '43'"),
        ("psnr=27.43,", "unknown metric ''"),
        ("psnr", "psnr: '' is not a finite decimal number"),
        ("psnr=nan", "psnr: 'nan' is not a finite decimal number, such as 27.43"),
        (f"psnr={'9' * 400}", "is not a finite decimal number"),
        (f"psnr=27.{'4' * 21}", "is not a finite decimal number"),
        ("psnr=2e1", "psnr: '2e1' is not a finite decimal number"),
        ("psnr=1,ssim=0.9,PSNR=1", "psnr is given twice"),
        ("fid=1,rfid=1", "rfid is given twice"),
    ],
)
def test_numbers_that_are_none(numbers, words):
    with pytest.raises(UserError) as refused:
        printed(numbers)
    assert words in str(refused.value)
    with pytest.raises(UserError, match="^argument --which: "):
        main(["--which", numbers, "a", "b"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--explain"], "--which: not with --explain"),
        (["--save", "x.npz"], "--which: takes A and B"),
        (["--subsets", "2x3"], "--which: takes A and B"),
        (["--protocol", "lamagen"], "did you mean llamagen?"),
    ],
)
def test_bad_arguments(pair, arguments, words):
    with pytest.raises(UserError) as refused:
        main(["--which", "psnr=1", *pair, *arguments])
    assert words in str(refused.value)

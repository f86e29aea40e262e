"""`benchmarks.measure` on codes and labels in files: what is read, what is printed, what is refused."""

import csv
import pickle
from itertools import chain

import numpy as np
import pytest
from in_process import signals_kept
from refusal import refusal

from benchmarks.measure import main
from benchmarks.measuring import codes as measured_codes
from benchmarks.measuring.codes import are_codes, read
from benchmarks.metrics.codes import explain, schema
from benchmarks.metrics.codes.data import Codes, LabelColumns
from benchmarks.metrics.codes.table import fields, measure
from benchmarks.metrics.protocols.explain import in_words
from diffae.system import cli
from diffae.system.errors import UserError

N, SHAPE = 240, (3, 2, 1)
NAMES = ("smiling", "male", "shape", "age")
KINDS = ("binary", "binary", "classes", "real")
DRAW = np.random.default_rng(0)
COLUMNS = np.stack([*DRAW.integers(0, 2, (2, N)), DRAW.integers(0, 3, N), DRAW.normal(40, 9, N)], 1)
VALUES = (COLUMNS - COLUMNS.mean(0)) / COLUMNS.std(0) @ DRAW.normal(size=(4, 6))
VALUES = (VALUES + 2 * DRAW.normal(size=VALUES.shape)).astype(np.float32)
SPLIT = np.repeat([0, 2, 1], [120, 80, 40])
PERSONS = DRAW.permutation(np.repeat(np.arange(80), 3))
FILES = np.array([f"{n:03}.png" for n in DRAW.permutation(1000)[:N]])
LABELS = LabelColumns(COLUMNS.astype(float), NAMES, KINDS)
WORDS = np.array(["train", "valid", "test"])[SPLIT]


def equal(found: Codes, expected: Codes) -> bool:
    labels = [x.labels and (x.labels.names, x.labels.kinds) for x in (found, expected)]
    pairs = [(found.values, expected.values), (found.split, expected.split)]
    pairs += [(found.persons, expected.persons)]
    pairs += [tuple(x.labels and x.labels.values for x in (found, expected))]
    same = [a is b if b is None else np.array_equal(a, b) for a, b in pairs]
    return labels[0] == labels[1] and all(same)


def write_csv(path, head, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A folder to work in, and files in it by the arrays of an npz file."""
    monkeypatch.chdir(tmp_path)

    def save(name, **arrays):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return save


@pytest.fixture
def codes(at):
    """Codes alone, with the names of their images."""
    return at("codes.npz", codes=VALUES, files=FILES)


@pytest.fixture
def labels(tmp_path):
    """Labels of the same images in another order, with others between them; -1 and 1 are binary."""
    more = np.random.default_rng(1).permutation(N + 30)
    rows = [[f"x{n}.png", -1, 0, "cube", 3.5] for n in range(30)]
    shapes = ("ball", "cone", "cube")
    for name, (smiling, male, shape, age) in zip(FILES, COLUMNS.tolist(), strict=True):
        rows.append([name, int(2 * smiling - 1), int(male), shapes[int(shape)], repr(age)])
    return write_csv(tmp_path / "labels.csv", ["file", *NAMES], [rows[place] for place in more])


# ----------------------------------------------------------------------------------------------
# What is read


def test_a_table_is_matched_by_name(codes, labels):
    found, told = read(codes, labels)
    assert equal(found, Codes(VALUES.astype(float), LABELS))
    assert told[0] == f"codes: 240 x 6, {codes}"
    listed = "2 binary (smiling, male), 1 classes (shape), 1 real (age)"
    assert told[1] == f"labels: {listed}; {labels}, matched by name"
    assert told[2].startswith("split: none: what is fitted takes a seeded half of the images")


def test_one_file_may_hold_all(at):
    given = {"labels": COLUMNS, "names": np.array(NAMES), "split": WORDS, "persons": PERSONS}
    found, told = read(at("all.npz", codes=VALUES, **given))
    kinds = ("binary", "binary", "classes", "real")  # whole numbers without a gap are classes
    assert equal(
        found, Codes(VALUES.astype(float), LabelColumns(COLUMNS, NAMES, kinds), SPLIT, _who())
    )
    assert told[2] == "split: 120 train, 40 valid, 80 test, as said; of 80 persons"


def _who():
    """Persons numbered as they come: who is whom is all that counts."""
    first = {person: place for place, person in enumerate(dict.fromkeys(PERSONS.tolist()))}
    return np.array([first[person] for person in PERSONS.tolist()])


@pytest.mark.parametrize("name", ["arr_0", "z", "codes"])
def test_a_single_array_of_floats_is_codes_of_any_shape(at, name):
    path = at("single.npz", **{name: VALUES.reshape(N, *SHAPE)})
    assert are_codes(path) and equal(read(path)[0], Codes(VALUES.astype(float)))


def test_an_npy_file_is_codes_and_takes_labels_in_order(tmp_path, at):
    np.save(tmp_path / "codes.npy", np.asfortranarray(VALUES))
    labels = at("labels.npz", labels=COLUMNS, names=np.array(NAMES), split=SPLIT)
    found, told = read(tmp_path / "codes.npy", labels)
    assert are_codes(tmp_path / "codes.npy")
    assert equal(found, Codes(VALUES.astype(float), LABELS, SPLIT))
    assert told[1].endswith(f"{labels}, in the order of the codes")


def test_names_of_images_and_kinds_may_be_in_arrays(at):
    """`names` beside codes are those of images; numbers are names too; kinds that are said count."""
    numbers = np.arange(N)[::-1] * 10
    codes = at("codes.npz", codes=VALUES, names=numbers)
    order = np.random.default_rng(2).permutation(N)
    rows = {"files": numbers[order].astype(str), "persons": FILES[PERSONS][order]}
    said = np.array(["binary", "classes", "real", "real"])
    given = {"labels": COLUMNS[order], "names": np.array(NAMES), "kinds": said}
    found, _ = read(codes, at("labels.npz", **given, **rows))
    assert found.labels.kinds == tuple(said) and np.array_equal(found.labels.values, COLUMNS)
    pairs = PERSONS[:, None] == PERSONS
    assert np.array_equal(found.persons[:, None] == found.persons, pairs)


@pytest.mark.parametrize("head", ["index", "", "file"])  # pandas writes an index without a name
@pytest.mark.parametrize("form", ["{}", "{:06}.png", "all/{}.jpg"])
def test_names_that_count_are_the_rows_of_codes_without_names(head, form, at, tmp_path):
    codes, order = at("codes.npz", codes=VALUES), np.random.default_rng(3).permutation(N).tolist()
    rows = [[form.format(row), *COLUMNS[row].tolist()] for row in order]
    by_csv = write_csv(tmp_path / "labels.csv", [head, *NAMES], rows)
    files = np.array([row[0] for row in rows])
    for labels in (by_csv, at("labels.npz", labels=COLUMNS[order], files=files)):
        found, told = read(codes, labels)
        assert np.array_equal(found.labels.values, COLUMNS)
        assert told[1].endswith(f"{labels}, matched by number: the names count from 0")


@pytest.mark.parametrize("form", ["{:06}.jpg", "{}", "img{}.png", "{0:03}/{0}.png"])
def test_ascending_names_are_in_the_order_of_codes_without_names(form, at, tmp_path):
    rows = [[form.format(row + 1), *COLUMNS[row].tolist()] for row in range(N)]
    table = write_csv(tmp_path / "labels.csv", ["file", *NAMES], rows)
    found, told = read(at("codes.npz", codes=VALUES), table)
    assert np.array_equal(found.labels.values, COLUMNS)
    assert told[1].endswith(f"{table}, taken in order: the names ascend")


@pytest.mark.parametrize("change", [reversed, lambda rows: rows[1:] + rows[:1]])
def test_names_in_another_order_need_those_of_the_codes(change, at, tmp_path, capsys):
    """The AUROC of labels in a wrong order is that of other labels: it is refused, not printed."""
    order = [*change([*range(N)])]
    rows = [[f"{row + 1:06}.jpg", *COLUMNS[row].tolist()] for row in order]
    labels = write_csv(tmp_path / "labels.csv", ["file", *NAMES], rows)
    line = refusal(main, capsys, "auroc", codes := at("codes.npz", codes=VALUES), labels)
    assert (
        f"{labels}: the names of its images neither count from 0 nor ascend, and {codes} has"
        in line
    )
    assert "save them as `files` in the npz of the codes, or remove the names" in line
    named = at("named.npz", codes=VALUES, files=[f"{row + 1:06}.jpg" for row in range(N)])
    assert np.array_equal(read(named, labels)[0].labels.values, COLUMNS)


def test_a_table_without_names_is_in_order_and_may_hold_split_persons_and_kinds(codes, tmp_path):
    head = ["split", "smiling", "male", "identity", "shape:real", "age"]
    columns = [WORDS, COLUMNS[:, 0].astype(bool)]
    columns += [np.array(["no", "Yes"])[COLUMNS[:, 1].astype(int)], FILES[PERSONS]]
    columns += [COLUMNS[:, 2], (10 * COLUMNS[:, 3]).round()]
    table = write_csv(tmp_path / "labels.csv", head, zip(*columns, strict=True))
    found, _ = read(codes, table)
    ages = found.labels.values[:, 3]
    assert found.labels.names == NAMES and found.labels.kinds == (
        "binary",
        "binary",
        "real",
        "real",
    )
    assert np.array_equal(found.labels.values[:, :3], COLUMNS[:, :3])
    assert np.array_equal(ages, (10 * COLUMNS[:, 3]).round())  # many whole numbers, with gaps
    assert np.array_equal(found.split, SPLIT) and np.array_equal(found.persons, _who())


def test_labels_are_in_the_order_of_the_file(codes, tmp_path):
    """Also the first, which might have been the names of the images."""
    table = write_csv(tmp_path / "labels.csv", NAMES[::-1], COLUMNS[:, ::-1].tolist())
    found, told = read(codes, table)
    assert found.labels.names == NAMES[::-1]
    assert "2 binary (male, smiling), 1 classes (shape), 1 real (age)" in told[1]


# ----------------------------------------------------------------------------------------------
# What is printed


@pytest.fixture
def whole(at):
    return at("whole.npz", codes=VALUES, labels=COLUMNS, names=np.array(NAMES), persons=PERSONS)


def test_the_numbers_are_those_of_the_table(codes, labels, capsys):
    """In the order that was asked for; what a number depends on, and its error, come before it."""
    names = ("knn", "auroc", "rankme", "ridge_r2")
    main([",".join(names), str(codes), str(labels)])
    lines = capsys.readouterr().out.splitlines()
    expected, plain = Codes(VALUES.astype(float), LABELS), schema.named("plain")
    printed = [line for line in lines if line.split()[0] in names]
    assert [line.split()[0] for line in printed] == list(names) and lines[-1] == printed[-1]
    for line in printed:
        name, value = line.split()
        found = measure(name, expected, plain, 0)
        assert float(value) == pytest.approx(found.value, rel=1e-7)
        before = lines[lines.index(line) - 1]
        error = f", standard error {found.stderr:.3g} over images"
        assert before == f"images: {found.n}{error}"
        assert all(note in lines for note in found.remarks)
        how = {k: str(v) for k, v in fields(name, plain).items()} | {"codes.most": "all"}
        if name == "knn":
            how |= {"knn.neighbours": "chosen for each label", "knn.temperature": "none"}
        said = "; ".join(f"{field} {text}" for field, text in how.items())
        assert f"protocol plain, {plain.code}: {said}" in lines
    assert [line.partition(":")[0] for line in lines[:3]] == ["codes", "labels", "split"]
    assert sum(line.startswith("codes: ") for line in lines) == 1


def test_a_protocol_and_a_seed_count(whole, capsys):
    def value(*more):
        main(["auroc", str(whole), *more])
        said = capsys.readouterr().out.splitlines()
        assert said[-1].startswith("auroc ")
        return float(said[-1].split()[1]), said

    expected, _ = read(whole)
    seeds = {seed: value("--seed", str(seed))[0] for seed in (0, 3)}
    assert value()[0] == seeds[0] != seeds[3]
    for seed, found in seeds.items():
        of_table = measure("auroc", expected, schema.named("plain"), seed).value
        assert found == pytest.approx(of_table, rel=1e-7)
    other, said = value("--protocol", "infodiffusion")
    protocol = schema.named("infodiffusion")
    assert other == pytest.approx(measure("auroc", expected, protocol, 0).value, rel=1e-7)
    assert other not in seeds.values()
    assert f"protocol infodiffusion, {protocol.code}: " in "\n".join(said)
    assert " over persons" in said[-2]
    assert "published" not in "\n".join([*said, *value()[1]])  # of which data it is, no file says


def test_several_protocols_of_codes_are_measured_one_after_the_other(whole, capsys):
    def printed(metrics, protocols):
        main([metrics, str(whole), "--protocol", protocols])
        return [x for x in capsys.readouterr().out.splitlines() if x.split()[0] in metrics]

    each = [printed("auroc", one) for one in ("infodiffusion", "plain")]
    assert printed("auroc", "infodiffusion, plain") == [*chain(*each)] and each[0] != each[1]
    with pytest.raises(UserError, match="infodiffusion does not define knn; it has: "):
        printed("knn,auroc", "plain,infodiffusion")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()].count("auroc") == 2


def test_what_cannot_be_measured_does_not_hide_the_rest(at, capsys):
    codes = at("codes.npz", codes=VALUES)
    line = refusal_and_output(capsys, "auroc,rankme", codes)
    assert line[0].startswith(f"error: {codes}: auroc: needs labels")
    assert line[1].splitlines()[-1].startswith("rankme ")


def refusal_and_output(capsys, *arguments):
    with signals_kept(), pytest.raises(SystemExit) as ended:
        cli.run(lambda: main(list(map(str, arguments))))
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    return err, out


# ----------------------------------------------------------------------------------------------
# By every protocol


@pytest.fixture
def few(monkeypatch):
    """Three numbers, which take a moment."""
    some = {name: schema.NUMBERS[name] for name in ("auroc", "knn", "rankme")}
    monkeypatch.setattr(explain, "NUMBERS", some)


def of_six_shapes() -> Codes:
    """Codes that every protocol takes: 600, with a label of six classes."""
    draw = np.random.default_rng(3)
    shapes, smiling = draw.integers(0, 6, 600), draw.integers(0, 2, 600)
    values = draw.normal(size=(6, 6))[shapes] + smiling[:, None] + draw.normal(size=(600, 6))
    labels = np.stack([shapes, smiling], 1).astype(float)
    return Codes(values, LabelColumns(labels, ("shape", "smiling"), ("classes", "binary")))


def test_each_number_by_each_protocol_and_why_they_differ(few):
    codes = of_six_shapes()
    protocols = list(map(schema.named, schema.names()))
    found = list(explain.explained(codes, protocols, 3))
    defined = {(n, p.name) for n in explain.NUMBERS for p in protocols if p.defines(n)}
    assert {(one.case.metric, one.case.protocol.name) for one in found} == defined
    assert {one.case.metric for one in found if one.causes} == {"auroc", "knn"}
    for one in found:
        name, protocol = one.case.metric, one.case.protocol
        assert one.estimate.value == measure(name, codes, protocol, 3).value
        plain = measure(name, codes, protocols[0], 3).value
        assert one.difference == pytest.approx(one.estimate.value - plain, abs=1e-12)
        total = sum(cause.difference for cause in one.causes)
        assert total == pytest.approx(one.difference, abs=1e-12)
        changed = [
            k for k, v in fields(name, protocols[0]).items() if fields(name, protocol)[k] != v
        ]
        assert len(one.causes) == len(changed)
        if name == "knn" and protocol.name == "lightly-knn":
            assert any(abs(cause.difference) > 0.01 for cause in one.causes)


def test_one_ingredient_is_changed_at_a_time(few):
    """The cause of a field is the number with that field alone changed, after those before it."""
    codes, plain = of_six_shapes(), schema.named("plain")
    for one in explain.explained(codes, [plain, schema.named("dino-knn")], 0):
        if one.case.protocol.name == "dino-knn":
            way, before = plain, measure("knn", codes, plain, 0).value
            for field, value in fields("knn", one.case.protocol).items():
                if fields("knn", way)[field] == value:
                    continue
                way = way.changed(field, value)
                after = measure("knn", codes, way, 0).value
                cause = next(c for c in one.causes if c.text.startswith(in_words(field, value)))
                assert cause.difference == after - before
                before = after


def test_explain_writes_the_tables(whole, few, tmp_path, capsys):
    out = tmp_path / "explained"
    main(["--explain", str(whole), "--out", str(out), "--seed", "3"])
    said = capsys.readouterr().out
    assert said.startswith(f"codes: 240 x 6, {whole}\n")
    title = f"## {whole.name}, by protocol\n"
    assert (out / "protocols.md").read_text().startswith(title)
    codes, _ = read(whole)
    with open(out / "protocols.csv", newline="") as file:
        rows = {(row["metric"], row["protocol"]): row for row in csv.DictReader(file)}
    for (name, protocol), row in rows.items():
        if not row["value"]:  # their codes fail on two and three classes, or on 40 test images
            assert protocol in ("dino-knn", "dinov2-knn", "lightly-knn")
            continue
        value = measure(name, codes, schema.named(protocol), 3).value
        assert float(row["value"]) == pytest.approx(value, rel=1e-9)


def test_wide_codes_are_explained_without_what_is_bound_to_axes(at, monkeypatch, capsys):
    some = {name: schema.NUMBERS[name] for name in ("rankme", "tad", "mig")}
    for module in (explain, measured_codes):
        monkeypatch.setattr(module, "NUMBERS", some)
    wide = np.random.default_rng(4).normal(size=(N, 65))
    main(["--explain", str(at("wide.npz", codes=wide, labels=COLUMNS[:, :2]))])
    said = capsys.readouterr().out
    assert "left out of codes of over 64 numbers: tad, mig\n" in said and "RankMe" in said
    assert "TAD" not in said and "MIG" not in said
    main(["--explain", str(at("wide.npz", codes=wide[:, 1:], labels=COLUMNS[:, :2]))])
    said = capsys.readouterr().out
    assert "left out" not in said and "TAD" in said and "MIG" in said


# ----------------------------------------------------------------------------------------------
# What is refused: one line, which names the file


BAD_CODES = {
    "few": (dict(codes=VALUES[:49]), "49 codes; give at least 50"),
    "not a number": (dict(codes=np.where(np.arange(N)[:, None] == 7, np.nan, VALUES)), "the first in row 7"),
    "objects": (dict(codes=VALUES.astype(object)), "objects are pickles: save numbers"),
    "images": (dict(codes=np.zeros((N, 4, 4, 3), np.uint8)), "images, tokens or labels, not codes"),
    "several arrays": (dict(a=VALUES, b=VALUES), "no array `codes`, nor a single one of floats"),
    "a row": (dict(codes=VALUES[0]), "not codes; save floats [n, d]"),
    "complex": (dict(codes=VALUES + 1j), "not codes; save floats [n, d]"),
    "names of labels": (dict(codes=VALUES, labels=COLUMNS, names=np.array(NAMES[1:])), "names is"),
    "equal names": (dict(codes=VALUES, labels=COLUMNS[:, :2], names=np.array(["a", "a"])), "the column a is listed 2 times"),
    "label not a number": (dict(codes=VALUES, labels=np.where(COLUMNS == COLUMNS.max(), np.nan, COLUMNS)), "is missing or not finite"),
    "kinds": (dict(codes=VALUES, labels=COLUMNS[:, :1], kinds=np.array(["ordinal"])), "kind 'ordinal' is none of binary, classes, ordered, real"),
    "said to be binary": (dict(codes=VALUES, labels=COLUMNS[:, 2:3], kinds=np.array(["binary"])), "0:binary: binary labels have two values, not 3; or call it 0:classes"),
    "no such part": (dict(codes=VALUES, split=np.where(SPLIT == 1, 3, SPLIT)), "split '3' is none of train, valid, test, nor 0, 1 or 2"),
    "a part is missing": (dict(codes=VALUES, split=np.zeros(N)), "needs train and test"),
    "no text": (dict(codes=VALUES, persons=np.full(N, 2**31 - 1, "<u4").view("<U1")), "neither numbers nor texts"),
    "one class": (dict(codes=VALUES, labels=np.ones(N)), "every image has the same label of 0"),
    "no labels": (dict(codes=VALUES), "auroc: needs labels (binary)"),
    "constant codes": (dict(codes=np.ones_like(VALUES), labels=COLUMNS[:, 0]), "every dimension of the codes is constant"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_CODES)
def test_bad_codes_are_one_line(kind, at, capsys):
    arrays, words = BAD_CODES[kind]
    bad = at("bad.npz", **arrays)
    line = refusal(main, capsys, "auroc", bad)
    assert f"{bad}: " in line and words in line, line


@pytest.mark.parametrize("content", [pickle.dumps(VALUES), b"", b"PK\3\4", b"\x93NUMPY\1\0"])
@pytest.mark.parametrize("name", ["bad.npz", "bad.npy", "bad.pkl"])
def test_other_files_are_one_line(content, name, tmp_path, capsys):
    bad = tmp_path / name
    bad.write_bytes(content)
    assert f"{bad}: " in refusal(main, capsys, "rankme", bad)
    assert f"{tmp_path / 'no.npz'}: " in refusal(main, capsys, "rankme", tmp_path / "no.npz")


HEAD = ",".join(NAMES)
ROWS = "\n".join("1,0,cube,3.5" if n % 2 else "0,1,ball,7" for n in range(N))
BAD_TABLES = {
    "rows": (f"{HEAD}\n1,0,cube,3", "1 rows for 240 codes of"),
    "a missing image": ("file,a\n" + "\n".join(f"{x},{x < '5'}" for x in FILES[1:]), "1 images of"),
    "an image twice": (f"file,a\n{FILES[0]},1\n{FILES[0]},0", f"the image {FILES[0]} is listed 2 times"),
    "an empty cell": (f"{HEAD}\n{ROWS}".replace("cube", "", 1), "line 3: shape '' is missing or not finite"),
    "no number": (f"{HEAD}\n{ROWS}".replace("3.5", "n/a", 1), "line 3: age 'n/a' is missing or not finite"),
    "long rows": (HEAD + "\n" + ROWS.replace("\n", ",1\n") + ",1", "line 2: 5 cells, and line 1 names 4 columns"),
    "a long row": (f"{HEAD}\n{ROWS}\n1,2,3,4,5", "line 242: 5 cells, and line 1 names 4 columns"),
    "nothing": ("", "0 rows for 240 codes"),
    "said to be real": (f"a,{HEAD}:real".replace("shape,age", "age,shape") + "\n" + "\n".join(f"1,{x}" for x in ROWS.replace("cube,3.5", "3.5,cube").replace("ball,7", "7,ball").split("\n")), "shape:real: real labels are numbers, not 'ball'"),
    "a split of its own": ("split\n" + "\n".join(["test", "train"] * (N // 2)), "another split than in"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_bad_tables_are_one_line(kind, at, tmp_path, capsys):
    text, words = BAD_TABLES[kind]
    codes, table = at("codes.npz", codes=VALUES, files=FILES, split=SPLIT), tmp_path / "bad.csv"
    table.write_bytes(text.encode("utf-8", "surrogateescape"))
    line = refusal(main, capsys, "auroc", codes, table)
    assert f"{table}: " in line and words in line, line


def test_labels_of_another_file_are_one_line(codes, at, capsys):
    for arrays, words in (
        ({"x": COLUMNS}, "no array `labels`"),
        ({"labels": COLUMNS.astype(object)}, "objects are pickles"),
        ({"labels": COLUMNS[1:]}, "239 rows for 240 codes of"),
        ({"labels": np.float64(1)}, "labels is float64 ()"),
    ):
        bad = at("bad.npz", **arrays)
        assert words in (line := refusal(main, capsys, "auroc", codes, bad)) and f"{bad}: " in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["auroc,psnr"], "auroc is of codes, psnr of images"),
        (["auroc", "--limit", "3"], "--limit: not of numbers of codes"),
        (["auroc", "--save", "s.npz"], "--save: "),
        (["aurocs"], "unknown metric 'aurocs'; did you mean auroc?"),
        (["auroc", "--protocol", "taming"], "taming is a protocol of images; codes have: plain"),
        (["auroc", "--protocol", "dino-knn"], "dino-knn does not define auroc; it has: knn"),
    ],
)
def test_bad_arguments(codes, labels, arguments, words, capsys):
    line = refusal(main, capsys, arguments[0], codes, labels, *arguments[1:])
    assert words in line


def test_options_of_codes_are_not_of_images(tmp_path, capsys):
    tmp_path.joinpath("a").mkdir()
    line = refusal(main, capsys, "psnr", tmp_path / "a", tmp_path / "a", "--seed", "0")
    assert "--seed: not of images" in line
    line = refusal(main, capsys, "psnr", tmp_path / "a", tmp_path / "a", "--protocol", "dino-knn")
    assert "dino-knn is a protocol of codes; images have: plain" in line

"""Profiles: contents of the built-in ones, the user's own files, and their errors in one line."""

import tomllib
from dataclasses import dataclass, replace

import pytest
from plug_ins import offer
from registered import caps

from benchmarks.commands.options import parse
from benchmarks.core.benchmark import Benchmark
from benchmarks.core.profiles import BUILT_IN, FOLDER, PROFILES, described, find
from benchmarks.core.registry import REGISTRY
from benchmarks.core.sizes import Count, Steps
from benchmarks.tasks.reconstruction.reconstruction import Sizes
from diffae.system.errors import UserError

# ----------------------------------------------------------------------------------------------
# The built-in profiles


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_profile_says_every_setting(name):
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    assert content.pop("description") == PROFILES[name].description == described()[name]
    said = {f"{section}.{key}" for section, values in content.items() for key in values}
    settings = PROFILES[name].settings()
    assert said == {setting for setting in settings if setting.partition(".")[0] in content}
    for task in set(PROFILES[name].sections) - set(content):  # those of `quick`
        assert name == "tokenizer" or REGISTRY.get(task).profiles, f"{task}: say its `profiles`"


def test_quick_is_the_defaults_of_the_tasks():
    for sizes in PROFILES["quick"].sections.values():
        defaults = type(sizes)()
        if hasattr(sizes, "pixels"):  # a suite, which has the default, measures as many as it says
            assert defaults.pixels == 0 < sizes.pixels
            defaults = replace(defaults, pixels=sizes.pixels)
        assert sizes == defaults


def test_every_task_has_its_settings_under_its_name():
    sized = {task for task in REGISTRY.own if REGISTRY.get(task).sizes}
    assert set(PROFILES["smoke"].sections) == {"data", "samples", *sized}


def test_paper_is_the_papers():
    """Numbers of the paper: Section 5, Tables 1 to 4, Fig. 6 aside; 30,000 images of CelebA-HQ,
    50,000 samples.
    """
    said = PROFILES["paper"].settings()
    assert (said["reconstruction.images"], said["reconstruction.split"]) == (30_000, "all")
    assert (said["samples.count"], said["unconditional.reference"]) == (50_000, 50_000)
    for name in ("reconstruction.steps", "samples.steps"):
        assert said[name] == (10, 20, 50, 100)
    assert (said["fewshot.samples"], said["fewshot.binary_k"]) == (5_000, 50)
    assert (said["fewshot.pu_positives"], said["fewshot.pu_unlabeled"]) == (100, 10_000)


# ----------------------------------------------------------------------------------------------
# A file


def written(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_file_changes_what_it_says_and_its_base_says_the_rest(tmp_path):
    path = written(tmp_path, 'base = "smoke"\n[reconstruction]\nimages = 5\nsteps = [3]\n')
    profile, smoke = find(str(path)), PROFILES["smoke"].settings()
    assert profile.settings() == smoke | {
        "reconstruction.images": 5,
        "reconstruction.steps": (3,),
    }
    assert (profile.name, profile.base) == ("mine", "smoke")
    assert profile.description == "smoke, changed by mine.toml"
    assert find(str(written(tmp_path, ""))).settings() == PROFILES["quick"].settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[reconstruktion]\n", "reconstruktion: no such section; did you mean reconstruction?"),
        ("[reconstruction]\nimage = 3", "reconstruction.image: no such setting; did you mean im"),
        ("[probes]\ntrain = '3'", "probes.train: must be a whole number, not '3'"),
        ("[probes]\ntrain = true", "probes.train: must be a whole number, not True"),
        ("[probes]\ntrain = 0", "probes.train: must be at least 1, not 0"),
        ("[probes]\nadam_paper = 1", "probes.adam_paper: must be true or false, not 1"),
        ("[samples]\nsteps = 10", "samples.steps: must be a list of at least one, not 10"),
        ("[samples]\nsteps = []", "samples.steps: must be a list of at least one, not []"),
        ("[identity]\nstrengths = [nan]", "identity.strengths: must be a finite number"),
        ("[fewshot]\nacceptance = ['treshold']", "no choice 'treshold'; did you mean threshold?"),
        ("probes = 3", "probes: must be a section, [probes], not a value"),
        ("base = 'quik'", "base: no such profile; did you mean quick?"),
        ("name = 'a/b'", "a name has letters, digits and .-_ only"),
        ("name = 'paper'", "paper is a built-in profile: give this one another name"),
        ("description = 1", "description: must be a text"),
        ("[identity]\nstrengths = [1" + "0" * 400 + "]", "identity.strengths: must be a number"),
        ("[probes\n", "not TOML: "),
        ("a = " + "[" * 10_000, "not TOML: "),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_that_names_it(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as error:
        find(str(path))
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_profile_that_there_is_none_of(tmp_path):
    with pytest.raises(UserError, match="unknown profile 'quik', and no such file; did you mean q"):
        find("quik")
    with pytest.raises(UserError, match=r"none\.toml: no such file"):
        find(str(tmp_path / "none.toml"))


# ----------------------------------------------------------------------------------------------
# Changes


def test_limit_caps_counts_and_nothing_else():
    before, profile = PROFILES["quick"].settings(), PROFILES["quick"].limited(7)
    after = profile.settings()
    changed = {name: after[name] for name in before if before[name] != after[name]}
    assert changed == {name: 7 for name in caps() if before[name] > 7}
    assert {"reconstruction.images", "samples.count", "probes.train"} <= set(changed)
    assert PROFILES["quick"].limited(10**9).settings() == before
    assert profile.limit == 7


def test_large_images_are_fewer_where_a_task_caps_their_pixels():
    """Never below 64, and never a count that was given; images of 32 px are as many as the profile says."""
    quick = PROFILES["quick"]
    assert quick.at_side(32).settings() == quick.settings()
    before, profile = quick.settings(), quick.at_side(256)
    after = profile.settings()
    changed = {name: after[name] for name in before if before[name] != after[name]}
    assert changed == dict.fromkeys(("latent.images", "latent.training", "latent.space"), 64)
    assert profile.fewer == tuple(f"{name}=64" for name in changed)
    assert quick.at_side(128).sizes(type(quick.sections["latent"])).space == 256
    assert quick.at_side(1024).settings() == after
    given = quick.changed_by({"latent.space": 900}).at_side(256).settings()
    assert (given["latent.space"], given["latent.images"]) == (900, 64)
    assert PROFILES["paper"].at_side(256) == PROFILES["paper"]


def test_limit_caps_what_was_set(monkeypatch):
    options = parse(["all", "--limit", "9", "--set", "reconstruction.images=64"], None)
    assert options.profile.sizes(Sizes).images == 9


def test_steps_are_those_of_the_tables():
    settings = parse(["all", "--steps", "3,5"], None).profile.settings()
    for name in ("reconstruction.steps", "cost.steps", "samples.steps"):
        assert settings[name] == (3, 5)


def test_a_change_in_python_is_checked_too():
    with pytest.raises(UserError, match="variation.draws: must be at least 1, not 0"):
        PROFILES["smoke"].changed_by({"variation.draws": 0})
    with pytest.raises(UserError, match="variation.drows: no such setting; did you mean draws?"):
        PROFILES["smoke"].changed_by({"variation.drows": 3})
    assert PROFILES["smoke"].changed_by({"data.portraits": 3}).changed == ("data.portraits",)


# ----------------------------------------------------------------------------------------------
# Settings of a plug-in


@dataclass(frozen=True)
class Mine:
    """Of a plug-in."""

    images: Count = 50
    steps: tuple[Steps, ...] = (10,)
    way: str = "long"


def plug_in(**changes) -> Benchmark:
    given = {
        "name": "mine", "title": "", "paper": "", "table": "mine", "needs": frozenset(), "run": None,
        "headline": None, "sizes": Mine, "profiles": {"smoke": {"images": 3}},
    }  # fmt: skip
    return Benchmark(**given | changes)


@pytest.fixture
def installed(monkeypatch):
    """A plug-in `mine` whose module has been imported."""

    def install(benchmark: Benchmark) -> Benchmark:
        monkeypatch.setattr("plug_ins.MINE", benchmark, raising=False)
        offer(monkeypatch, "diffae.benchmarks", {"mine": "plug_ins:MINE"})
        return benchmark

    return install


def test_a_plug_in_has_a_section_of_its_own(tmp_path, installed):
    installed(plug_in())
    assert parse(["mine"], None).profile.sizes(Mine) == Mine()
    assert parse(["mine", "--profile", "smoke"], None).profile.sizes(Mine).images == 3
    profile = parse(["mine", "--set", "mine.way=short", "--limit", "20"], None).profile
    assert profile.sizes(Mine) == Mine(images=20, way="short")
    path = written(tmp_path, 'base = "smoke"\n[mine]\nsteps = [1, 2]\n', "own.toml")
    profile = parse(["mine", "--profile", str(path)], None).profile
    assert profile.sizes(Mine) == Mine(images=3, steps=(1, 2))
    assert "mine" not in parse(["probes"], None).profile.sections


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": int}, "sizes must be a dataclass"),
        ({"profiles": {"smok": {}}}, "its profiles: no profile 'smok'; did you mean smoke?"),
        ({"profiles": {"smoke": {"image": 3}}}, "mine.image: no such setting; did you mean images"),
        ({"profiles": {"smoke": {"images": -3}}}, "mine.images: must be at least 1, not -3"),
    ],
)
def test_settings_that_cannot_be_are_an_error_by_name(installed, changes, said):
    installed(plug_in(**changes))
    with pytest.raises(UserError) as error:
        REGISTRY.get("mine")
    assert said in str(error.value)

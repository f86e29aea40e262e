"""A place: what decides its numbers is in the protocol of its records and in the key of its jobs."""

from dataclasses import replace

import numpy as np

from benchmarks import systems
from benchmarks.plugin import Place, Variant


def test_no_field_takes_the_place_of_a_part_of_the_key(context):
    """Each part of a key, as a field too: every part stays, and each field makes another key."""
    images, system = context.select("test", 4), systems.load("dummy-perfect")
    place = Place(context, "table", system, fields={"draws": 5})
    key = place.job("work", "", images, np.copy).key
    assert {"work", "weights", "data", "split", "device", "precision", "seed"} <= key.keys()
    for name in key:
        other = place.also(**{name: "mine"}).job("work", "", images, np.copy).key
        kept = {part: value for part, value in other.items() if part != "fields"}
        assert kept == {part: value for part, value in key.items() if part != "fields"}
        assert other != key


def test_what_a_job_alone_depends_on_is_in_its_key(context):
    place = Place(context, "table", systems.load("dummy-perfect"), fields={"draws": 5})
    images = context.select("test", 4)
    one, two = (place.job("work", "", images, np.copy, more=more) for more in (1, 2))
    assert one.key != two.key and one.count == 4
    elsewhere = place.at(setting="other").job("work", "", images, np.copy)
    assert elsewhere.key != place.job("work", "", images, np.copy).key


def test_how_a_variant_decodes_is_in_the_key_whether_or_not_a_field_says_so(context):
    system, images = systems.load("dummy-stochastic"), context.select("test", 4)

    def key(**changes):
        variant = replace(Variant.of(context, system, None, None), **changes)
        return Place(context, "table", variant).job("work", "", images, np.copy).folder

    assert len({key(), key(x_T="random"), key(keep=1), key(keep=2)}) == 4


def test_a_test_image_is_encoded_once_for_all_benchmarks(context):
    """The codes that are decoded, moved and read are those of one job, unless there is an x_T to invert."""
    codes, images, fewer = context.codes, context.select("test", 8), context.select("test", 4)
    plain, inverting = systems.load("dummy-map"), systems.load("dummy-stochastic")
    encoded = codes.semantic(plain, images)
    assert codes.full(plain, images, 10).folder == encoded.folder
    read = codes.features(plain, fewer)
    assert encoded.folder in [job.folder for job in read.rows_of]
    assert codes.full(inverting, images, 10).folder != codes.semantic(inverting, images).folder

"""The parameters of portraits: 40 attributes, the look of a person and the scene of a picture.

All are drawn at random from seeds. Prevalences and correlations roughly follow CelebA, but rare
attributes are more frequent, so that small test splits have both classes.
"""

import hashlib
import math
from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

ATTRIBUTES = tuple(
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair "
    "Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair "
    "Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face "
    "Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair "
    "Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young".split()
)

PICTURES_PER_IDENTITY = 4
TRAIN, VALID, TEST = 0, 1, 2
_SHARES = ((0.6, TRAIN), (0.7, VALID), (1.0, TEST))

HAIR_COLOURS = ("Black_Hair", "Brown_Hair", "Blond_Hair", "Gray_Hair")
HAIR_SHAPES = ("Bangs", "Wavy_Hair", "Straight_Hair", "Receding_Hairline")
BEARDS = ("Goatee", "Mustache", "Sideburns")


# The geometry and colours of a person, the same in all pictures: fractions in [0, 1].
Look = namedtuple(
    "Look",
    "width length jaw eye_spacing eye_size eye_height iris nose_length mouth_width mouth_height brow skin "
    "hair_tone hair_volume hair_length parting",
)
# The pose, light and so on of a picture: the first seven from -1 to 1, the others fractions in [0, 1].
Scene = namedtuple(
    "Scene",
    "shift_x shift_y scale turn yaw gaze light light_strength background background_light shape clothes "
    "accessory makeup",
)

# Real-valued factors that every portrait shows. They are fields of a Look or a Scene, the first six
# from -1 to 1, the others fractions. Only "light" is the strength of the light, negative from the left.
FACTORS = tuple(
    "turn yaw gaze shift_x shift_y scale background_light skin hair_tone width length jaw eye_spacing "
    "eye_size eye_height nose_length mouth_height light".split()
)
# The factors of portraits in all combinations, and the levels of each: 1,024 portraits.
GRID = dict.fromkeys(("turn", "yaw", "light", "skin", "scale"), 4)
SIGNED = (*FACTORS[:6], "light")


@dataclass(frozen=True)
class Portrait:
    """All parameters of a picture."""

    identity: int
    partition: int
    attributes: dict[str, bool]
    look: Look
    scene: Scene

    @property
    def factors(self) -> dict[str, float]:
        """The values of FACTORS."""
        values = self.look._asdict() | self.scene._asdict()
        values["light"] = math.copysign(values["light_strength"], values["light"])
        return {name: values[name] for name in FACTORS}


def portrait(seed: int, index: int) -> Portrait:
    """The portrait of an index. It does not depend on the number of portraits."""
    identity = index // PICTURES_PER_IDENTITY
    person = np.random.default_rng([seed, 1, identity])
    picture = np.random.default_rng([seed, 2, index])
    permanent = _permanent(person)
    look = Look(*person.random(len(Look._fields)))
    signed = picture.uniform(-1, 1, len(Scene._fields))
    fractions = picture.random(len(Scene._fields))
    scene = Scene(*signed[:7], *fractions[7:])
    drawn = permanent | _passing(permanent, picture)
    attributes = {name: drawn[name] for name in ATTRIBUTES}
    return Portrait(identity, partition(seed, identity), attributes, look, scene)


def independent(seed: int, index: int, levels: Mapping[str, int]) -> Portrait:
    """A portrait of a different person for each index, so that all factors are independent.

    Each factor or attribute of `levels` takes that number of evenly spaced values, and successive
    indices go through all combinations, the last factor fastest. Then no other attributes are present,
    except that a portrait with one of BEARDS has a beard.
    """
    drawn = replace(portrait(seed, index * PICTURES_PER_IDENTITY), partition=partition(seed, index))
    if not levels:
        return drawn
    sizes = tuple(levels.values())
    places = np.unravel_index(index % math.prod(sizes), sizes)
    attributes = dict.fromkeys(ATTRIBUTES, False) | {"No_Beard": levels.keys().isdisjoint(BEARDS)}
    chosen = dict[str, float]()
    for (name, count), place in zip(levels.items(), places, strict=True):
        if name in ATTRIBUTES:
            attributes[name] = bool(place)
            continue
        low = -1 if name in SIGNED else 0
        chosen[name] = low + (1 - low) * float(place) / (count - 1)
    if "light" in chosen:
        chosen["light_strength"] = abs(chosen["light"])
    look = drawn.look._replace(**{k: v for k, v in chosen.items() if k in Look._fields})
    scene = drawn.scene._replace(**{k: v for k, v in chosen.items() if k in Scene._fields})
    return replace(drawn, attributes=attributes, look=look, scene=scene)


def partition(seed: int, identity: int) -> int:
    """The split of a person: train (60 %), valid (10 %) or test (30 %)."""
    digest = hashlib.sha256(f"{seed}/{identity}".encode()).digest()
    share = int.from_bytes(digest[:8], "little") / 2**64
    return next(part for limit, part in _SHARES if share < limit)


def _chances(rng: np.random.Generator) -> Callable[[float], bool]:
    return lambda p: bool(rng.random() < p)


def _permanent(rng: np.random.Generator) -> dict[str, bool]:
    """The attributes of a person that are the same in all pictures."""
    chance = _chances(rng)
    male, young = chance(0.42), chance(0.75)
    bald = chance(0.13 if male else 0.0)
    gray = chance(0.02 if young else 0.42)
    colour = rng.choice((*HAIR_COLOURS[:3], "red"), p=(0.34, 0.28, 0.24, 0.14))
    curl = rng.choice(("Wavy_Hair", "Straight_Hair", "neither"), p=(0.36, 0.28, 0.36))
    chubby = chance(0.10 if young else 0.2)
    attributes = {
        "Male": male,
        "Young": young,
        "Bald": bald,
        "Attractive": chance(0.62 if young else 0.2),
        "Arched_Eyebrows": chance(0.12 if male else 0.4),
        "Bushy_Eyebrows": chance(0.26 if male else 0.06),
        "Bangs": not bald and chance(0.08 if male else 0.24),
        "Big_Lips": chance(0.24),
        "Big_Nose": chance(0.34 if male else 0.16),
        "Chubby": chubby,
        "Double_Chin": chance(0.45 if chubby else 0.05),
        "High_Cheekbones": chance(0.42),
        "Narrow_Eyes": chance(0.14),
        "Oval_Face": chance(0.29),
        "Pale_Skin": chance(0.09),
        "Receding_Hairline": not bald and chance(0.24 if not young else 0.05),
        "Gray_Hair": not bald and gray,
        "Wavy_Hair": not bald and curl == "Wavy_Hair",
        "Straight_Hair": not bald and curl == "Straight_Hair",
    }
    attributes["Pointy_Nose"] = not attributes["Big_Nose"] and chance(0.36)
    for name in HAIR_COLOURS[:3]:
        attributes[name] = not bald and not gray and colour == name
    attributes["Bangs"] = attributes["Bangs"] and not attributes["Receding_Hairline"]
    return attributes


def _passing(person: dict[str, bool], rng: np.random.Generator) -> dict[str, bool]:
    """The attributes of a picture, and those of the `person` that a hat hides."""
    chance = _chances(rng)
    male, young = person["Male"], person["Young"]
    makeup = chance(0.02 if male else 0.55)
    bearded = male and chance(0.42)
    smiling = chance(0.48)
    hat = not person["Bald"] and chance(0.08)
    attributes = {
        "Heavy_Makeup": makeup,
        "Wearing_Lipstick": chance(0.02 if male else 0.9 if makeup else 0.45),
        "No_Beard": not bearded,
        "Goatee": bearded and chance(0.42),
        "Mustache": bearded and chance(0.42),
        "Sideburns": bearded and chance(0.42),
        "5_o_Clock_Shadow": male and chance(0.26),
        "Bags_Under_Eyes": chance(0.3 if male else 0.14),
        "Blurry": chance(0.06),
        "Eyeglasses": chance(0.08 if young else 0.16),
        "Smiling": smiling,
        "Mouth_Slightly_Open": chance(0.65 if smiling else 0.32),
        "Rosy_Cheeks": chance(0.02 if male else 0.2),
        "Wearing_Earrings": chance(0.03 if male else 0.36),
        "Wearing_Hat": hat,
        "Wearing_Necklace": chance(0.03 if male else 0.24),
        "Wearing_Necktie": chance(0.18 if male else 0.01),
    }
    if hat:
        attributes["Receding_Hairline"] = False  # attributes under a hat are not labelled
    return attributes


def with_attribute(portrait: Portrait, name: str, value: bool) -> Portrait:
    """The same portrait with one attribute changed. Others change only if it excludes them.

    Raises KeyError if there is no such attribute.
    """
    if name not in ATTRIBUTES:
        raise KeyError(name)
    attributes = portrait.attributes | {name: value}
    if value:
        attributes |= dict.fromkeys(excluded_by(name), False)
    if name == "No_Beard" and not value:
        attributes["Goatee"] = False  # a beard along the jaw is enough
    return replace(portrait, attributes=attributes)


def excluded_by(name: str) -> tuple[str, ...]:
    """The attributes that a portrait with the attribute `name` cannot have."""
    if name in HAIR_COLOURS:
        return (*(other for other in HAIR_COLOURS if other != name), "Bald")
    return {
        "Bald": (*HAIR_COLOURS, *HAIR_SHAPES, "Wearing_Hat"),
        "Wearing_Hat": ("Bald", "Receding_Hairline"),
        "Receding_Hairline": ("Bald", "Bangs", "Wearing_Hat"),
        "Bangs": ("Bald", "Receding_Hairline"),
        "Wavy_Hair": ("Bald", "Straight_Hair"),
        "Straight_Hair": ("Bald", "Wavy_Hair"),
        "Big_Nose": ("Pointy_Nose",),
        "Pointy_Nose": ("Big_Nose",),
        "No_Beard": BEARDS,
        **dict.fromkeys(BEARDS, ("No_Beard",)),
    }.get(name, ())

"""Procedural portraits: faces drawn as SVG that stand in for CelebA where there is no data at all.

All 40 CelebA attributes exist and can be seen; an identity is a set of geometry and colour
parameters with several pictures; everything is a function of (seed, index). Written to disk they
have CelebA's own layout.
"""

from diffae.data.portraits.attributes import ATTRIBUTES, Portrait, portrait, with_attribute
from diffae.data.portraits.draw import to_svg
from diffae.data.portraits.write import PORTRAITS_VERSION, ensure, render, write_dataset

__all__ = [
    "ATTRIBUTES",
    "PORTRAITS_VERSION",
    "Portrait",
    "ensure",
    "portrait",
    "render",
    "to_svg",
    "with_attribute",
    "write_dataset",
]

"""Procedural portraits: faces drawn as SVG that stand in for CelebA where there is no data at all.

All 40 CelebA attributes exist and can be seen; an identity is a set of geometry and colour
parameters with several pictures; everything is a function of (seed, index). Written to disk they
have CelebA's own layout.
"""

from diffae.data.portraits.attributes import ATTRIBUTES as ATTRIBUTES
from diffae.data.portraits.attributes import Portrait as Portrait
from diffae.data.portraits.attributes import portrait as portrait
from diffae.data.portraits.attributes import with_attribute as with_attribute
from diffae.data.portraits.draw import to_svg as to_svg
from diffae.data.portraits.write import PORTRAITS_VERSION as PORTRAITS_VERSION
from diffae.data.portraits.write import PortraitDrawing as PortraitDrawing
from diffae.data.portraits.write import ensure as ensure
from diffae.data.portraits.write import render as render
from diffae.data.portraits.write import write_dataset as write_dataset

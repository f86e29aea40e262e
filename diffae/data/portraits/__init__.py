"""Procedural portraits: faces drawn as SVG, which take the place of CelebA where there is no data.

They have all 40 attributes of CelebA, and each is visible. A person is a set of parameters of geometry
and colour, and has several pictures. Everything is a function of (seed, index). On disk the portraits
have the layout of CelebA.
"""

from diffae.data.portraits.attributes import ATTRIBUTES as ATTRIBUTES
from diffae.data.portraits.attributes import Portrait as Portrait
from diffae.data.portraits.attributes import portrait as portrait
from diffae.data.portraits.attributes import with_attribute as with_attribute
from diffae.data.portraits.draw import to_svg as to_svg
from diffae.data.portraits.write import PORTRAITS_VERSION as PORTRAITS_VERSION
from diffae.data.portraits.write import PortraitDrawing as PortraitDrawing
from diffae.data.portraits.write import are_drawn as are_drawn
from diffae.data.portraits.write import ensure as ensure
from diffae.data.portraits.write import planned as planned
from diffae.data.portraits.write import render as render
from diffae.data.portraits.write import write_dataset as write_dataset

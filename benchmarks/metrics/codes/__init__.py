"""Numbers of the codes of images: what can be read from them, and along which of their axes.

`table` measures a number by name, `schema` reads the protocols of benchmarks/protocols/codes/, and
the other modules have a dict NUMBERS each.
"""

"""Numbers of the space of codes that need no labels, but for `viv_by_class` and `lnc`: how near it is to what a
generator finds easy. Codes are vectors, n x d, or maps, n x C x H x W.
"""

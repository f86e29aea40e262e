"""Pages of the reference that are made from the tables of the code, and not written.

`diffae-bench docs` prints them, and the build of the site (docs/reference.py) adds them to docs/.
"""

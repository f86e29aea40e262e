"""Numbers that are not bound to the axes of a code: a rotation of it leaves them as they are, or, where
dimensions are standardised or penalised, nearly so.
"""

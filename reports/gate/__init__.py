"""The regression gate: verdicts on two runs, as sentences, as a page, as JUnit, and on a pull
request.
"""

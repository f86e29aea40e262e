"""The regression gate: verdicts on two runs, in words, as a page, as JUnit, and on a pull request."""

"""The regression gate: verdicts on two runs, as sentences, a page, JUnit, and on a pull request."""

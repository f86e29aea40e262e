"""TEMPORARY: names of the old form."""

from benchmarks.core.images import decode_calls as decode_calls
from benchmarks.core.images import encode_calls as encode_calls
from benchmarks.core.job import Calls as Calls

Work = distinct = comparisons = codes = semantic_codes = None

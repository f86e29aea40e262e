"""Pretrained weights of the networks that metrics use: which there are, where they lie, and how they
are fetched.

Nothing is fetched but by `python -m benchmarks.run weights`.
"""

from benchmarks.weights.files import KNOWN as KNOWN
from benchmarks.weights.files import Found as Found
from benchmarks.weights.files import Weight as Weight
from benchmarks.weights.files import WeightFile as WeightFile
from benchmarks.weights.files import find as find
from benchmarks.weights.files import find_file as find_file
from benchmarks.weights.files import folder as folder
from benchmarks.weights.files import how_to_get as how_to_get
from benchmarks.weights.files import is_published as is_published
from benchmarks.weights.files import load_path as load_path
from benchmarks.weights.files import read_state as read_state
from benchmarks.weights.files import sha256 as sha256
from benchmarks.weights.files import tensors_sha256 as tensors_sha256
from benchmarks.weights.files import unpublished as unpublished

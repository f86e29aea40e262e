"""How a number's steps were taken: solver, grid and network calls, for its row and for its
protocol.

system = system.solving(sizes.solver)
taken = Taken(system, steps, inverts=True)
context.protocol(..., **taken.protocol)
context.record(..., **taken.row)
"""

from dataclasses import dataclass
from typing import Any

from benchmarks.systems.protocol.base import System

OWN = "the system's own"


@dataclass(frozen=True)
class Taken:
    """How the images behind a number were computed: the system, and T = `steps` of its decoding.

    `steps` is None for a system that takes no steps. With `inverts`, x_T was computed from the
    images in T steps first; with `latents`, the latent DDIM sampled z_sem in T steps. A row that
    belongs to no system has `Taken(System(), None)`.
    """

    system: System
    steps: int | None
    inverts: bool = False
    latents: bool = False

    @property
    def row(self) -> dict[str, Any]:
        """The fields of a row; calls are those of the decoding network, for one image."""
        if self.steps is None:
            return {"steps": None, "solver": "", "calls": None}
        calls = decode_calls(self.system, self.steps) or 0
        calls += (encode_calls(self.system, self.steps) or 0) if self.inverts else 0
        return {"steps": self.steps, "solver": solver_of(self.system, self.steps), "calls": calls}

    @property
    def protocol(self) -> dict[str, Any]:
        """The fields of a protocol."""
        solver, own = self.system.solver, {"solver": OWN if self.steps else None}
        by = solver.protocol() if solver is not None and self.steps else own
        fields = {
            "inversion_steps": self.steps if self.inverts else None,
            "inversion_calls": encode_calls(self.system, self.steps) if self.inverts else None,
            "decoding_steps": self.steps,
            "decoding_calls": decode_calls(self.system, self.steps),
            **by,
        }
        return fields | ({"latent_steps": self.steps} if self.latents else {})


def solver_of(system: System, steps: int | None) -> str:
    """The name of the solver, for a row."""
    return str(system.solver or "") if steps else ""


def decode_calls(system: System, steps: int | None) -> int | None:
    """Network calls of one decoding; None where decoding takes no steps."""
    if steps is None or not system.iterative:
        return None
    return steps if system.solver is None else system.solver.decode_calls(steps)


def encode_calls(system: System, steps: int | None) -> int | None:
    """Network calls of one inversion; None where it takes no steps."""
    if steps is None or not system.iterative:
        return None
    return steps if system.solver is None else system.solver.encode_calls(steps)

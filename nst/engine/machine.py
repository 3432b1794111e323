"""The machine that jobs run on, as far as results depend on it, and the key that a finished job is stored under.

The driver of a study computes keys and never imports torch: it asks a worker for its `Machine`.  So nothing here
imports torch but `machine` itself.
"""

import ast
import functools
import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path

from nst.engine import weights
from nst.engine.inputs import Inputs
from nst.engine.jobs import Job


@dataclass(frozen=True)
class Machine:
    """What a result depends on beside its job, the pictures and the weights."""

    device: str
    """"cpu", or a GPU's name and compute capability: "NVIDIA H100 80GB HBM3 sm_90"."""
    processor: str
    """Architecture and the instructions that torch uses: "x86_64 AVX512 amx_bf16"; others sum in another order.
    Empty for a GPU, whose host does not matter."""
    precision: str
    """"bfloat16" where the hardware accelerates it, else "float32": what a job's "auto" means here."""
    torch: str
    """Its version."""
    engine: str
    """`engine_digest`."""

    def __str__(self) -> str:
        device = f"{self.device} ({self.processor})" if self.processor else self.device
        return f"{device}, {self.precision}, torch {self.torch}, engine {self.engine[:8]}"


_ACCELERATED = ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16")
"""Names that torch gives to a CPU's instructions for bfloat16."""


@functools.cache
def machine() -> Machine:
    """The machine that this process runs on, with its GPU if torch finds one.  Imports torch."""
    import torch

    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        device, processor = f"{torch.cuda.get_device_name()} sm_{major}{minor}", ""
        accelerated = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        found = [name for name in _ACCELERATED if capabilities.get(name)]
        device, processor = "cpu", " ".join([platform.machine(), torch.backends.cpu.get_cpu_capability(), *found])
        accelerated = bool(found)
    # torch's own class of version strings could not be unpickled by the driver without torch.
    version = str(torch.__version__)
    return Machine(device, processor, "bfloat16" if accelerated else "float32", version, engine_digest())


def precision_of(job: Job, machine: Machine) -> str:
    """ "bfloat16" or "float32": what the job's features are computed in on this machine."""
    return machine.precision if job.precision == "auto" else job.precision


def key(job: Job, inputs: Inputs, machine: Machine, *, threads: int = 1) -> str:
    """What a finished job is stored under: a SHA-256 of everything that its result depends on.

    Args:
        machine: the one that the job runs on, which need not be this one.
        threads: of the job; another number sums in another order, which changes the last bits.

    Raises:
        WeightsError: the weights are missing or altered.
    """
    pictures = (inputs.content, *(png for png, _ in inputs.styles))
    parts = {
        "job": job.digest,
        "pictures": [hashlib.sha256(png).hexdigest() if png else None for png in pictures],
        "weights": weights.checksum(job.weights),
        "machine": [machine.device, machine.processor, machine.torch, machine.engine],
        "precision": precision_of(job, machine),
        "threads": threads,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.cache
def engine_digest(folder: Path = Path(__file__).parent) -> str:
    """SHA-256 of the engine's code; comments, docstrings and layout do not count.

    Nor does jobs.py, so that a new option alone does not discard results: `Job.digest` stands for the job, and a stored
    result is used for an equal job only.
    """
    digest = hashlib.sha256()
    for path in sorted(set(folder.rglob("*.py")) - {folder / "jobs.py"}):
        digest.update(f"{path.relative_to(folder).as_posix()}\n{_code(path.read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()


def _code(source: str) -> str:
    """The syntax tree as text, without strings that stand alone: docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_docstring(statement)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_docstring(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )

"""Where and how jobs run: read from the environment (``NST_…``) or from ``.env``.

Nothing here is part of what is studied; that is in ``params.yaml``.
"""

import argparse
import difflib
import logging
import os
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as NotJSONError

from nst.errors import NSTError

ROOT = Path.cwd() if Path("dvc.yaml").is_file() else Path(__file__).resolve().parent.parent
"""The folder of the studies: the one that `nst init` made, where the command runs in it, else the checkout.
Paths that are not absolute are relative to it."""

HOME = Path(*ROOT.parts[: ROOT.parts.index(".dvc")]) if ".dvc" in ROOT.parts else ROOT
"""The folder that keeps `.env`, finished jobs and Prefect's database.
DVC tries experiments in copies of ROOT, below its .dvc/tmp, without the files that git ignores."""

_BETWEEN_PROCESSES = {"NST_OWNER", "NST_SUPERVISOR", "NST_ROOT", "NST_SHARERS"}
"""Variables that processes set for those they start."""


class SettingsError(NSTError):
    """An ``NST_…`` variable that cannot be used."""


class Settings(BaseSettings):
    """Each field is set by the variable ``NST_<FIELD>``, like ``NST_WORKERS=8``; docs/cluster.md has them all."""

    model_config = SettingsConfigDict(env_prefix="NST_", env_file=HOME / ".env", extra="ignore", env_ignore_empty=True)

    workers: int | None = Field(default=None, ge=1)  # of a cluster of our own; None: one a GPU, or a core where none is
    threads: int = Field(default=1, ge=1)  # of one job; another number changes last bits, and is stored apart
    batch: int | None = Field(default=None, ge=1)  # jobs; None: as many as the GPU has room for, and 1 on a CPU
    memory_limit: str = "auto"  # of one local worker before it is restarted; auto: its share of the machine; 0: none
    dask_address: str | None = None  # of a running scheduler; None: a cluster of our own
    cluster: Literal["local", "slurm"] = "local"
    cluster_options: dict[str, Any] = {}  # more arguments for `dask_jobqueue.SLURMCluster`, as JSON; they win over ours
    retries: int = Field(default=2, ge=0)
    retry_delay: float = Field(default=1.0, ge=0)  # seconds
    cache: str = ".cache/jobs"  # a folder, which may be a shared one, or a URL like s3://bucket/prefix
    server_timeout: float = Field(default=120.0, gt=0)  # seconds for Prefect's API to start, and that it may be busy
    cluster_timeout: float = Field(default=120.0, gt=0)  # seconds for Dask to answer, and that it may have no worker

    @field_validator("cache")
    @classmethod
    def _from_the_checkout(cls, place: str) -> str:
        return place if "://" in place else str(HOME / Path(place).expanduser())

    @field_validator("memory_limit")
    @classmethod
    def _a_size(cls, limit: str) -> str:
        from dask.utils import parse_bytes

        try:
            right = limit == "auto" or parse_bytes(limit) >= 0
        except ValueError:
            right = False
        if not right:
            raise ValueError("should be auto, 0 (no limit), or a size like 3GB")
        return limit

    @property
    def own_workers(self) -> int:
        """The number of worker processes of a cluster of our own."""
        return self.workers or len(gpus()) or cores()


def cores() -> int:
    """The cores this process may use: CPU affinity and the quota of its control group are respected."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def gpus() -> list[str]:
    """The NVIDIA GPUs of this machine, as CUDA_VISIBLE_DEVICES names them; found without torch, which takes seconds to
    import."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = sorted((path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")), key=int)
    if visible is None:
        return [str(number) for number in range(len(found))]  # CUDA counts those it may use, whatever they are called
    return [name for name in visible.split(",") if name.strip() not in ("", "-1")] if found else []


def add_paths(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say where a command reads and writes."""
    for name, path, text in (
        ("--params", "params.yaml", "what is studied"),
        ("--data", "data", "folder of pictures"),
        ("--reports", "reports", "folder of the studies' results"),
    ):
        parser.add_argument(name, type=Path, default=Path(path), help=f"{text} (default: %(default)s)")


def load() -> Settings:
    """The settings in force.

    Raises:
        SettingsError: a variable has a value that cannot be used, or begins with ``NST_`` and is none of ours.
    """
    try:
        found = Settings()
    except NotJSONError:  # the one field that is JSON
        raise SettingsError("NST_CLUSTER_OPTIONS is not valid JSON") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(["NST", *map(str, first["loc"])]).upper()
        raise SettingsError(f"{name} = {first['input']!r}: {first['msg'].removeprefix('Value error, ')}") from None
    ours = {f"NST_{name.upper()}" for name in Settings.model_fields}
    given = {name.upper() for name in [*os.environ, *dotenv_values(HOME / ".env")]}
    for name in sorted(name for name in given - ours - _BETWEEN_PROCESSES if name.startswith("NST_")):
        near = difflib.get_close_matches(name.removeprefix("NST_").lower(), Settings.model_fields, n=1)
        hint = f"is it NST_{near[0].upper()}?" if near else "see docs/cluster.md"
        raise SettingsError(f"{name} is no setting; {hint}")
    return found


QUIET_AND_OFFLINE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # a failed job is reported in one line by `flows.study`
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "INFO",  # to the API: what ran where
    "PREFECT_CLI_PROMPT": "false",
    "PYTHONWARNINGS": "ignore:resource_tracker",  # what a killed process left is cleaned up, and no news
    "PREFECT_CLIENT_MAX_RETRIES": "2",  # of 5: a server that has ended is noticed in seconds, not minutes
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "false",
    "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "10",  # of 1,000 messages a worker, each holding jobs
}
"""Defaults for this process and all it starts; a variable that is already set is left alone."""


def prepare_environment() -> None:
    """Sets what Prefect and Dask read when they are imported; call it first."""
    for name, value in {**QUIET_AND_OFFLINE, "PREFECT_HOME": str(HOME / ".prefect")}.items():
        os.environ.setdefault(name, value)
    logging.raiseExceptions = False  # `flows.fanout` reports an API that has ended, in one line

"""Where and how jobs run: read from the environment (``NST_…``) or from ``.env``.

Nothing here is part of what is studied; that is in ``params.yaml``.
"""

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as NotJSONError

from nst.errors import NSTError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout; paths that are not absolute are meant from here."""


GPU_BATCH = 16
"""Jobs in a batch on a GPU, unless something else is asked for."""


class SettingsError(NSTError):
    """An ``NST_…`` variable that cannot be used."""


class Settings(BaseSettings):
    """Each field is set by the variable ``NST_<FIELD>``, for example ``NST_WORKERS=8``."""

    model_config = SettingsConfigDict(env_prefix="NST_", env_file=ROOT / ".env", extra="ignore", env_ignore_empty=True)

    workers: int | None = Field(default=None, ge=1)
    """Worker processes of the local cluster; by default one for each core, or one in all where there is a GPU."""
    threads: int = Field(default=1, ge=1)
    """Threads of one job.  Another number changes last bits, so results of the two are kept apart."""
    batch: int | None = Field(default=None, ge=1)
    """Jobs of one kind that a worker runs as one batch; by default what fits, at most 16, on a GPU, and 1 on a CPU,
    where more were no faster."""
    memory_limit: str = "auto"
    """Memory of one local worker before it is restarted, like 3GB; 0 means no limit."""
    dask_address: str | None = None
    """A running Dask scheduler to use instead of a cluster of our own, like tcp://10.0.0.1:8786."""
    cluster: Literal["local", "cuda", "slurm"] = "local"
    """What to start: processes on this machine, one process for each of its GPUs, or batch jobs of SLURM."""
    cluster_options: dict[str, Any] = {}
    """More arguments for the class of that cluster, as JSON; they win over ours (see `flows.cluster`)."""
    resources: dict[str, float] = {}
    """Dask resources that each job takes, as JSON like {"GPU": 1}; only workers that offer them get jobs."""
    in_flight: int | None = Field(default=None, ge=1)
    """Jobs that are with the cluster at any time; by default four for each that it can run at once."""
    retries: int = Field(default=2, ge=0)
    """How often a job that failed is tried again."""
    retry_delay: float = Field(default=1.0, ge=0)
    """Seconds before it is tried again."""
    cache: str = ".cache/jobs"
    """Where finished jobs are kept: a folder, which may be a shared one, or a URL like s3://bucket/prefix."""
    server_timeout: float = Field(default=120.0, gt=0)
    """Seconds that Prefect's API may take to start, and that it may be busy while jobs run."""
    cluster_timeout: float = Field(default=120.0, gt=0)
    """Seconds that the Dask cluster may take to answer, and to have a worker that takes jobs."""

    @field_validator("cache")
    @classmethod
    def _from_the_checkout(cls, place: str) -> str:
        return place if "://" in place else str(ROOT / Path(place).expanduser())

    @property
    def elsewhere(self) -> bool:
        """Whether jobs run on other machines, which may be of another kind and have disks of their own."""
        return self.dask_address is not None or self.cluster == "slurm"

    @property
    def workers_store(self) -> bool:
        """Whether workers write finished jobs themselves, which they can where they reach the storage as we do."""
        return "://" in self.cache or not self.elsewhere

    @property
    def largest_batch(self) -> int:
        """Of a worker that we start."""
        return self.batch or (GPU_BATCH if self.cluster == "cuda" or has_gpu() else 1)

    @property
    def worker_threads(self) -> int:
        """Jobs that a worker that we start holds at a time: with batches, one that runs and one that waits."""
        return 1 if self.largest_batch == 1 else 2 * self.largest_batch

    @property
    def job_resources(self) -> dict[str, float]:
        """What each job takes: by default its share of one GPU of a cluster of GPUs."""
        if self.resources or self.cluster != "cuda" or self.dask_address:
            return self.resources
        return {"GPU": 1 / self.worker_threads}

    @property
    def local_workers(self) -> int:
        """The number of worker processes of a local cluster."""
        return self.workers or (1 if has_gpu() else cores())


def cores() -> int:
    """The cores this process may use, which in a container or a batch job are not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether torch will find an NVIDIA GPU; asked of the system, as importing torch takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    return not hidden and any(Path("/dev").glob("nvidia[0-9]*"))


def load() -> Settings:
    """The settings in force.

    Raises:
        SettingsError: a variable has a value that cannot be used.
    """
    try:
        return Settings()
    except NotJSONError as error:
        found = re.search(r'field "(\w+)"', str(error))
        name = f"NST_{found[1].upper()}" if found else "a variable"
        raise SettingsError(f"{name} is not valid JSON") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(["NST", *map(str, first["loc"])]).upper()
        raise SettingsError(f"{name} = {first['input']!r}: {first['msg']}") from None

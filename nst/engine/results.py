"""What a job yields, and how it is stored: plain JSON with the pictures inside, never a pickle."""

import base64
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from nst.engine.jobs import Job
from nst.errors import ResultError


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Metrics of the saved 8-bit picture, in float32 (see `metrics`); None where a job has nothing to compare
    with."""

    content_distance: float | None
    style_distance: float | None
    """From the style: the geometric mean of `gram_errors`, so over all 16 layers."""
    own_style_distance: float | None
    """The same over the layers that the job itself optimised."""
    gram_errors: tuple[float, ...] | None
    """The relative Gram error of each layer, conv1_1 … conv5_4."""
    sliced_wasserstein: float | None
    """From the style; like `colour_distance`, it is never optimised."""
    colour_distance: float | None
    cfsd: float | None
    """From the content: CFSD (VGG-19, ours), see `nst.engine.cfsd`."""
    st_lpips: float | None
    """From the content, by a network that no job is optimised with; None also where a side is shorter than 32 px."""
    arrangement: float | None
    """Of a texture: how far it repeats the arrangement of the style picture, 1 = the same, wherever it was moved to."""
    psnr: float | None
    """Against the content picture, dB."""
    ssim: float | None
    """Against the content picture, 1 = equal."""
    final_loss: float
    """The job's own objective, of the saved picture; with average pooling, luminance alone or a picture in tiles it is
    in the job's precision, else in float32."""

    def numbers(self) -> dict[str, float | None]:
        """All that are one number, by name: without `gram_errors`."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "gram_errors"}


def known(value: float | None) -> float:
    """A metric that this kind of job has."""
    assert value is not None, "this kind of job does not have this metric"
    return value


@dataclass(frozen=True)
class Timing:
    """Where the time went.  Differs from run to run; never part of a quality table."""

    seconds: float
    """From the start picture (included) to the last iteration; reading weights and the metrics are not in it."""
    start_seconds: float
    """Of these, for making the start picture (AdaIN's forward pass)."""
    all_seconds: float
    """With everything else that was done for the job: its targets, a warm-up if it had one, its metrics."""
    measuring_seconds: float
    """Of these, for the metrics."""
    iterations: int
    evaluations: int
    """Forward and backward passes; L-BFGS may need several in one iteration."""
    peak_memory_mb: float
    elapsed: tuple[float, ...]
    """Seconds after which each entry of `Result.losses` was computed."""
    batch: int = 1
    """How many jobs ran together; each has its share of the time that they took."""

    @property
    def seconds_per_iteration(self) -> float:
        """Mean, without the start picture."""
        return (self.seconds - self.start_seconds) / max(self.iterations, 1)


@dataclass(frozen=True)
class Environment:
    """What the job ran on."""

    device: str
    precision: str
    kernels: str
    """What computed the network: "onednn", the fused kernels of `nst.engine.onednn`, or "plain"."""
    threads: int
    torch: str
    weights_sha256: str
    worker: str


@dataclass(frozen=True)
class Result:
    """A finished job."""

    job: Job
    png: bytes
    """The picture, 8 bit RGB."""
    frames: tuple[bytes, ...]
    """Pictures of the process, first to last; as many as `Job.frames` says."""
    losses: tuple[float, ...]
    """losses[i] is the objective after i iterations; the start picture's is losses[0]."""
    quality: Quality
    timing: Timing
    environment: Environment

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values with a checksum of their own, so that a cut or altered file is noticed."""
        body: dict[str, Any] = {
            "job": self.job.to_dict(),
            "png": base64.b64encode(self.png).decode(),
            "frames": [base64.b64encode(frame).decode() for frame in self.frames],
            "losses": list(self.losses),
            "quality": dataclasses.asdict(self.quality),
            "timing": {**dataclasses.asdict(self.timing), "elapsed": list(self.timing.elapsed)},
            "environment": dataclasses.asdict(self.environment),
        }
        return {**body, "sha256": _checksum(body)}

    @classmethod
    def from_dict(cls, values: Any) -> "Result":
        """Inverse of `to_dict`.

        Raises:
            ResultError: values are missing or were altered.
        """
        if not isinstance(values, dict) or "sha256" not in values:
            raise ResultError("not a stored result: the checksum is missing")
        body = {key: value for key, value in values.items() if key != "sha256"}
        if _checksum(body) != values["sha256"]:
            raise ResultError("a stored result does not match its checksum: it was cut short or altered")
        quality, timing = body["quality"], body["timing"]
        errors = quality["gram_errors"]
        return cls(
            job=Job.from_dict(body["job"]),
            png=base64.b64decode(body["png"]),
            frames=tuple(base64.b64decode(frame) for frame in body["frames"]),
            losses=tuple(body["losses"]),
            quality=Quality(**{**quality, "gram_errors": None if errors is None else tuple(errors)}),
            timing=Timing(**{**timing, "elapsed": tuple(timing["elapsed"])}),
            environment=Environment(**body["environment"]),
        )


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

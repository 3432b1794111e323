"""Strips of pictures over depth, with their curves: the reconstruction and the synthesis study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nst.findings.records import Results, Run, StudyResults
from nst.layers import layer_number
from nst.page import charts, pictures, sources
from nst.page.pictures import Shown
from nst.params import Params
from nst.wording import number


@dataclass(frozen=True)
class Noises:
    """An original, and what came of two noises."""

    pictures: tuple[Shown, ...]
    between: str
    """How alike the two are."""


@dataclass(frozen=True)
class Strip:
    """What a study shows over depth."""

    original: Shown
    pictures: tuple[Shown, ...]
    """The shallowest first."""
    charts: tuple[str, ...]
    """SVG."""
    noises: tuple[Noises, ...]


@dataclass(frozen=True)
class _Quantity:
    key: Literal["psnr", "ssim", "content_distance", "style_distance", "sliced_wasserstein", "colour_distance"]
    label: str
    direction: str
    unit: str = ""

    def of(self, run: Run) -> float:
        value = getattr(run, self.key)
        assert value is not None, f"{run.job} has no {self.label}"
        return float(value)

    def shown(self, run: Run) -> str:
        return f"{number(self.of(run))}{self.unit}"


_PSNR = _Quantity("psnr", "PSNR", "dB, higher is closer", " dB")
_SSIM = _Quantity("ssim", "SSIM", "higher is closer")
_CONTENT = _Quantity("content_distance", "content distance", "lower is closer")
_STYLE = _Quantity("style_distance", "style distance", "lower is closer")
_WASSERSTEIN = _Quantity("sliced_wasserstein", "sliced Wasserstein distance", "lower is closer")
_COLOUR = _Quantity("colour_distance", "colour distance", "lower is closer")


def reconstruction(params: Params, results: Results, reports: Path, data: Path) -> Strip:
    """What comes back from each layer."""
    study, name = results.studies["reconstruction"], params.reconstruction.content
    by_layer: dict[str, Run] = {}
    for run in study.runs:
        if run.content == name:
            by_layer.setdefault(str(run.content_layer), run)
    best = study.metrics["best_layer"]
    return Strip(
        original=_original(data, "content", name),
        pictures=_pictures(
            reports,
            study,
            {f"{layer_number(layer)} · {layer}": run for layer, run in by_layer.items()},
            (_PSNR, _SSIM, _CONTENT),
            by_layer[best],
        ),
        charts=_charts(study, by_layer, (_PSNR, _SSIM, _CONTENT), best),
        noises=tuple(
            _noises(
                reports,
                study,
                _original(data, "content", each),
                [run for run in study.runs if run.content == each and run.content_layer == best],
                _PSNR,
            )
            for each in params.reconstruction.compare_contents
        ),
    )


def synthesis(params: Params, results: Results, reports: Path, data: Path) -> Strip:
    """What texture each window makes."""
    study, name = results.studies["synthesis"], params.synthesis.style
    by_window: dict[str, Run] = {}
    for run in study.runs:
        if run.style == name:
            by_window.setdefault(str(run.style_layers), run)
    best = study.metrics["best_window"]
    return Strip(
        original=_original(data, "style", name),
        pictures=_pictures(
            reports,
            study,
            {f"layers {window}": run for window, run in by_window.items()},
            (_STYLE, _WASSERSTEIN, _COLOUR),
            by_window[best],
        ),
        charts=_charts(study, by_window, (_STYLE, _WASSERSTEIN, _COLOUR), best),
        noises=tuple(
            _noises(
                reports,
                study,
                _original(data, "style", each),
                [run for run in study.runs if run.style == each and run.style_layers == best],
                _STYLE,
            )
            for each in params.synthesis.compare_styles
        ),
    )


def _original(data: Path, kind: Literal["content", "style"], name: str) -> Shown:
    return Shown(
        pictures.thumbnail(sources.original(data, kind, name)), f"The {kind} picture, {name}.", f"original: {name}"
    )


def _pictures(
    reports: Path,
    study: StudyResults,
    runs: dict[str, Run],
    quantities: Sequence[_Quantity],
    best: Run,
) -> tuple[Shown, ...]:
    return tuple(
        Shown(
            pictures.thumbnail(sources.result(reports, study.name, run)),
            f"{run.content or run.style} from {title}.",
            title,
            tuple((quantity.label, quantity.shown(run)) for quantity in quantities),
            sources.href(study.name, run),
            run.job,
            run is best,
        )
        for title, run in runs.items()
    )


def _charts(study: StudyResults, runs: dict[str, Run], quantities: Sequence[_Quantity], best: str) -> tuple[str, ...]:
    return tuple(
        charts.over_depth(
            quantity.label,
            list(runs),
            [
                charts.Point(
                    position,
                    quantity.of(run),
                    f"{name}: {quantity.label} {quantity.shown(run)}",
                    sources.href(study.name, run),
                    run.job,
                    marked=name == best,
                )
                for position, (name, run) in enumerate(runs.items())
            ],
            y_label=quantity.direction,
        )
        for quantity in quantities
    )


def _noises(reports: Path, study: StudyResults, original: Shown, runs: Sequence[Run], quantity: _Quantity) -> Noises:
    between = study.metrics["noises"][runs[0].content or runs[0].style]["psnr_between"]
    return Noises(
        (
            original,
            *(
                Shown(
                    pictures.thumbnail(sources.result(reports, study.name, run)),
                    f"{run.content or run.style}, from noise {run.seed}.",
                    f"from noise {run.seed}",
                    ((quantity.label, quantity.shown(run)),),
                    sources.href(study.name, run),
                )
                for run in runs
            ),
        ),
        f"PSNR of the first result against the second: {number(between)} dB.",
    )

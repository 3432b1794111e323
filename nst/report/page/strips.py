"""Strips of pictures over depth, with their curves: the reconstruction and the synthesis study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nst.engine.results import known
from nst.params import Params
from nst.report.findings.phrases import numbered
from nst.report.findings.records import Results, Run, StudyResults
from nst.report.page import charts, sources
from nst.report.page.pictures import Shown
from nst.report.wording import number


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
        return known(getattr(run, self.key))

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
    study, section = results.studies["reconstruction"], params.reconstruction
    return _strip(
        study,
        reports,
        data,
        kind="content",
        name=section.content,
        compared=section.compare_contents,
        best=study.metrics["best_layer"],
        title=numbered,
        quantities=(_PSNR, _SSIM, _CONTENT),
    )


def synthesis(params: Params, results: Results, reports: Path, data: Path) -> Strip:
    """What texture each window makes."""
    study, section = results.studies["synthesis"], params.synthesis
    return _strip(
        study,
        reports,
        data,
        kind="style",
        name=section.style,
        compared=section.compare_styles,
        best=study.metrics["best_window"],
        title=lambda window: f"layers {window}",
        quantities=(_STYLE, _WASSERSTEIN, _COLOUR),
    )


def _strip(
    study: StudyResults,
    reports: Path,
    data: Path,
    *,
    kind: Literal["content", "style"],
    name: str,
    compared: Sequence[str],
    best: str,
    title: Callable[[str], str],
    quantities: Sequence[_Quantity],
) -> Strip:
    """One original over depth, then the compared ones at the best place; noises differ in the first quantity."""
    by_place: dict[str, Run] = {}
    for run in study.runs:
        if _original(run) == name:
            by_place.setdefault(_place(run), run)

    def original(each: str) -> Shown:
        return sources.original(data, kind, each, f"original: {each}")

    return Strip(
        original=original(name),
        pictures=_pictures(
            reports, study, {title(place): run for place, run in by_place.items()}, quantities, by_place[best]
        ),
        charts=_charts(study, by_place, quantities, best),
        noises=tuple(
            _noises(
                reports,
                study,
                original(each),
                [run for run in study.runs if (_original(run), _place(run)) == (each, best)],
                quantities[0],
            )
            for each in compared
        ),
    )


def _original(run: Run) -> str:
    """The name of the one picture that was studied."""
    return str(run.content or run.style)


def _place(run: Run) -> str:
    """The layer or the window, as tables name it."""
    return str(run.content_layer or run.style_layers)


def _pictures(
    reports: Path,
    study: StudyResults,
    runs: dict[str, Run],
    quantities: Sequence[_Quantity],
    best: Run,
) -> tuple[Shown, ...]:
    return tuple(
        Shown(
            sources.result(reports, study.name, run),
            f"{_original(run)} from {title}.",
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
    between = study.metrics["noises"][_original(runs[0])]["psnr_between"]
    return Noises(
        (
            original,
            *(
                Shown(
                    sources.result(reports, study.name, run),
                    f"{_original(run)}, from noise {run.seed}.",
                    f"from noise {run.seed}",
                    ((quantity.label, quantity.shown(run)),),
                    sources.href(study.name, run),
                )
                for run in runs
            ),
        ),
        f"PSNR of the first result against the second: {number(between)} dB.",
    )

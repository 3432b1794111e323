"""Hyper-parameters: one after another over a list of values, the others as they are; and layers as curves.

One style weight compares nothing, as each set of layers has its own balance at it.  So the finalists of the transfer
study run at every style weight, and are compared by their curves of content against style distance: one is better
only where its curve lies below.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import parse_layers, window
from nst.engine.results import Result, known
from nst.params import FINALISTS, Pair, Params, Varied
from nst.studies import figures, refuse_unknown_layers, tables
from nst.studies.choices import cell_name
from nst.studies.originals import Original, of_pair, of_pairs, pair_name

Run = tuple[Pair, int]
"""Pair and seed."""
Value = tuple[str, str]
"""A parameter and one of its values, as text."""

WEIGHT = "style_weight"
"""The parameter that balances the two distances."""
SHOWN = ("content_distance", "style_distance", "sliced_wasserstein", "cfsd", "st_lpips", "final_loss")
"""Of each value."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    sizes = {int(size) for size in params.parameters.vary.get("size", ())} | {params.parameters.size}
    return [original for size in sorted(sizes) for original in of_pairs(params.parameters.pairs, size)]


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """Every value of every parameter, and every set of layers at every style weight, on all pairs and noises.

    Raises:
        ParamsError: it uses the layers that the transfer study recommends, and that study has not run.
    """
    del results
    varied = [job for runs in _varied(params).values() for job in runs.values()]
    compared = [job for curve in _curves(params).values() for job in curve.values()]
    return list(dict.fromkeys([*varied, *compared]))


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables; a strip of pictures and curves of distances and time for each parameter; the layers' curves."""
    varied = {value: {run: results[job] for run, job in runs.items()} for value, runs in _varied(params).items()}
    curves = {name: {key: results[job] for key, job in curve.items()} for name, curve in _curves(params).items()}
    made = [results[job] for job in jobs(params, results)]
    target = folder / figures.FOLDER

    tables.write(made, folder)
    tables.write_csv(_value_rows(varied), folder, "values.csv", digits=6)
    tables.write_csv(_curve_rows(curves), folder, "curves.csv", digits=6)
    beaten = {name: beaten_points(curves, name) for name in curves}
    tables.write_headline(made, folder)
    tables.write_metrics({"curves": {name: _summary(curves, name, points) for name, points in beaten.items()}}, folder)
    for parameter in params.parameters.vary:
        _draw_strip(params, parameter, varied, data, target / f"{parameter}.webp")
        _draw_values(parameter, varied, target / f"{parameter}.png")
    if curves:
        _draw_curves(curves, target / "curves.png")


Curve = Mapping[tuple[Pair, int, float], Result]
"""By pair, seed and style weight: what a set of layers gives."""


def beaten_points(curves: Mapping[str, Curve], name: str) -> list[str]:
    """Which sets of layers beat this one, a name for each of its points that some other set's point beats in both
    distances, of the same pair and seed at whatever weight; the first of several."""
    found = []
    for (pair, seed, _), result in curves[name].items():
        rivals = (
            other
            for other, curve in curves.items()
            for (one_pair, one_seed, _), rival in curve.items()
            if other != name and (one_pair, one_seed) == (pair, seed) and _beats(rival, result)
        )
        found += [rival for rival in [next(rivals, None)] if rival]
    return found


def _beats(one: Result, other: Result) -> bool:
    return all(a < b for a, b in zip(_distances(one), _distances(other), strict=True))


def _distances(result: Result) -> tuple[float, float]:
    return known(result.quality.content_distance), known(result.quality.style_distance)


def _summary(curves: Mapping[str, Curve], name: str, beaten: Sequence[str]) -> dict[str, Any]:
    return {"points": len(curves[name]), "beaten": len(beaten), "by": sorted(set(beaten))}


def _value_rows(varied: Mapping[Value, Mapping[Run, Result]]) -> Iterator[dict[str, Any]]:
    for (parameter, value), runs in varied.items():
        for (pair, seed), result in runs.items():
            shown = {name: getattr(result.quality, name) for name in SHOWN}
            run = {"pair": pair_name(*pair), "seed": seed, "job": result.job.name}
            yield {"parameter": parameter, "value": value, **run, **shown}


def _curve_rows(curves: Mapping[str, Curve]) -> Iterator[dict[str, Any]]:
    for name, curve in curves.items():
        for (pair, seed, weight), result in curve.items():
            content, style = _distances(result)
            run = {"layers": name, "style_weight": weight, "pair": pair_name(*pair), "seed": seed}
            yield {**run, "job": result.job.name, "content_distance": content, "style_distance": style}


def _draw_strip(
    params: Params, parameter: str, varied: Mapping[Value, Mapping[Run, Result]], data: Path, path: Path
) -> None:
    """One row a pair: its originals, then the values, from the first noise."""
    section = params.parameters
    values = [value for name, value in varied if name == parameter]
    rows, captions = [], []
    for pair in section.pairs:
        made = [varied[parameter, value][pair, section.seeds[0]] for value in values]
        rows.append([*(original.read(data) for original in of_pair(pair, section.size)), *map(_picture, made)])
        numbers = ["content {:.2f}, style {:.3f}".format(*_distances(result)) for result in made]
        captions.append(["", "", *numbers])
    columns = [*("content", "style"), *(f"{parameter} {value}" for value in values)]
    figures.save(figures.contact_sheet(rows, captions=captions, column_labels=columns), path)


def _picture(result: Result) -> Any:
    return images.from_png(result.png)


def _draw_values(parameter: str, varied: Mapping[Value, Mapping[Run, Result]], path: Path) -> None:
    """Means over the noises, one line a pair."""
    panels: dict[str, dict[str, list[float]]] = {}
    values = [value for name, value in varied if name == parameter]
    for value in values:
        by_pair: dict[Pair, list[Result]] = {}
        for (pair, _), result in varied[parameter, value].items():
            by_pair.setdefault(pair, []).append(result)
        for pair, results in by_pair.items():
            means = tables.means(results, ("content_distance", "style_distance"))
            seconds = sum(result.timing.seconds for result in results) / len(results)
            for title, number in {**means, "seconds": seconds}.items():
                lines = panels.setdefault(f"{title.replace('_', ' ')} (lower is better)", {})
                lines.setdefault(pair_name(*pair), []).append(number)
    figures.line_plots(values, panels, x_label=parameter.replace("_", " "), path=path)


def _draw_curves(curves: Mapping[str, Curve], path: Path) -> None:
    """From the first noise."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, curve in curves.items():
        first = next(seed for _, seed, _ in curve)
        for (pair, seed, _), result in curve.items():
            if seed == first:
                panels.setdefault(pair_name(*pair), {}).setdefault(name, []).append(_distances(result))
    figures.trade_offs(
        panels, x_label="content distance (lower is closer)", y_label="style distance (lower is closer)", path=path
    )


def _varied(params: Params) -> dict[Value, dict[Run, Job]]:
    section = params.parameters
    refuse_unknown_layers(section, "parameters")
    return {
        (name, _text(name, value)): _runs(params, section.with_value(name, value))
        for name, values in section.vary.items()
        for value in values
    }


def _curves(params: Params) -> dict[str, dict[tuple[Pair, int, float], Job]]:
    """By name of the layers, those of the study first."""
    section = params.parameters
    assert section.curves != FINALISTS, "refuse_unknown_layers comes first"
    own = section.with_value("init", section.init)
    curves: dict[str, dict[tuple[Pair, int, float], Job]] = {}
    for layer, layers in dict.fromkeys([(own.content_layer, own.style_layers), *section.curves]):
        curve = curves[cell_name(layer, window(layers))] = {}
        for weight in section.vary.get(WEIGHT, ()):
            changed = section.with_value(WEIGHT, weight).model_copy(
                update={"content_layer": layer, "style_layers": layers}
            )
            for (pair, seed), job in _runs(params, changed).items():
                curve[pair, seed, float(weight)] = job
    return {name: curve for name, curve in curves.items() if curve}


def _runs(params: Params, varied: Varied) -> dict[Run, Job]:
    """On every pair, from every noise; other starts have none, and would repeat exactly."""
    section = params.parameters
    return {
        (pair, seed): varied.job(
            "transfer",
            content=pair[0],
            style=pair[1],
            content_layers=(varied.content_layer,),
            style_layers=tuple(varied.style_layers),
            init=varied.init,
            seed=seed if varied.init == "noise" else 0,
        )
        for pair in section.pairs
        for seed in (section.seeds if varied.init == "noise" else section.seeds[:1])
    }


def _text(name: str, value: Any) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    return window(parse_layers(value)) if name == "style_layers" else ",".join(map(str, value)) or "equal"

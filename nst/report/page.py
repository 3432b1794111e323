"""reports/index.html: one file that opens offline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nst.engine.layers import layer_number
from nst.params import Params
from nst.report import charts, gallery, pictures, tables
from nst.report.grid import grid
from nst.report.numbers import number, plus_minus
from nst.report.pictures import Row
from nst.report.run import Frame, Run, existing
from nst.report.templating import render
from nst.report.texts import label, start_name
from nst.studies.originals import pair_name

FIRST_SCREEN = ("seconds_to_target", "iterations_to_target", "content_distance", "style_distance")
"""What the first screen says of each start: lower is better for all."""


def page(params: Params, run: Run, data: Path, shared: Mapping[str, Any]) -> str:
    """The page's text.

    Args:
        shared: what the README says too.

    Raises:
        ReportError: a picture is missing.
    """
    templates = Path(__file__).parent / "templates/page"
    styles, scripts = (
        [path.read_text("utf-8") for path in sorted((templates / kind).iterdir())] for kind in ("style", "script")
    )
    favourites = gallery.favourites(run)
    return render(
        "page/index.html.j2",
        {
            **shared,
            "hero": [*pictures.pair(data, *params.gallery.favourites[0]), favourites[0]],
            "cards": _cards(run),
            "reconstruction": _depth(run, data, "reconstruction"),
            "synthesis": _depth(run, data, "synthesis"),
            "grid": grid(params, run, data),
            "pairs": [_starts(run, data, *pair) for pair in params.initialization.pairs],
            "painted": gallery.painted(params, run, data),
            "favourites": favourites,
            "film": gallery.film(params, run),
            "gram_matrices": pictures.embed(existing(run.reports / "gallery/figures/gram_matrices.png", "gallery")),
            "full": {name: tables.all_runs(study) for name, study in run.studies.items()},
            "css": "".join(styles),
            # Each script has names of its own.
            "script": '"use strict";\n' + "".join(f"{{\n{text}}}\n" for text in scripts),
        },
    )


# ── First screen ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _cards(run: Run) -> list[dict[str, Any]]:
    """One a start: its picture of the first pair, and its means over all runs."""
    groups = run.starts.groupby("init", sort=False)
    mean, deviation = (getattr(groups[list(FIRST_SCREEN)], name)() for name in ("mean", "std"))
    cards = []
    for init, runs in groups:
        row = runs.iloc[0].to_dict()
        name = start_name(str(init))
        measured = [
            {
                "label": label(metric),
                "text": plus_minus(mean.loc[init, metric], deviation.loc[init, metric]),
                "lowest": len(mean) > 1 and mean.loc[init, metric] == mean[metric].min(),
            }
            for metric in FIRST_SCREEN
        ]
        cards.append(
            {"name": name, "picture": pictures.shown(run, row, f"from {name}", _alt(row)), "measured": measured}
        )
    return cards


def _alt(row: Row) -> str:
    return f"{row['content']} painted as {row['style']}, from {start_name(row['init'])}."


# ── Reconstruction and synthesis ──────────────────────────────────────────────────────────────────────────────────────

DEPTH_METRICS = {
    "reconstruction": ("psnr", "ssim", "content_distance"),
    "synthesis": ("style_distance", "sliced_wasserstein", "colour_distance"),
}


def _depth(run: Run, data: Path, name: Literal["reconstruction", "synthesis"]) -> dict[str, Any]:
    """One original over layers or windows, the shallowest first; then what came of several noises at the best."""
    study, metrics = run.studies[name], DEPTH_METRICS[name]
    kind: Literal["content", "style"] = "content" if name == "reconstruction" else "style"
    place, best = ("content_layer", "best_layer") if kind == "content" else ("style_layers", "best_window")
    best_place = study.metrics[best]
    of_first = study.runs[study.runs[kind] == study.runs[kind].iloc[0]].drop_duplicates(place)
    rows = of_first.to_dict("records")
    strip = []
    for row in rows:
        title = f"{layer_number(row[place])} · {row[place]}" if kind == "content" else f"layers {row[place]}"
        marked = row[place] == best_place
        strip.append(
            pictures.shown(run, row, title, f"{row[kind]} from {title}.", *metrics, key=row["job"], marked=marked)
        )
    at_best = study.runs[study.runs[place] == best_place]
    noises = [
        (
            pictures.original(data, kind, str(original), f"original: {original}"),
            *(
                pictures.shown(
                    run, row, f"from noise {row['seed']}", f"{original}, from noise {row['seed']}.", metrics[0]
                )
                for row in runs.to_dict("records")
            ),
        )
        for original, runs in at_best.groupby(kind, sort=False)
    ]
    return {
        "original": pictures.original(data, kind, rows[0][kind], f"original: {rows[0][kind]}"),
        "strip": strip,
        "charts": [_over_depth(rows, place, metric, best_place) for metric in metrics],
        "noises": noises,
        "table": (tables.by_layer if kind == "content" else tables.by_window)(study, rows[0][kind]),
        "noise_table": tables.of_noises(study, kind, metrics[0], best_place),
    }


def _over_depth(rows: list[dict[Any, Any]], place: str, metric: str, best: str) -> str:
    title = label(metric).title
    points = [
        charts.Point(
            index,
            row[metric],
            f"{row[place]}: {title} {number(row[metric])}",
            row["href"],
            row["job"],
            marked=row[place] == best,
        )
        for index, row in enumerate(rows)
    ]
    return charts.over_depth(title, [row[place] for row in rows], points, y_label=label(metric).note)


# ── Initialization ────────────────────────────────────────────────────────────────────────────────────────────────────


def _starts(run: Run, data: Path, content: str, style: str) -> dict[str, Any]:
    """What came of a pair of pictures from each start, and the losses on the way."""
    name = pair_name(content, style)
    runs = run.starts[run.starts["pair"] == name]
    target = run.studies["initialization"].metrics["target_loss"][name]
    firsts = runs.drop_duplicates("init").to_dict("records")
    metrics = ("content_distance", "style_distance", "ssim")
    return {
        "name": name,
        "originals": pictures.pair(data, content, style),
        "results": [
            pictures.shown(run, row, f"from {start_name(row['init'])}", _alt(row), *metrics, key=row["init"])
            for row in firsts
        ],
        "over": {axis: _losses(run, runs, name, axis, target) for axis in ("iteration", "seconds")},
    }


def _losses(run: Run, runs: Frame, title: str, axis: str, target: float) -> str:
    by_job = dict(iter(run.traces.groupby("job")))
    curves = {
        start_name(str(init)): [charts.Curve(list(by_job[job][axis]), list(by_job[job]["loss"])) for job in jobs]
        for init, jobs in runs.groupby("init", sort=False)["job"]
    }
    return charts.loss_curves(title, curves, x_label=axis.replace("iteration", "iterations"), target=target)

"""reports/index.html: one file that opens offline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from nst.params import Params
from nst.report import charts, gallery, pictures
from nst.report.choices import layer_title
from nst.report.grid import grid
from nst.report.numbers import number
from nst.report.pictures import Picture, Row
from nst.report.run import Frame, Run, existing
from nst.report.templating import render
from nst.report.texts import label, start_name
from nst.studies import figures
from nst.studies.initialization import reference
from nst.studies.originals import pair_name

FIRST_SCREEN = ("seconds", "iterations", "content_distance", "style_distance")
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
            "curves_figure": _curves(run),
            "gram_matrices": pictures.embed(existing(run.reports / "gallery/figures/gram_matrices.png", "gallery")),
            "strips": _strips(params, run),
            "css": "".join(styles),
            # Each script has names of its own.
            "script": '"use strict";\n' + "".join(f"{{\n{text}}}\n" for text in scripts),
        },
    )


# ── First screen ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _cards(run: Run) -> list[dict[str, Any]]:
    """One a start: its picture of the first pair, and its means; the lowest is marked where it is beyond chance."""
    cards = []
    # The first comparison of each quantity: to equal loss, or after equal iterations.
    first = run.starts.drop_duplicates(["quantity", "init"])
    for init, runs in run.timed.groupby("init", sort=False):
        name = start_name(str(init))
        of_start = {row["quantity"]: row for row in first[first["init"] == init].to_dict("records")}
        measured = [
            {
                "label": label(metric),
                "when": of_start[metric]["when"],
                "text": number(float(of_start[metric]["mean"])),
                "lowest": _clearly_lowest(first[first["quantity"] == metric], str(init)),
            }
            for metric in FIRST_SCREEN
        ]
        row = runs.iloc[0].to_dict()
        cards.append(
            {"name": name, "picture": pictures.shown(run, row, f"from {name}", _alt(row)), "measured": measured}
        )
    return cards


def _clearly_lowest(rows: Frame, init: str) -> bool:
    """Whether the intervals of the differences from the reference put this start below every other.

    Args:
        rows: of one quantity, a row a start.
    """
    base = reference(list(rows["init"]))
    others = rows[(rows["init"] != init) & (rows["init"] != base)]
    if init == base:
        return bool(len(rows) > 1 and (rows[rows["init"] != base]["low"] > 0).all())
    own = rows[rows["init"] == init].iloc[0]
    return bool(own["high"] < 0 and (others["low"] > own["high"]).all())


def _alt(row: Row) -> str:
    return f"{row['content']} painted as {row['style']}, from {start_name(row['init'])}."


# ── Reconstruction and synthesis ──────────────────────────────────────────────────────────────────────────────────────

DEPTH_METRICS = {
    "reconstruction": ("psnr", "ssim", "content_distance"),
    "synthesis": ("style_distance", "sliced_wasserstein", "arrangement"),
}


def _depth(run: Run, data: Path, name: Literal["reconstruction", "synthesis"]) -> dict[str, Any]:
    """One original over layers or windows, the shallowest first; then what came of several noises at the best."""
    study = run.studies[name]
    metrics = [metric for metric in DEPTH_METRICS[name] if study.runs[metric].notna().all()]
    kind: Literal["content", "style"] = "content" if name == "reconstruction" else "style"
    place = "content_layer" if kind == "content" else "style_layers"
    best = study.metrics["best"]
    rows = study.runs[study.runs[kind] == study.runs[kind].iloc[0]].drop_duplicates(place).to_dict("records")
    strip = []
    for row in rows:
        title = layer_title(row[place]) if kind == "content" else f"layers {row[place]}"
        alt = f"{row[kind]} from {title}."
        strip.append(pictures.shown(run, row, title, alt, *metrics, key=row["job"], marked=row[place] == best))
    # As in the table: of layers, those around the best alone were run from more noises.
    shown = study.runs.drop_duplicates([kind, place]) if kind == "content" else study.runs
    means = shown.groupby(place, sort=False)[metrics].mean()
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
        for original, runs in study.runs[study.runs[place] == best].groupby(kind, sort=False)
    ]
    return {
        "original": pictures.original(data, kind, rows[0][kind], f"original: {rows[0][kind]}"),
        "strip": strip,
        "charts": [_over_depth(rows, place, metric, means[metric], best) for metric in metrics],
        "noises": noises,
    }


def _over_depth(rows: list[dict[Any, Any]], place: str, metric: str, means: "pd.Series[float]", best: str) -> str:
    """Means; a point leads to the picture of the first original."""
    title = label(metric).title
    points = [
        charts.Point(
            index,
            float(means[row[place]]),
            f"{row[place]}: {title} {number(float(means[row[place]]))}",
            row["href"],
            row["job"],
            marked=row[place] == best,
        )
        for index, row in enumerate(rows)
    ]
    return charts.over_depth(title, [row[place] for row in rows], points, y_label=label(metric).note)


# ── Parameters ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _curves(run: Run) -> Picture | None:
    """None where no style weights were compared."""
    if not run.studies["parameters"].metrics["curves"]:
        return None
    return pictures.embed(existing(run.reports / "parameters" / figures.FOLDER / "curves.png", "parameters"))


def _strips(params: Params, run: Run) -> list[dict[str, Any]]:
    """Of each parameter, the pictures of its values and the curves of its numbers."""
    folder = f"parameters/{figures.FOLDER}"
    found = []
    for name in params.parameters.vary:
        paths = [f"{folder}/{name}.webp", f"{folder}/{name}.png"]
        shown = [(path, pictures.embed(existing(run.reports / path, "parameters"))) for path in paths]
        found.append({"name": name, "figures": shown})
    return found


# ── Initialization ────────────────────────────────────────────────────────────────────────────────────────────────────


def _starts(run: Run, data: Path, content: str, style: str) -> dict[str, Any]:
    """What came of a pair of pictures from each start, and the losses on the way."""
    name = pair_name(content, style)
    runs = run.timed[run.timed["pair"] == name]
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

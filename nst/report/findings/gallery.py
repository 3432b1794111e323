"""Pictures to look at."""

from nst.params import Params
from nst.report.findings.phrases import cell, path, settings, start_name
from nst.report.findings.records import Cell, Column, Figure, Results, Section, Table
from nst.report.wording import listing, number, versus


def section(params: Params, results: Results) -> Section:
    """Pictures to look at."""
    study, section = results.studies["gallery"], params.gallery
    metrics = study.metrics
    first, second = section.contents[0], section.styles[0]
    findings = []
    for layer, distances in metrics["gram_distance_to_style"].items():
        before = next(value for name, value in distances.items() if name.startswith("content"))
        after = distances["result"]
        how = versus(after, before, "closer", "farther")
        findings.append(
            f"`{layer}`: the Gram matrix of the result is {number(after)} from that of `{second}` "
            f"(|G − G(s)|² / |G(s)|², lower is closer), that of the content {number(before)}: the result is "
            + (f"{how} than the content it was painted from." if how else "as far as the content.")
        )
    values = list(metrics["pairs"].items())
    for key, label in (("content_distance", "content"), ("style_distance", "style")):
        closest = min(values, key=lambda item: item[1][key])
        findings.append(
            f"Of the grid, {closest[0]} is closest to its {label} ({label} distance {number(closest[1][key])})."
        )
    film = section.film
    shown_layers = f"`{metrics['content_layer']}` for the content, layers {metrics['style_layers']} for the style"
    return Section(
        name="gallery",
        title="Pictures to look at",
        question="What does it look like?",
        method=(
            f"All with {shown_layers}"
            + (
                " (what the grid above recommends)"
                if "recommended" in (section.content_layer, section.style_layers)
                else ""
            )
            + f": {settings(study.runs)}. Favourites have {section.favourite_size} px.",
        ),
        findings=tuple(findings),
        chosen=None,
        figures=(
            Figure(
                path(study, "grid.webp"),
                f"{listing(section.contents)} (rows) painted as {listing(section.styles)} (columns), with originals.",
                "Contents down, styles across; originals at the edges.",
                480,
            ),
            Figure(
                path(study, "gram_matrices.png"),
                f"Gram matrices of {second}, {first} and the result at {listing(list(section.gram_layers))}.",
                "Gram matrices. Each row and column is a feature of the layer (the first 64 are shown); a bright point "
                "says that its two features occur at the same places, wherever in the picture these are, and the "
                "diagonal says how strong each one is alone. A texture is its pattern of stripes: painting succeeds "
                "as far as the result's pattern resembles the style's rather than the content's. Logarithmic; "
                "colours compare within a row.",
                640,
            ),
            Figure(
                path(study, "favourites.webp"),
                f"{listing([' painted as '.join(pair) for pair in section.favourites])}.",
                "Favourites.",
                640,
                "readme",
            ),
            Figure(
                path(study, "process.gif"),
                f"{film.pair[0]} painted as {film.pair[1]}, from {start_name(film.init)} to the result.",
                f"One optimisation, from {start_name(film.init)}: `{film.pair[0]}` as `{film.pair[1]}`.",
            ),
        ),
        tables=(
            Table(
                "Distances of the pictures",
                (
                    Column("pair", numeric=False),
                    Column("content distance", "lower is closer"),
                    Column("style distance", "lower is closer"),
                ),
                tuple(
                    (
                        Cell(
                            run.pair + (" (favourite)" if run.size != section.size else ""),
                            href=f"{study.name}/{run.image}",
                        ),
                        cell(run.content_distance),
                        cell(run.style_distance),
                    )
                    for run in study.runs
                    if not run.job.endswith("film")
                ),
            ),
        ),
    )

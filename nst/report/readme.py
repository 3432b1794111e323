"""reports/README.md: the tables and figures, for a code host."""

from collections.abc import Mapping
from typing import Any

from nst.report import tables
from nst.report.run import Run, existing
from nst.report.templating import render
from nst.studies import figures


def readme(run: Run, shared: Mapping[str, Any]) -> str:
    """The text.

    Args:
        shared: what the page says too.

    Raises:
        ReportError: a figure is missing.
    """
    reconstruction, synthesis = run.studies["reconstruction"], run.studies["synthesis"]

    def figure(study: str, name: str) -> str:
        """Its path relative to the folder of reports."""
        path = f"{study}/{figures.FOLDER}/{name}"
        existing(run.reports / path, study)
        return path

    best_layer, best_window = reconstruction.metrics["best_layer"], synthesis.metrics["best_window"]
    rows = (run.reports / "transfer" / figures.FOLDER).glob("rows_*.webp")
    return render(
        "README.md.j2",
        {
            **shared,
            "figure": figure,
            "layers": tables.by_layer(reconstruction, reconstruction.runs["content"].iloc[0]),
            "layer_noises": tables.of_noises(reconstruction, "content", "psnr", best_layer),
            "windows": tables.by_window(synthesis, synthesis.runs["style"].iloc[0]),
            "window_noises": tables.of_noises(synthesis, "style", "style_distance", best_window),
            "grid_rows": sorted(path.name for path in rows),
        },
    )

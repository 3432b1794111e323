"""Imports what workers and studies use, to be forked from: see `flows.warm`."""

import time

from PIL import Image

from flows import worker
from nst.engine import run
from nst.params import STUDIES

BEGAN = time.time()
"""Code that was changed later is not what was imported."""

# What studies use beside what workers do; some of it Prefect, Dask and pandas would import at their first use.
worker.load(
    (
        *worker.MODULES,
        "distributed.nanny",
        "tornado.platform.asyncio",
        "anyio._backends._asyncio",
        "prefect.flow_engine",
        "prefect.utilities.visualization",
        "fastapi",
        "flows.artifact",
        "flows.report",
        "flows.study",
        "nst.report.build",
        *(f"nst.studies.{name}" for name in STUDIES),
        "pandas",
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_svg",
        "jinja2",
    )
)
Image.init()  # its formats
run.engine_digest()  # of the code that was imported, not of what may lie there when a worker is started

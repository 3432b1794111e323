"""What Prefect's code in the workers is told with each task: the settings here, made cheap to pass on.

Unlike its client, what Prefect does around a task shows when there are thousands of short ones.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import certifi
from prefect.context import SettingsContext, get_settings_context


def settings(url: str, *, ours: bool) -> SettingsContext:
    """Prefect's settings with this API, to be entered with `with`.

    Args:
        url: of the API.
        ours: the workers are on this machine, and so find files that are here.
    """
    here = get_settings_context()
    # At its end, a run would wait for the thread that says that it is alive, which sleeps a second at a time.
    updates: dict[Any, Any] = {"api.url": url, "flows.heartbeat_frequency": None}
    if ours and url.startswith("http:"):
        updates["api.ssl_cert_file"] = str(_one_certificate())
    return _AsTheyAre(profile=here.profile, settings=here.settings.copy_with_update(updates=updates))


class _AsTheyAre(SettingsContext):
    """Settings that travel as they are.

    Prefect would take them apart for each task, and have the worker put them together and compare them with its own
    files and environment: 44 ms a job.
    """

    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        """The arguments with which the worker makes a `SettingsContext`."""
        return {"profile": self.profile, "settings": self.settings}


def _one_certificate() -> Path:
    """A file with the first of the certificates that Prefect's clients trust.

    Each client, two a job, reads the whole list, 16 ms long, even if it will not speak TLS.
    """
    path = Path(os.environ["PREFECT_HOME"]) / "one-certificate.pem"
    if not path.exists():
        first, end, _ = Path(certifi.where()).read_text("ascii").partition("-----END CERTIFICATE-----")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as beside:
            beside.write(first + end)
        Path(beside.name).replace(path)
    return path

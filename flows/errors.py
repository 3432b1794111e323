"""What can go wrong around the jobs."""

from nst.errors import NSTError


class ClusterError(NSTError):
    """Prefect's API or the Dask cluster cannot be reached or started, or is gone."""


class JobsFailedError(Exception):
    """Some jobs failed although they were tried again; the others are kept."""

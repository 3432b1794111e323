"""How commands reach the `flows.up` that they run under: a Unix socket in a folder that only this user can open.

A borrower says in one byte what it wants.  This side of it imports nothing that takes time.
"""

import os
import socket

LENDER = "NST_LENDER"
"""Environment variable: path of the socket."""
SERVICES = b"s"
"""Where Prefect's API and the Dask cluster are, as a line of JSON: see `flows.sharing`."""
PROCESS = b"p"
"""A process that has imported everything: see `flows.warm`."""


def ask(want: bytes, timeout: float | None = None) -> socket.socket | None:
    """The connection on which the lender answers; None where there is no lender."""
    path = os.environ.get(LENDER)
    if not path:
        return None
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(timeout)
    try:
        line.connect(path)
        line.sendall(want)
    except OSError:  # it is gone
        line.close()
        return None
    return line

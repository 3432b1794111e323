"""A temporary Prefect API, as a process of its own: ``python -m flows.server PORT PARENT``.

``prefect server start --background`` outlives its parent; this does not.
"""

import sys

from flows.processes import end_with_parent


def main(port: int, parent: int) -> None:
    """Serves Prefect's API on 127.0.0.1 until told to stop, or until the parent process ends."""
    end_with_parent(parent)
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""What all commands share: expected errors end in one line, and stopping is clean and prompt."""

import errno
import gc
import sys
from collections.abc import Callable

from flows import processes
from flows.api import prepare_environment
from flows.errors import ClusterError, JobsFailedError
from nst.errors import NSTError

WRONG_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143


def run(main: Callable[[], int], started_by: int | None = None, *owners: int) -> None:
    """Runs a command's `main` and ends the process with its exit code.

    Args:
        started_by: the process that started the command, where that is not this one's parent.
        owners: processes without which the command is to end.
    """
    gc.set_threshold(20_000)  # what is imported stays: it need not be looked through so often (0.4 s) …
    prepare_environment()
    processes.stop_on_sigterm()
    processes.end_with_owners(started_by, *owners)
    try:
        code = main()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except NSTError as error:
        print(f"error: {error}", file=sys.stderr)
        code = WRONG_INPUT
    except JobsFailedError as error:
        print(error, file=sys.stderr)
        code = 1
    except processes.Stopped:
        code = TERMINATED
    except KeyboardInterrupt:
        print("interrupted: finished jobs are kept", file=sys.stderr)
        code = INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        print(f"error: {error.strerror}: {error.filename or 'while writing'}", file=sys.stderr)
        code = 1
    gc.freeze()  # … nor once more at the end (1 s)
    sys.exit(code)

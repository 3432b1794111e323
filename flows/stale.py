"""Flow runs whose process was killed: Prefect goes on showing them as running, since nobody is left to say otherwise.

So each run carries its process as a tag, and the next run looks which of those that seem to run on this machine do not.
"""

import platform

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.filters import FlowRunFilterStateType as OfType
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

from flows import processes

_MARK = "process:"


def tag() -> str:
    """This process; its number alone comes back some day, above all in containers."""
    me = psutil.Process()
    return _tag(me.pid, me.create_time())


def close(flow: str) -> None:
    """Marks the runs of this flow that died on this machine as crashed."""
    running = FlowRunFilter(state=FlowRunFilterState(type=OfType(any_=[StateType.RUNNING])))
    with get_client(sync_client=True) as client:
        named = FlowFilter(name=FlowFilterName(any_=[flow]))
        for run in client.read_flow_runs(flow_filter=named, flow_run_filter=running):
            if any(map(_is_dead, run.tags)):
                client.set_flow_run_state(run.id, Crashed(message="its process was killed"), force=True)


def _tag(pid: int, born: float) -> str:
    return f"{_MARK}{platform.node()}:{pid}:{born:.0f}"


def _is_dead(text: str) -> bool:
    """Whether this tag names a process of this machine that is no more."""
    if not text.startswith(f"{_MARK}{platform.node()}:"):
        return False
    pid = int(text.split(":")[-2])
    try:
        process = psutil.Process(pid)
        return text != _tag(pid, process.create_time()) or not processes.is_alive(process)
    except psutil.NoSuchProcess:
        return True

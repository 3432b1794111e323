"""`make serve`: a real Prefect server, pool and worker; the deployment runs when asked and by the clock."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from flows_support import TINY, Checkout, alive, family, make_checkout, set_params, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

SERVE = [sys.executable, "-m", "flows.serve"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with tiny studies."""
    made = make_checkout(tmp_path_factory.mktemp("served"))
    set_params(made, {**TINY, "transfer": {**TINY["transfer"], "content_layers": [2], "style_windows": ["1-2"]}})
    made.run("git", "add", "-A")
    made.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "tiny")
    return made


def started(checkout: Checkout) -> tuple[str, str]:
    """The page's address and the password that it asks for, as `make serve` prints them."""
    found = re.match(r"(\S+) .* asks for the password (\S+)\)", checkout.run(*SERVE, "start"))
    assert found
    return found[1], found[2]


@pytest.fixture(scope="module")
def api(checkout: Checkout) -> Iterator[httpx.Client]:
    """The API of what `make serve` brought up; afterwards, nothing of it is left."""
    page, password = started(checkout)
    try:
        assert started(checkout) == (page, password)  # it runs already
        user, secret = password.split(":")
        with httpx.Client(base_url=f"{page}/api", auth=(user, secret)) as client:
            yield client
    finally:
        holder = holding(checkout)
        members = family(holder.pid)
        assert checkout.run(*SERVE, "stop") == "stopped\n"
    assert wait_for(lambda: not alive(members), 30), alive(members)
    assert checkout.run(*SERVE, "stop") == "nothing to stop\n"


def holding(checkout: Checkout) -> psutil.Process:
    """The process that holds server and worker."""
    (found,) = [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if (process.info["cmdline"] or [])[-2:] == ["flows.serve", "hold"] and process.info["cwd"] == str(checkout.path)
    ]
    return found


def runs(api: httpx.Client) -> list[dict[str, Any]]:
    """The deployment's runs that were to begin by now, oldest first."""
    ask = {"sort": "EXPECTED_START_TIME_ASC", "flows": {"name": {"any_": ["regenerate"]}}}
    found = api.post("/flow_runs/filter", json=ask).raise_for_status().json()
    return [run for run in found if run["state"]["type"] != "SCHEDULED" or run["state"]["name"] != "Scheduled"]


def ended(api: httpx.Client, run: str, seconds: float = 200) -> dict[str, Any]:
    """The state of a run, when it has one that lasts."""
    state: dict[str, Any] = {}

    def there() -> bool:
        state.update(api.get(f"/flow_runs/{run}").raise_for_status().json()["state"])
        return state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

    assert wait_for(there, seconds, every=1), state
    return state


def deployment(api: httpx.Client) -> str:
    """Its id."""
    return str(api.get("/deployments/name/regenerate/regenerate").raise_for_status().json()["id"])


def begin(api: httpx.Client, **parameters: Any) -> str:
    """Asks for a run and returns its id."""
    ask = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    path = f"/deployments/{deployment(api)}/create_flow_run"
    answers: list[httpx.Response] = []

    def taken() -> bool:
        answers.append(api.post(path, json=ask))
        return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE  # busy; Prefect's own client tries again too

    wait_for(taken, 30, every=1)
    return str(answers[-1].raise_for_status().json()["id"])


def test_a_run_when_asked(checkout: Checkout, api: httpx.Client) -> None:
    state = ended(api, begin(api, stages=["transfer"]))
    assert state["type"] == "COMPLETED", state["message"]
    assert (checkout.path / "reports" / "transfer" / "tables" / "quality.csv").exists()
    # Each job is there under its title, the study has left its artifact, and the log says where jobs ran.
    names = [task["name"] for task in api.post("/task_runs/filter", json={}).json()]
    assert "transfer · egeskov × great_wave · conv1_2 | 1-2 · from noise 0" in names
    (artifact,) = api.post("/artifacts/filter", json={}).json()
    assert artifact["key"] == "study-transfer"
    assert "reports/index.html" in artifact["data"]
    assert {"fetch the pictures", "transfer"} <= set(names)  # the steps of the run itself
    logs = [log["message"] for log in api.post("/logs/filter", json={}).json()]
    assert [line for line in logs if "from noise 0: " in line and "worker" in line and "cpu" in line], logs


def test_changes_are_tried_in_a_copy(checkout: Checkout, api: httpx.Client) -> None:
    before = (checkout.path / "params.yaml").read_text()
    finished = checkout.finished()
    state = ended(api, begin(api, stages=["transfer"], params={"transfer.iterations": 3}))
    assert state["type"] == "COMPLETED", state["message"]
    assert (checkout.path / "params.yaml").read_text() == before
    assert "iterations" in checkout.run("dvc", "exp", "show", "--csv")
    # The copy's finished jobs are the checkout's: the two cells of the grid are new, the finalists are not.
    assert finished.items() <= checkout.finished().items()
    assert len(checkout.finished()) == len(finished) + 2


def test_a_failed_job_fails_the_run(checkout: Checkout, api: httpx.Client) -> None:
    state = ended(api, begin(api, stages=["transfer"], params={"transfer.content": "nobody"}))
    assert state["type"] == "FAILED"
    assert "no picture called 'nobody'" in state["message"]


def test_a_killed_run_is_crashed_and_leaves_nothing(checkout: Checkout, api: httpx.Client) -> None:
    run = begin(api, stages=["reconstruction"])

    def processes() -> list[psutil.Process]:
        return [member for member in family(holding(checkout).pid) if belongs(member, run)]

    assert wait_for(lambda: len(processes()) > 3)
    members = processes()
    members[0].kill()
    assert ended(api, run)["type"] == "CRASHED"
    assert wait_for(lambda: not alive(members), 60), alive(members)
    assert ended(api, begin(api, stages=["transfer"]))["type"] == "COMPLETED"  # it holds nothing back


def belongs(process: psutil.Process, run: str) -> bool:
    """Whether a process works for this run."""
    try:
        return run.replace("-", "") in process.environ().get("PREFECT__FLOW_RUN_ID", "").replace("-", "")
    except psutil.Error:
        return False


def test_a_run_by_the_clock(checkout: Checkout, api: httpx.Client) -> None:
    known = {run["id"] for run in runs(api)}
    ask = [
        {"active": True, "schedule": {"cron": "* * * * *", "timezone": "UTC"}, "parameters": {"stages": ["transfer"]}}
    ]
    made = api.post(f"/deployments/{deployment(api)}/schedules", json=ask).raise_for_status().json()
    try:
        assert wait_for(lambda: {run["id"] for run in runs(api)} > known, 100, every=1)
        run = next(run for run in runs(api) if run["id"] not in known)
        assert run["auto_scheduled"]
        assert ended(api, run["id"])["type"] == "COMPLETED"
    finally:
        api.delete(f"/deployments/{deployment(api)}/schedules/{made[0]['id']}")


def test_runs_have_names_of_their_own(api: httpx.Client) -> None:
    names = [run["name"] for run in runs(api)]
    assert len(names) == len(set(names)) > 1
    assert any(name.startswith("transfer, transfer.iterations=3 · ") for name in names), names


def test_strangers_and_web_pages_may_not_use_the_api(api: httpx.Client) -> None:
    """Who may call it may deploy code that runs as this user."""
    url = str(api.base_url)
    ask = {"name": "evil", "type": "process"}
    assert httpx.post(f"{url}work_pools/", json=ask).status_code == httpx.codes.UNAUTHORIZED
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{url}work_pools/", headers=preflight)
    assert answer.headers.get("access-control-allow-origin") not in ("*", "http://evil.example")


def test_names_of_stages_are_no_options(checkout: Checkout, api: httpx.Client) -> None:
    state = ended(api, begin(api, stages=["--force", "transfer"]))
    assert state["type"] == "FAILED"
    assert "--force" in state["message"]


def test_two_at_once_are_one(checkout: Checkout, api: httpx.Client) -> None:
    holders = [checkout.start([*SERVE, "hold"]) for _ in range(2)]
    for holder in holders:
        output, _ = holder.communicate(timeout=30)
        assert holder.returncode == 1
        assert "another `make serve` has this checkout" in output
    assert holding(checkout).is_running()


def test_another_run_waits(checkout: Checkout) -> None:
    first = checkout.start([sys.executable, "-m", "flows.up", "--", "sh", "-c", "echo began; sleep 6"])
    assert first.stdout is not None
    assert first.stdout.readline() == "began\n"
    began = time.monotonic()
    output = checkout.run(sys.executable, "-m", "flows.up", "--", "echo", "second")
    assert output.startswith("waiting for another run of this checkout (process ")
    assert output.endswith("second\n")
    assert time.monotonic() - began > 3
    assert first.wait() == 0


def test_a_run_that_was_stopped_with_the_server_blocks_no_later_one(tmp_path: Path) -> None:
    made = make_checkout(tmp_path)
    set_params(made, {**TINY, "iterations": 20000})
    for stages, then in ((["synthesis"], "CRASHED"), (["transfer"], "COMPLETED")):
        page, password = started(made)
        user, secret = password.split(":")
        with httpx.Client(base_url=f"{page}/api", auth=(user, secret)) as client:
            run = begin(client, stages=stages)
            if then == "CRASHED":
                assert wait_for(lambda: state(client, run)["type"] == "RUNNING", 100)  # noqa: B023
                first = run
            else:
                assert state(client, first)["type"] == "CRASHED"
                assert ended(client, run)["type"] == then
        made.run(*SERVE, "stop")


def state(api: httpx.Client, run: str) -> dict[str, Any]:
    """Of a run."""
    found: dict[str, Any] = api.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
    return found


def test_nothing_is_left_when_the_holder_is_killed(tmp_path: Path) -> None:
    made = make_checkout(tmp_path)
    made.run(*SERVE, "start")
    holder = holding(made)
    members = family(holder.pid)
    assert len(members) > 2
    holder.kill()
    assert wait_for(lambda: not alive(members), 60), alive(members)
    assert made.run(*SERVE, "stop") == "nothing to stop\n"


def test_who_asks_while_another_starts_it_waits_for_the_same(tmp_path: Path) -> None:
    made = make_checkout(tmp_path)
    first = made.start([*SERVE, "start"])
    try:
        assert wait_for((tmp_path / ".prefect" / "serve.log").exists)
        time.sleep(2.0)  # the holder has the lock and no page yet
        second = made.run(*SERVE, "start")
        assert first.communicate(timeout=200) == (second, None)
    finally:
        made.run(*SERVE, "stop")

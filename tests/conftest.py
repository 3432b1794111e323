"""What many tests need.  The weights are the real ones, the pictures and parameters those of study_support."""

import signal
from pathlib import Path

import pytest
import torch
from study_support import DATA

from nst.engine.weights import VGGWeights, vgg19
from nst.params import Params

ROOT = Path(__file__).resolve().parent.parent

# A script's background job ignores Ctrl-C, and so would all it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As in the workers: another number of threads would sum in another order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data() -> Path:
    """The pictures that tests use."""
    return DATA


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[Params, Path]:
    """Small reports of studies that were really run.  Not to be altered."""
    from report_support import make_reports

    return make_reports(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def weights() -> VGGWeights:
    """The normalised VGG-19."""
    return vgg19()

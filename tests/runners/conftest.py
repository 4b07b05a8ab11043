import pytest
import torch

from tests.runners.waiting import learn


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    """As workers have, so that sums keep one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def learned(tiny_data, tmp_path_factory):
    """A workspace whose pool waits to be mined, and what one process finds there."""
    return learn(tmp_path_factory.mktemp("learned"), tiny_data)

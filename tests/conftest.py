"""What all tests share: reproducible property tests without a stopwatch, and torch on one thread."""

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("house")


@pytest.fixture(scope="session")
def one_thread():
    """Keep torch to one thread: the networks of the tests are too small to share work."""
    import torch

    torch.set_num_threads(1)

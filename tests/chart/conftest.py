"""Where the gateway's program is, which tests/chart/run builds: some tests ask it what it thinks of a rendered file."""

import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def program():
    path = pathlib.Path(os.environ["GATEWAY"]).resolve()
    assert path.is_file(), f"{path} is not there"
    return path

"""The programs that tests cannot do without."""

import os
import shutil

import pytest


def find_tool(name: str) -> str:
    """The path of a program. Where it is missing the test is skipped, saying so; under CI it
    fails.
    """
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        message = f"{name} is not installed; install it to run this test"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path

"""The fixture `sprat_cluster` for pytest.

A `conftest.py` names this module with ``pytest_plugins = ["sprat.pytest_plugin"]``. No other module
of sprat imports pytest, and pytest does not load this one by itself: otherwise every run of pytest
would load sprat, wherever it is installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import pytest

from .testing import Cluster, cluster

if TYPE_CHECKING:
    from typing import Unpack

    from .types import Settings

__all__ = ["MakeCluster", "sprat_cluster"]


class MakeCluster(Protocol):
    """The type of the fixture `sprat_cluster`."""

    def __call__(
        self, size: int = 3, *, timeout: float = 30, **settings: Unpack[Settings]
    ) -> Cluster:
        """Start a cluster as `sprat.testing.cluster` does."""
        ...


@pytest.fixture
def sprat_cluster() -> Iterator[MakeCluster]:
    """Start clusters for a test: a function with the arguments of `sprat.testing.cluster`.

    The clusters are complete when the function returns, and leave after the test.
    """
    with contextlib.ExitStack() as stack:

        def make(size: int = 3, *, timeout: float = 30, **settings: Unpack[Settings]) -> Cluster:
            return stack.enter_context(cluster(size, timeout=timeout, **settings))

        yield make

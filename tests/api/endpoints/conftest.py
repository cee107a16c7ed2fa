"""An importer with a world of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.importer import Importer, importing


@pytest.fixture
async def importer() -> AsyncIterator[Importer]:
    """Return a caller and everything behind the route."""
    async with importing() as found:
        yield found

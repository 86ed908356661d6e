"""pydantic holds the models of answers weakly: without us each would be made anew after a collection of garbage."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from bridges.telegram import session
from bridges.telegram.lean import Response


def test_the_model_of_an_answer_outlives_a_collection_of_garbage() -> None:
    generic: Any = Response
    returned = dict[str, list[bytes]]  # which no method returns
    session._keep_shape(returned)
    shape = weakref.ref(generic[returned])
    gc.collect()
    assert shape() is not None
    assert shape() is generic[returned]

"""The entry of the server into an application, for each request."""

from collections.abc import Awaitable
from typing import Any

from quart_trio import QuartTrio

from streamd.app import entry_of

SCOPE = {"type": "http", "path": "/"}


async def _nothing(*_: Any) -> None:
    return None


async def test_middleware_that_a_program_adds_late_is_called() -> None:
    app = QuartTrio("late")
    entry = entry_of(app)
    called = []

    def middleware(scope: Any, _receive: Any, _send: Any) -> Awaitable[None]:
        called.append(scope)
        return _nothing()

    app.asgi_app = middleware  # type: ignore[assignment,method-assign]
    await entry(SCOPE, _nothing, _nothing)
    assert called == [SCOPE]


async def test_the_call_of_a_programs_own_class_is_kept() -> None:
    called = []

    class OwnApplication(QuartTrio):
        async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
            called.append(scope)

    await entry_of(OwnApplication("own"))(SCOPE, _nothing, _nothing)
    assert called == [SCOPE]

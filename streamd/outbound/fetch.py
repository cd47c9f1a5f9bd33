"""One request to another server: sent, read within bounds, retried, and closed."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import httpx
import trio

from ..errors import StreamdError
from .failures import ResponseTimeout
from .response import StreamedResponse, open_response
from .retry import OnRetry, RetryLoop, RetryPolicy, ignore_retry, is_retryable

T = TypeVar("T")

ReadResponse = Callable[[StreamedResponse], Awaitable[T]]
"""Checks the head of a response and reads its body. Raises a retryable error to ask for another attempt."""

_ONCE = RetryPolicy(attempts=1)


async def fetch(
    client: httpx.AsyncClient,
    request: httpx.Request,
    read: ReadResponse[T],
    *,
    policy: RetryPolicy = _ONCE,
    attempt_timeout_seconds: float = math.inf,
    head_timeout_seconds: float = math.inf,
    deadline: float = math.inf,
    decode: bool = True,
    on_retry: OnRetry = ignore_retry,
    retry_on: Callable[[StreamdError], bool] = is_retryable,
) -> T:
    """Send a request, retried by a policy, and return the result of ``read``.

    Args:
        client: sends the request; its own timeouts and its redirects apply.
        request: sent again as it is in every attempt. Its body, if any, is set by :func:`.body.with_body`.
        read: reads the response of each attempt, see :data:`ReadResponse`.
        policy: the bounds of the retries; one attempt by default.
        attempt_timeout_seconds: the maximum time of one attempt, its body included (s).
        head_timeout_seconds: the maximum wait for the head of a response (s).
        deadline: the time of trio's clock at which all of it ends.
        decode: decompress the body; False reads the bytes as they were sent.
        on_retry: called before each wait.
        retry_on: returns whether a retry may help after an error of ``read`` or of the connection.

    Raises:
        RetriesExhausted: the policy or the deadline allows no further attempt.
        StreamdError: a failure that a retry cannot help, such as :class:`.failures.ResponseTooLarge`.

    Cancelling closes the connection; the server may have handled the request.
    """
    async with fetch_stream(
        client,
        request,
        read,
        policy=policy,
        attempt_timeout_seconds=attempt_timeout_seconds,
        head_timeout_seconds=head_timeout_seconds,
        deadline=deadline,
        decode=decode,
        on_retry=on_retry,
        retry_on=retry_on,
    ) as result:
        return result


@asynccontextmanager
async def fetch_stream(
    client: httpx.AsyncClient,
    request: httpx.Request,
    begin: ReadResponse[T],
    *,
    policy: RetryPolicy = _ONCE,
    attempt_timeout_seconds: float = math.inf,
    head_timeout_seconds: float = math.inf,
    deadline: float = math.inf,
    decode: bool = True,
    on_retry: OnRetry = ignore_retry,
    retry_on: Callable[[StreamdError], bool] = is_retryable,
) -> AsyncIterator[T]:
    """Send a request, retried by a policy, and keep its response open for the length of the block.

    Nothing is retried once ``begin`` has returned: the caller may have consumed a part of the body by then.
    The arguments and errors are those of :func:`fetch`, but for the timeout and the deadline, which end when
    the block begins.

    Args:
        begin: reads as much of the response as decides that it is a good one. Its result is yielded.
    """
    loop = RetryLoop(policy=policy, on_retry=on_retry, retry_on=retry_on, deadline=deadline)
    async with AsyncExitStack() as kept:

        async def attempt() -> T:
            with trio.move_on_after(attempt_timeout_seconds):
                async with AsyncExitStack() as stack:
                    opening = open_response(
                        client, request, head_timeout_seconds=head_timeout_seconds, decode=decode
                    )
                    result = await begin(await stack.enter_async_context(opening))
                    kept.push_async_exit(stack.pop_all())
                return result
            raise ResponseTimeout(f"no answer within {attempt_timeout_seconds:g} s")

        yield await loop.run(attempt)

"""Requests of the clients, and fields of a stream that they must understand."""

import time
from collections.abc import Sequence
from math import isinf
from typing import Final

from ..exchange import CUT_SECONDS, Answer, End, Request
from ..server import RETRY_MS
from ..tables import Counts
from .base import Case, Cell, plural

_NEXT_SECONDS: Final = 10.0
_RETRY_MS: Final = 2500
_POST_SECONDS: Final = 5.0
_HEADER: Final = "X-Bench"


def _answer_in_turn(cell: Cell, answers: Sequence[Answer]) -> None:
    """Give each request the next answer, and all further ones the last."""

    def answer(request: Request) -> Answer | None:
        if not request.is_stream:
            return None
        return answers[min(len(cell.requests), len(answers)) - 1]

    cell.proxy.rule = answer


def unknown_type(cell: Cell) -> Counts:
    tab = cell.open()
    cell.publish(range(10, 20), type="surprise")
    tab.wait_for(20, 2)
    return {"received": tab.read().distinct - 10}


def show_unknown_type(counts: dict[str, float]) -> str:
    return f"{counts['received']:.0f} of 10 received"


def id_only(cell: Cell) -> Counts:
    body = f'retry: {RETRY_MS}\nid: 1\ndata: {{"n": 0}}\n\nid: 2\n\n'
    _answer_in_turn(cell, (Answer.stream(body, End.CUT), Answer.stream(": \n", End.HELD)))
    tab = cell.new_tab()
    cell.start(tab)
    tab.wait(lambda: len(cell.requests) > 1, _NEXT_SECONDS)
    cursor = cell.requests[1].cursor if len(cell.requests) > 1 else "no request"
    return {"cursor": cursor or "none", "other": tab.read().other}


def show_id_only(counts: dict[str, float | str]) -> str:
    other = float(counts["other"])
    return f"resumes after {counts['cursor']}" + (f", {plural(other, 'empty message')}" if other else "")


def retry(cell: Cell) -> Counts:
    body = f'retry: {_RETRY_MS}\nid: 1\ndata: {{"n": 0}}\n\n'
    _answer_in_turn(cell, (Answer.stream(body, End.CUT), Answer.stream(": \n", End.HELD)))
    tab = cell.new_tab()
    cell.start(tab)
    tab.wait(lambda: len(cell.requests) > 1, _NEXT_SECONDS)
    at = [request.at for request in cell.requests[:2]]
    return {"wait_s": at[1] - at[0] - CUT_SECONDS if len(at) == 2 else float("inf")}


def show_retry(counts: dict[str, float]) -> str:
    if isinf(counts["wait_s"]):
        return f"not back in {_NEXT_SECONDS:.0f} s"
    return f"back after {counts['wait_s']:.1f} s"


def header(cell: Cell) -> Counts:
    tab = cell.new_tab()
    cell.start(tab, headers={_HEADER: "1"})
    cell.await_streams(tab, 1)
    return {"sent": cell.requests[0].headers.get(_HEADER.lower(), "")}


def show_header(counts: dict[str, str]) -> str:
    return "sent" if counts["sent"] else "not sent"


def post(cell: Cell) -> Counts:
    methods: list[str] = []

    def answer(request: Request) -> Answer | None:
        methods.append(request.method)
        return Answer.stream(f'retry: {RETRY_MS}\nid: 1\ndata: {{"n": 0}}\n\n', End.CUT)

    cell.proxy.rule = answer
    tab = cell.new_tab()
    cell.start(tab, method="POST", body="{}", headers={"Content-Type": "application/json"})
    began = time.time()
    tab.sleep(_POST_SECONDS)
    assert time.time() - began >= _POST_SECONDS
    return {"posts": methods.count("POST"), "gets": methods.count("GET")}


def show_post(counts: dict[str, float]) -> str:
    sent = [plural(counts["posts"], "POST")] if counts["posts"] else []
    sent += [plural(counts["gets"], "GET")] if counts["gets"] else []
    return f"{', '.join(sent) or 'no request'} in {_POST_SECONDS:.0f} s"


FORMATS: Final = (
    Case("custom request header", "The page wants a header on the request.", header, show_header),
    Case(
        "POST stream cut",
        "The page asks for a stream by a POST with a body; each response is cut after an event.",
        post,
        show_post,
    ),
    Case(
        "event type without a handler",
        "10 events have a type for which the page has no handler of its own.",
        unknown_type,
        show_unknown_type,
    ),
    Case(
        "block with only an id",
        "After an event with the id 1 the stream has a block with only the id 2, and is cut.",
        id_only,
        show_id_only,
    ),
    Case(
        f"`retry: {_RETRY_MS}`",
        f"The stream has the field `retry: {_RETRY_MS}`, and is cut.",
        retry,
        show_retry,
    ),
)

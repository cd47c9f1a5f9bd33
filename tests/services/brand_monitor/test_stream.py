"""An analysis from request to result, over real sockets."""

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest
import trio

from streamd.events.sse import ServerSentEvent
from streamd.services.brand_monitor import folding, names, terms, tone, voice
from streamd.testing import StreamRefused, open_stream
from streamd.text import vader
from tests.support.brand_rig import ERROR_KEYS, MENTIONS, PREFIX, PROGRESS_KEYS, REQUEST, many, rig
from tests.support.messages import data_of

FOLLOWERS = 100
LARGE = 10_000


def row(text: str, verdict: str, **of: str) -> dict[str, Any]:
    """Build the row of a table for one mention."""
    counts = {"mentions": 1, "positive": 0, "neutral": 0, "negative": 0} | {verdict: 1}
    return of | counts | {"averageScore": vader.score(text)}


async def test_an_analysis_runs_from_request_to_result() -> None:
    async with rig() as r:
        answer = await r.client.post(f"{PREFIX}/analyses", json=REQUEST | {"taskId": "spring.2026"})
        assert answer.status_code == 202
        assert answer.json() == {
            "taskId": "spring.2026",
            "progressUrl": f"{PREFIX}/progress/spring.2026",
            "resultUrl": f"{PREFIX}/analyses/spring.2026",
        }
        async with open_stream(r.url, path=answer.json()["progressUrl"]) as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["cache-control"] == "no-cache, no-transform"
            assert stream.headers["x-accel-buffering"] == "no"
            connected = await stream.next_block()
            assert isinstance(connected, ServerSentEvent)
            assert connected.type == "connected"
            assert data_of(connected)["heartbeat_seconds"] == 30
            events = []
            while (event := await stream.next_event()) is not None:
                events.append(event)
        result = (await r.client.get(answer.json()["resultUrl"])).json()
        assert await r.pending() == 0

    assert {event.type for event in events} == {"progress"}
    messages = [data_of(event) for event in events]
    assert messages[-1].pop("result") == result
    assert all(set(message) == PROGRESS_KEYS for message in messages)
    assert {message["taskId"] for message in messages} == {"spring.2026"}
    assert (messages[-1]["status"], messages[-1]["progress"], messages[-1]["eta_seconds"]) == (
        "completed",
        100,
        0,
    )

    assert result["brand"] == "Acme"
    assert result["competitors"] == ["Globex", "Initech"]
    assert result["period"] == {"from": "2026-02-28T12:00:00.000Z", "to": "2026-03-02T23:00:00.000Z"}
    assert result["mentions"] == {"total": 4, "brand": 2, "nobody": 1}
    assert result["shareOfVoice"] == [
        {"name": "Acme", "mentions": 2, "occurrences": 2, "share": 50.0},
        {"name": "Globex", "mentions": 2, "occurrences": 2, "share": 50.0},
        {"name": "Initech", "mentions": 0, "occurrences": 0, "share": 0.0},
    ]
    sentiment = result["sentiment"]
    assert sentiment["bySource"] == [
        row(MENTIONS[0]["text"], "positive", source="blog"),
        row(MENTIONS[1]["text"], "negative", source="forum"),
    ]
    # the first mention is from 01:30 of the next day in UTC
    assert [(line["day"], line["mentions"]) for line in sentiment["byDay"]] == [("2026-03-02", 2)]
    assert sentiment["overall"] == {
        name: value for name, value in sentiment["byDay"][0].items() if name != "day"
    }
    assert result["terms"]["brand"]["words"][0] == {"term": "battery", "count": 3}
    assert {"term": "shop", "count": 2} in result["terms"]["all"]["words"]
    assert "shop" not in {line["term"] for line in result["terms"]["brand"]["words"]}  # said of another brand
    assert not {"acme", "globex"} & {line["term"] for line in result["terms"]["all"]["words"]}


async def test_progress_passes_all_steps_and_never_falls() -> None:
    async with rig(hold=True, brand_monitor={"slice_mentions": 100}) as r:
        task_id = await r.start(mentions=many(500))
        async with open_stream(r.url, path=f"{PREFIX}/progress/{task_id}") as stream:
            first = await stream.next_event()
            assert first is not None
            assert (first.type, data_of(first)["status"], data_of(first)["progress"]) == (
                "progress",
                "pending",
                0,
            )
            assert set(data_of(first)) == PROGRESS_KEYS  # the snapshot has the same fields
            r.release.set()
            messages = []
            while (event := await stream.next_event()) is not None:
                assert event.type == "progress"
                messages.append(data_of(event))
    progress = [message["progress"] for message in messages]
    assert progress == sorted(progress)
    assert progress[-1] == 100
    assert max(progress[:-1]) < 100  # 100 only at the end
    assert [message["status"] for message in messages] == ["running"] * (len(messages) - 1) + ["completed"]
    stages = list(dict.fromkeys(message["stage"] for message in messages if message["stage"]))
    assert stages == ["share_of_voice", "sentiment", "terms"]
    said = [message["message"] for message in messages]
    for verb in ("Looked for names in", "Scored", "Counted the words of"):
        for done in (100, 200, 300, 400, 500):
            assert any(text.startswith(f"{verb} {done} of 500 mentions") for text in said)


async def test_a_late_follower_gets_the_result_and_a_finished_one_gets_204() -> None:
    async with rig() as r:
        task_id = await r.start()
        await r.follow(task_id)
        late = await r.follow(task_id)
        assert [event.type for event in late] == ["progress"]
        assert data_of(late[0])["status"] == "completed"
        assert data_of(late[0])["result"]["brand"] == "Acme"
        with pytest.raises(StreamRefused) as refused:
            await r.follow(task_id, last_event_id=late[-1].last_event_id)
        assert refused.value.status == 204


async def test_a_stream_resumes_from_its_cursor() -> None:
    async with rig(hold=True) as r:
        task_id = await r.start()
        async with open_stream(r.url, path=f"{PREFIX}/progress/{task_id}") as stream:
            before = await stream.next_event()
            assert before is not None
            r.release.set()
            events = []
            while (event := await stream.next_event()) is not None:
                events.append(event)
        assert await r.follow(task_id, last_event_id=before.last_event_id) == events
        assert await r.follow(task_id, last_event_id=events[1].last_event_id) == events[2:]


async def test_a_hundred_streams_receive_a_whole_analysis() -> None:
    async with rig(hold=True) as r:
        task_id = await r.start(mentions=many(1_000))
        seen: list[list[dict[str, Any]]] = []

        async def follow() -> None:
            seen.append([data_of(event) for event in await r.follow(task_id)])

        async with trio.open_nursery() as nursery:
            for _ in range(FOLLOWERS):
                nursery.start_soon(follow)
            health = await r.until_active(FOLLOWERS)
            r.release.set()
        assert health["status"] == "healthy"
        assert health["totalConnections"] == FOLLOWERS
        assert health["connectionHealth"] == {"healthy": FOLLOWERS, "unhealthy": 0, "stale": 0}
        assert await r.until_active(0) | {"averageConnectionTime": 0} == {
            "status": "healthy",
            "totalConnections": FOLLOWERS,
            "activeConnections": 0,
            "connectionHealth": {"healthy": 0, "unhealthy": 0, "stale": 0},
            "averageConnectionTime": 0,
            "connectionErrors": 0,
        }
        assert (await r.health())["averageConnectionTime"] > 0
    assert len(seen) == FOLLOWERS
    for messages in seen:
        assert messages == seen[0]
    assert seen[0][-1]["result"]["mentions"] == {"total": 1_000, "brand": 1_000, "nobody": 0}


async def test_a_result_too_large_for_an_event_is_linked() -> None:
    async with rig(tasks={"max_event_result_bytes": 100}) as r:
        task_id = await r.start()
        end = await r.end_of(task_id)
        assert set(end) == PROGRESS_KEYS | {"resultUrl"}
        assert (await r.client.get(end["resultUrl"])).json()["brand"] == "Acme"


async def test_no_mentions_and_no_names_are_valid_results() -> None:
    async with rig() as r:
        empty = (await r.end_of(await r.start(mentions=[])))["result"]
        assert empty["period"] is None
        assert empty["mentions"] == {"total": 0, "brand": 0, "nobody": 0}
        assert [line["share"] for line in empty["shareOfVoice"]] == [None, None, None]
        unnamed = (await r.end_of(await r.start(mentions=[MENTIONS[3]])))["result"]
        assert unnamed["mentions"] == {"total": 1, "brand": 0, "nobody": 1}
        assert [line["share"] for line in unnamed["shareOfVoice"]] == [None, None, None]
        assert unnamed["sentiment"]["overall"]["averageScore"] is None
        assert unnamed["terms"]["brand"] == {"words": [], "phrases": []}
        assert {"term": "pacmet", "count": 1} in unnamed["terms"]["all"]["words"]


@pytest.mark.parametrize("competitors", [1, 2, 6, 50])
async def test_the_shares_of_an_analysis_sum_to_100(competitors: int) -> None:
    names = [f"Brand{number:02d}" for number in range(competitors + 1)]
    texts = [" and ".join(names[: 1 + number % len(names)]) for number in range(2 * competitors + 1)]
    async with rig() as r:
        task_id = await r.start(
            brand=names[0],
            competitors=names[1:],
            mentions=[MENTIONS[0] | {"text": text} for text in texts],
        )
        table = (await r.end_of(task_id))["result"]["shareOfVoice"]
    assert len(table) == competitors + 1
    assert sum(Decimal(str(row["share"])) for row in table) == 100


async def test_a_cancelled_analysis_stops_after_the_current_slice() -> None:
    async with rig(brand_monitor={"slice_mentions": 1}) as r:
        task_id = await r.start(
            mentions=many(LARGE)
        )  # ten thousand slices: it cannot finish before the cancel
        async with open_stream(r.url, path=f"{PREFIX}/progress/{task_id}") as stream:
            await stream.take(5)
            answer = await r.client.post(f"{PREFIX}/analyses/{task_id}/cancel")
            assert (answer.status_code, answer.json()) == (200, {"taskId": task_id, "status": "cancelled"})
            while (event := await stream.next_event()) is not None:
                last = event
        assert last.type == "error"
        end = data_of(last)
        assert set(end) == ERROR_KEYS
        assert (end["status"], end["code"], end["error"]) == (
            "cancelled",
            "cancelled",
            "The analysis was cancelled",
        )
        assert (await r.end_of(await r.start()))["status"] == "completed"  # the thread is free again
        assert [event.type for event in await r.follow(task_id)] == ["error"]
        result = await r.client.get(f"{PREFIX}/analyses/{task_id}")
        assert (result.status_code, result.json()["code"]) == (409, "no-result")
        again = await r.client.post(f"{PREFIX}/analyses/{task_id}/cancel")
        assert (again.status_code, again.json()["code"]) == (409, "invalid-transition")


async def test_an_analysis_past_its_deadline_fails_with_a_reason() -> None:
    async with rig(hold=True, brand_monitor={"timeout_seconds": 0.05}, tasks={"sweep_seconds": 0.02}) as r:
        end = await r.end_of(await r.start())
        assert set(end) == ERROR_KEYS
        assert (end["status"], end["code"]) == ("failed", "timeout")


async def test_a_pending_analysis_survives_a_restart(tmp_path: Path) -> None:
    store = {"url": f"sqlite:{tmp_path / 'streamd.db'}"}
    async with rig(hold=True, store=store) as r:
        task_id = await r.start()
        assert await r.pending() == 1
    async with rig(store=store) as r:
        assert (await r.end_of(task_id))["result"]["mentions"]["total"] == 4
        assert await r.pending() == 0


async def test_a_task_of_this_kind_that_was_not_made_here_has_nothing_to_analyse() -> None:
    async with rig() as r:
        for input in (None, {}, {"handle": 7}, {"handle": "guessed"}):
            task = await r.runtime.tasks.create("brand-monitor", input=input)
            assert (await r.end_of(task.id))["code"] == "nothing-waits"


def record_calls(called: set[str]) -> Callable[[FrameType, str, Any], None]:
    """Build a profiler that records calls into the computing modules in the thread it is set in."""
    files = {module.__file__ for module in (folding, names, terms, tone, voice)}

    def note(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and (file in files or "vaderSentiment" in file):
            called.add(f"{Path(file).stem}.{frame.f_code.co_qualname}")

    return note


async def test_no_analysis_runs_in_the_event_loop_thread() -> None:
    called: set[str] = set()
    async with rig() as r:
        try:
            sys.setprofile(record_calls(called))  # only this thread
            names.key_of("Acme")  # proves that the profiler records
            assert "names.key_of" in called
            called.clear()
            end = await r.end_of(await r.start(mentions=many(LARGE)))
        finally:
            sys.setprofile(None)
    assert end["result"]["mentions"] == {"total": LARGE, "brand": LARGE, "nobody": 0}
    assert called == set()


async def test_a_large_analysis_is_computed_in_worker_processes_and_a_small_one_here() -> None:
    def processes() -> set[int]:
        return {child.pid for child in psutil.Process().children(recursive=True)}

    async with rig() as r:
        before = processes()
        assert (await r.end_of(await r.start(mentions=many(10))))["status"] == "completed"
        assert processes() <= before
        assert (await r.end_of(await r.start(mentions=many(LARGE))))["status"] == "completed"
        assert processes() - before

"""``/api/strategy`` over real sockets with a model: streamed text, late subscribers, failures."""

from collections.abc import Iterator

import attrs
import httpx
import msgspec
import pytest
import structlog.testing
import trio

from streamd.services.strategy.catalogue import SECTIONS
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.fake_server import Answer, Exchange, fake_server
from tests.support.messages import STANDARD_FIELDS, StreamMessage, messages, next_message, read_until
from tests.support.model_server import ControlledModel, begin, complete, refuse, say, text_settings
from tests.support.strategy_rig import (
    PROFILE,
    StrategyClient,
    serving_model,
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of intended failures off the terminal."""
    with structlog.testing.capture_logs():
        yield


async def test_each_section_is_written_from_its_own_prompt() -> None:
    async def answer(exchange: Exchange) -> None:
        brief = exchange.request.json["messages"][0]["content"]
        [title] = [section.title for section in SECTIONS if f"“{section.title}”" in brief]
        await complete("This is ", f"about {title}.")(exchange)

    async with serving_model(answer) as (service, model):
        strategy = await service.create()
        events = await service.read_all(strategy)
        result = events[-1].data["result"]
    assert result["generator"] == "tiny-1"
    assert [one["text"] for one in result["sections"]] == [f"This is about {one.title}." for one in SECTIONS]
    assert result["text"] == events[0].data["text"] + "".join(
        one.data.get("text_delta", "") for one in events
    )
    assert sum(round(100 * one["amount"]) for one in result["budget"]["by_goal"]) == 1_250_050
    prompts = [msgspec.json.decode(one.json["messages"][1]["content"]) for one in model.requests]
    assert prompts[0]["profile"] == PROFILE
    assert prompts[0]["written_before"] == ""
    assert "This is about Where you start." in prompts[1]["written_before"]


async def test_text_is_streamed_as_it_is_generated_and_late_subscribers_get_it_all() -> None:
    model = ControlledModel()
    async with serving_model(model) as (service, _):
        strategy = await service.create()
        async with service.follow(strategy) as early:
            for piece in ("Once ", "upon "):
                await model.say(piece)
                # The next piece is sent only after this one has arrived.
                event = await read_until(
                    early, lambda one: "text_delta" in one.data and one.data["text_delta"] != HEAD
                )
                assert (event.type, event.data["text_delta"]) == ("progress", piece)
            async with service.follow(strategy) as late:
                snapshot = await next_message(late)
                assert snapshot.data["text"] == HEAD + "Once upon "
                assert (snapshot.data["step"], snapshot.data["step_name"]) == (1, "analysis")
                await model.say("a time")
                following = await next_message(late)
                assert following.data["text_delta"] == "a time"
                assert following.data["version"] == snapshot.data["version"] + 1
            status = (await service.http.get(strategy["statusUrl"])).json()
            assert status["text"] == HEAD + "Once upon a time"
            # A client that reconnects resumes, and gets each piece once.
            async with service.follow(strategy, last_event_id=event.id) as again:
                assert (await next_message(again)).data["text_delta"] == "a time"


HEAD = f"## {SECTIONS[0].title}\n\n"


async def test_polling_shows_the_state_of_the_stream() -> None:
    second = ControlledModel()
    async with serving_model(complete("One."), second, poll_seconds=7) as (service, _):
        strategy = await service.create()
        await second.say("Two")
        async with service.follow(strategy) as reader:
            await read_until(
                reader, lambda one: one.data.get("text", "").endswith("Two") or is_delta(one, "Two")
            )
        answer = await service.http.get(strategy["statusUrl"])
        assert answer.headers["retry-after"] == "7"
        assert answer.headers["task-status"] == "running"
        fields = answer.json()
        assert set(fields) >= STANDARD_FIELDS
        assert fields["strategyId"] == strategy["strategyId"]
        assert (fields["status"], fields["step"], fields["step_name"]) == ("running", 2, "audience")
        assert fields["message"] == SECTIONS[1].doing
        assert fields["educational_content"]["after"] == "analysis"
        assert fields["text"].endswith("Two")
        assert fields["steps"] == 6
        assert [step["status"] for step in fields["step_list"]] == [
            "completed",
            "running",
            *["pending"] * 4,
        ]

        early = await service.http.get(strategy["resultUrl"])
        assert early.status_code == 409
        assert int(early.headers["retry-after"]) >= 1


def is_delta(event: StreamMessage, text: str) -> bool:
    return event.data.get("text_delta") == text


async def test_cancelling_ends_the_stream_and_disconnects_from_the_model() -> None:
    model = ControlledModel()
    async with serving_model(model) as (service, _):
        strategy = await service.create()
        await model.say("Once ")
        async with service.follow(strategy) as reader:
            answer = await service.http.post(strategy["cancelUrl"])
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
            events = [one async for one in messages(reader)]
        assert (events[-1].type, events[-1].data["code"]) == ("error", "cancelled")
        assert events[-1].data["error"] == "The strategy was cancelled"
        await model.left.wait()
        status = await service.http.get(strategy["statusUrl"])
        assert "retry-after" not in status.headers
        result = await service.http.get(strategy["resultUrl"])
        assert (result.status_code, result.json()["code"]) == (409, "no-result")
        assert "retry-after" not in result.headers


async def cut_off(exchange: Exchange) -> None:
    await begin(exchange)
    await say(exchange, "Half a ")
    await exchange.end()


async def test_truncated_text_fails_the_strategy_and_stays_in_the_snapshot() -> None:
    async with serving_model(complete("One."), cut_off) as (service, model):
        strategy = await service.create()
        events = await service.read_all(strategy)
        status = (await service.http.get(strategy["statusUrl"])).json()
    last = events[-1]
    assert (last.type, last.data["status"]) == ("error", "failed")
    assert last.data["code"] == "generation-failed"
    assert last.data["error"] == "the text service broke off before the text was complete"
    assert status["error"] == last.data["error"]
    assert status["text"].endswith("Half a ")
    assert [step["status"] for step in status["step_list"][:3]] == ["completed", "failed", "pending"]
    assert len(model.requests) == 2


async def test_unsent_text_is_published_when_the_model_disconnects() -> None:
    async def break_off(exchange: Exchange) -> None:
        await begin(exchange)
        await say(exchange, "Half a ")
        await say(exchange, "sentence")
        await exchange.end()

    async with serving_model(break_off, text_seconds=3600) as (service, _):
        status = await service.wait_for_end(await service.create())
    assert status["status"] == "failed"
    assert status["text"] == HEAD + "Half a sentence"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (refuse(401), "the text service did not accept the configured key"),
        (refuse(500), "the text service failed (HTTP 500)"),
    ],
)
async def test_refusal_by_the_model_fails_the_strategy(answer: Answer, sentence: str) -> None:
    async with serving_model(answer) as (service, _):
        events = await service.read_all(await service.create())
    assert (events[-1].type, events[-1].data["error"]) == ("error", sentence)


async def test_slow_model_ends_in_a_timeout() -> None:
    model = ControlledModel()
    async with serving_model(model, timeout_seconds=1.5) as (service, _):
        strategy = await service.create()
        events = await service.read_all(strategy)
        assert (events[-1].type, events[-1].data["code"]) == ("error", "timeout")
        assert "1.5 s" in events[-1].data["error"]
        await model.left.wait()


async def test_text_beyond_the_limit_fails_the_strategy() -> None:
    async with fake_server(complete("word " * 100)) as model:
        settings = Settings(text=text_settings(model))
        settings = attrs.evolve(settings, tasks=attrs.evolve(settings.tasks, max_text_bytes=200))
        async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
            service = StrategyClient(server.url, http)
            status = await service.wait_for_end(await service.create())
    assert status["status"] == "failed"
    assert status["code"] == "too-large"
    assert "200 bytes" in status["error"]


async def test_pieces_are_collected_within_the_interval() -> None:
    """Hundreds of pieces become a few events, and none is lost."""
    pieces = [f"w{number} " for number in range(300)]
    async with serving_model(complete(*pieces), text_seconds=3600) as (service, _):
        events = await service.read_all(await service.create())
    deltas = [one.data["text_delta"] for one in events if "text_delta" in one.data]
    assert len(deltas) <= 2 * len(SECTIONS)
    result = events[-1].data["result"]
    assert [one["text"] for one in result["sections"]] == ["".join(pieces).strip()] * len(SECTIONS)


async def test_hundred_streams_of_one_strategy_all_get_the_whole_text() -> None:
    """Subscribers that join at any time get the whole text in order, and its end."""
    model = ControlledModel()
    texts: list[str] = []
    async with serving_model(model, complete("And on.")) as (service, _):
        strategy = await service.create()

        async def follow(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            async with service.follow(strategy) as reader:
                text = (await next_message(reader)).data["text"]
                task_status.started()
                async for event in messages(reader):
                    text += event.data.get("text_delta", "")
                assert event.type == "complete"
                assert event.data["result"]["text"] == text
                texts.append(text)

        async with trio.open_nursery() as nursery:
            for number in range(100):
                await nursery.start(follow)
                if number % 10 == 0:
                    await model.say(f"piece {number} ")
            await model.say("")
    assert len(texts) == 100
    assert len(set(texts)) == 1
    assert "piece 0 piece 10 " in texts[0]

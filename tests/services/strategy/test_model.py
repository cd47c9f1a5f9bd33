"""``/api/strategy`` over real sockets, written by a model: text as it comes, late joiners, trouble."""

from collections.abc import Awaitable, Callable, Iterator

import attrs
import httpx
import msgspec
import pytest
import structlog.testing
import trio

from streamd.config import Settings
from streamd.services.strategy.sections import SECTIONS
from streamd.testing import run_server
from tests.support.model_server import Talk, model_server
from tests.support.strategy_rig import (
    PROFILE,
    STANDARD,
    Said,
    Service,
    Stepwise,
    parse,
    read,
    read_until,
    serving_model,
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures on purpose need no lines on the terminal."""
    with structlog.testing.capture_logs():
        yield


async def test_model_writes_each_section_as_it_is_told() -> None:
    async def answer(talk: Talk) -> None:
        brief = talk.body["messages"][0]["content"]
        [title] = [section.title for section in SECTIONS if f"“{section.title}”" in brief]
        await talk.answer("This is ", f"about {title}.")

    async with serving_model(answer) as (service, model):
        strategy = await service.create()
        said = await service.read_all(strategy)
        result = said[-1].data["result"]
    assert result["generator"] == "tiny-1"
    assert [one["text"] for one in result["sections"]] == [f"This is about {one.title}." for one in SECTIONS]
    assert result["text"] == said[0].data["text"] + "".join(one.data.get("text_delta", "") for one in said)
    assert sum(round(100 * one["amount"]) for one in result["budget"]["by_goal"]) == 1_250_050
    told = [msgspec.json.decode(talk.body["messages"][1]["content"]) for talk in model.talks]
    assert told[0]["profile"] == PROFILE
    assert told[0]["written_before"] == ""
    assert "This is about Where you start." in told[1]["written_before"]


async def test_text_streams_as_it_comes_and_late_joiners_have_it_so_far() -> None:
    model = Stepwise()
    async with serving_model(model) as (service, _):
        strategy = await service.create()
        async with service.follow(strategy) as early:
            for piece in ("Once ", "upon "):
                await model.say(piece)
                # The next piece is said only when this one has arrived.
                said = await read_until(
                    early, lambda one: "text_delta" in one.data and one.data["text_delta"] != HEAD
                )
                assert (said.type, said.data["text_delta"]) == ("progress", piece)
            async with service.follow(strategy) as late:
                snapshot = parse(await late.next_event())
                assert snapshot.data["text"] == HEAD + "Once upon "
                assert snapshot.data["step"] == "analysis"
                await model.say("a time")
                following = await read_until(late, lambda one: True)
                assert following.data["text_delta"] == "a time"
                assert following.data["version"] == snapshot.data["version"] + 1
            status = (await service.http.get(strategy["statusUrl"])).json()
            assert status["text"] == HEAD + "Once upon a time"
            # Who was away goes on where it was, and gets each piece once.
            async with service.follow(strategy, last_event_id=said.id) as again:
                assert (await read_until(again, lambda one: True)).data["text_delta"] == "a time"


HEAD = f"## {SECTIONS[0].title}\n\n"


async def test_polling_shows_the_same() -> None:
    second = Stepwise()
    async with serving_model(lambda talk: talk.answer("One."), second, poll_seconds=7) as (service, _):
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
        assert set(fields) >= STANDARD
        assert fields["strategyId"] == strategy["strategyId"]
        assert (fields["status"], fields["step"]) == ("running", "audience")
        assert fields["message"] == SECTIONS[1].doing
        assert fields["educational_content"]["after"] == "analysis"
        assert fields["text"].endswith("Two")
        assert [step["status"] for step in fields["steps"]] == ["completed", "running"] + ["pending"] * 4

        early = await service.http.get(strategy["resultUrl"])
        assert early.status_code == 409
        assert int(early.headers["retry-after"]) >= 1


def is_delta(said: Said, text: str) -> bool:
    return said.data.get("text_delta") == text


async def test_cancelling_tells_followers_and_hangs_up_on_the_model() -> None:
    model = Stepwise()
    async with serving_model(model) as (service, _):
        strategy = await service.create()
        await model.say("Once ")
        async with service.follow(strategy) as reader:
            answer = await service.http.post(strategy["cancelUrl"])
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
            said = [one async for one in read(reader)]
        assert (said[-1].type, said[-1].data["code"]) == ("error", "cancelled")
        assert said[-1].data["error"] == "The strategy was cancelled"
        await model.left.wait()
        status = await service.http.get(strategy["statusUrl"])
        assert "retry-after" not in status.headers
        result = await service.http.get(strategy["resultUrl"])
        assert (result.status_code, result.json()["code"]) == (409, "no-result")
        assert "retry-after" not in result.headers


async def cut_off(talk: Talk) -> None:
    await talk.head()
    await talk.say("Half a ")
    await talk.end()


async def test_model_that_breaks_off_fails_the_strategy_and_what_was_said_stays() -> None:
    async with serving_model(lambda talk: talk.answer("One."), cut_off) as (service, model):
        strategy = await service.create()
        said = await service.read_all(strategy)
        status = (await service.http.get(strategy["statusUrl"])).json()
    last = said[-1]
    assert (last.type, last.data["status"]) == ("error", "failed")
    assert last.data["code"] == "generation-failed"
    assert last.data["error"] == "the text service broke off before the text was complete"
    assert status["error"] == last.data["error"]
    assert status["text"].endswith("Half a ")
    assert [step["status"] for step in status["steps"][:3]] == ["completed", "failed", "pending"]
    assert len(model.talks) == 2


async def test_what_was_held_back_is_not_lost_when_the_model_breaks_off() -> None:
    async def break_off(talk: Talk) -> None:
        await talk.head()
        await talk.say("Half a ")
        await talk.say("sentence")
        await talk.end()

    async with serving_model(break_off, text_seconds=3600) as (service, _):
        status = await service.wait_for_end(await service.create())
    assert status["status"] == "failed"
    assert status["text"] == HEAD + "Half a sentence"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda talk: talk.refuse(401), "the text service did not accept the configured key"),
        (lambda talk: talk.refuse(500), "the text service failed (HTTP 500)"),
    ],
)
async def test_model_that_refuses(answer: Callable[[Talk], Awaitable[None]], sentence: str) -> None:
    async with serving_model(answer) as (service, _):
        said = await service.read_all(await service.create())
    assert (said[-1].type, said[-1].data["error"]) == ("error", sentence)


async def test_model_that_takes_too_long_ends_in_a_clear_error() -> None:
    model = Stepwise()
    async with serving_model(model, timeout_seconds=1.5) as (service, _):
        strategy = await service.create()
        said = await service.read_all(strategy)
        assert (said[-1].type, said[-1].data["code"]) == ("error", "timeout")
        assert "1.5 s" in said[-1].data["error"]
        await model.left.wait()


async def test_text_that_is_more_than_a_task_may_hold() -> None:
    async with model_server(lambda talk: talk.answer("word " * 100)) as model:
        settings = Settings(text=model.settings())
        settings = attrs.evolve(settings, tasks=attrs.evolve(settings.tasks, max_text_bytes=200))
        async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
            service = Service(server.url, http)
            status = await service.wait_for_end(await service.create())
    assert status["status"] == "failed"
    assert status["code"] == "too-large"
    assert "200 bytes" in status["error"]


async def test_pieces_are_gathered() -> None:
    """Hundreds of pieces at once are a few events, and nothing of them is missing."""
    pieces = [f"w{number} " for number in range(300)]
    async with serving_model(lambda talk: talk.answer(*pieces), text_seconds=3600) as (service, _):
        said = await service.read_all(await service.create())
    deltas = [one.data["text_delta"] for one in said if "text_delta" in one.data]
    assert len(deltas) <= 2 * len(SECTIONS)
    result = said[-1].data["result"]
    assert [one["text"] for one in result["sections"]] == ["".join(pieces).strip()] * len(SECTIONS)


async def test_a_hundred_streams_of_one_strategy() -> None:
    """Some come at the start, some in the middle; all have the whole text, in order, and each its end."""
    model = Stepwise()
    texts: list[str] = []
    async with serving_model(model, lambda talk: talk.answer("And on.")) as (service, _):
        strategy = await service.create()

        async def follow(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            async with service.follow(strategy) as reader:
                text = parse(await reader.next_event()).data["text"]
                task_status.started()
                async for said in read(reader):
                    text += said.data.get("text_delta", "")
                assert said.type == "complete"
                assert said.data["result"]["text"] == text
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

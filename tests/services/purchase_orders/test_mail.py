"""Orders in plain text: the patterns, and the validation of a model's answer."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.computing.computer import Computer
from streamd.errors import InvalidField, TooLarge
from streamd.services.purchase_orders import enrich, mail, parsing
from streamd.services.purchase_orders.checking import check_document
from streamd.services.purchase_orders.confidence import confidence_of, ungrounded_lines
from streamd.services.purchase_orders.documents import cut_json
from streamd.services.purchase_orders.order import Format, Order, OrderLimits, OrderLine
from streamd.services.purchase_orders.parsing import UnreadableOrder, read_mail
from streamd.steps import Steps, run_at_once
from streamd.text import GenerationFailed, Prompt, RuleGenerator, TextGenerator
from streamd.turns import Turns

LIMITS = OrderLimits(max_lines=20, max_field_chars=100)
RULES = RuleGenerator({**parsing.RULES, **enrich.RULES})


def find_items(text: str, max_lines: int) -> dict[str, Any]:
    return run_at_once(mail.find_items(text, max_lines))


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("12 x Blue Mug @ 4.50", ("12", "", "Blue Mug", "4.50")),
        ("12x Blue Mug (BM-1) at $4.50 each", ("12", "BM-1", "Blue Mug", "$4.50")),
        ("- 3 pcs of SKU ABC-123: Red Shirt, EUR 1.234,50", ("3", "ABC-123", "Red Shirt", "EUR 1.234,50")),
        ("* 2 × Lamp, each 12.00", ("2", "", "Lamp", "12.00")),
        ("Blue Mug x 12 @ 4.50", ("12", "", "Blue Mug", "4.50")),
        ("BM-1 Blue Mug - 12 pcs - 4,50 €", ("12", "BM-1", "Blue Mug", "4,50 €")),
        ("SKU: BM-1; Qty: 12; Price: 4.50", ("12", "BM-1", "", "4.50")),
        ("SKU: BM-1, Qty: 12, Price: 4.50", ("12", "BM-1", "", "4.50")),
        ("Big one | Qty: 12", ("12", "", "Big one", "")),
        ("1. 5 x Chair @ 10.00 = 50.00", ("5", "", "Chair", "10.00")),
        ("12 Blue Mugs 4.50 EUR", ("12", "", "Blue Mugs", "4.50 EUR")),
        ("7x Widget 3x3 cm", ("7", "", "Widget 3x3 cm", "")),
        ("2 Mug at EUR4.50 per piece.", ("2", "", "Mug", "EUR4.50")),
        ("1,000 units Gadget @ 1.5", ("1,000", "", "Gadget", "1.5")),
    ],
)
def test_line_items_in_every_notation(line: str, item: tuple[str, str, str, str]) -> None:
    [found] = find_items(line, 10)["lines"]
    names = ("quantity", "sku", "description", "unitPrice")
    assert tuple(found.get(name, "") for name in names) == item


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Hello,",
            "please send us 2 things soon:",
            "2 weeks ago we asked",
            "Phone 555 123 456",
            "Best, Jane",
        ),
        *("> 99 x Old Thing @ 1", "", "Order of 3 March", "x" * 1000),
    ],
)
def test_prose_contains_no_items(line: str) -> None:
    assert find_items(line, 10) == {"fields": {}, "lines": [], "unread": []}


@pytest.mark.parametrize("line", ["10 x", "20 @ 3.50", "12 x ??? @ 4.50", "Mug 3 pcs or rather 4"])
def test_a_line_that_only_looks_like_an_item_is_unread(line: str) -> None:
    found = find_items(line, 10)
    assert not found["lines"]
    assert found["unread"] == [line]


def test_fields_of_the_order_are_found() -> None:
    text = "From: jane@x.example\nPO number: 4711\nCurrency: EUR\nSupplier: Acme\n1 x Mug\nGrand total: 5,00"
    assert find_items(text, 10)["fields"] == {
        "orderNumber": "4711",
        "currency": "EUR",
        "supplier": "Acme",
        "total": "5,00",
    }
    assert find_items("concerning order #77-A", 10)["fields"] == {"orderNumber": "77-A"}


WORDS = st.lists(st.sampled_from(["Blue", "Mug", "Chair", "oak", "Lamp"]), min_size=1, max_size=4).map(
    " ".join
)
ITEMS = st.tuples(
    st.integers(1, 999),
    WORDS,
    st.none() | st.from_regex(r"[A-Z]{2,4}-[0-9]{1,4}", fullmatch=True),
    st.decimals(0, 10**5, places=2, allow_nan=False, allow_infinity=False),
)


@given(
    st.lists(ITEMS, min_size=1, max_size=20),
    st.sampled_from(["{q} x {d}{s} @ {p}", "{d}{s} x {q} at {p} EUR"]),
)
def test_items_in_prose_round_trip(items: list[tuple[Any, ...]], pattern: str) -> None:
    text = "\n".join(
        pattern.format(q=quantity, d=words, s=f" ({sku})" if sku else "", p=f"{price:f}")
        for quantity, words, sku, price in items
    )
    found = find_items(text, 20)["lines"]
    assert [(item["quantity"], item["description"], item.get("sku")) for item in found] == [
        (str(quantity), words, sku) for quantity, words, sku, _ in items
    ]
    assert [Decimal(item["unitPrice"].removesuffix(" EUR")) for item in found] == [item[3] for item in items]


@given(st.text(max_size=300))
def test_any_text_is_searched_without_an_error(text: str) -> None:
    found = find_items(text, 10)
    assert all({"quantity"} < set(line) for line in found["lines"])


# --- hostile lines ----------------------------------------------------------------------------------

HOSTILE = (  # noqa: SIM905 - they begin and end with spaces
    "1 _, _– _1._1,1'_x _a;_a|_a: _po _order no _K _@ $_9x _ - _ ,;:–-_ at 1_ @ 1_ total: 1_ = 1_ 1 EUR_ EUR"
    "_ EUR 1_ sku_ (_ A-1-_ 1 pcs_ x 1_ .,;_ $1 each_ per_ ref no #_ [A1_)("
).split("_")


@pytest.mark.parametrize("begin", ["", "1 x a"])
@pytest.mark.parametrize("part", HOSTILE)
def test_the_time_for_a_line_grows_in_proportion_to_its_length(
    begin: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "MAX_LINE_CHARS", 10**9)

    def seconds(chars: int) -> float:
        line = (begin + part * chars)[:chars]
        began = time.thread_time()
        find_items(line, 10)
        return time.thread_time() - began

    short = min(seconds(2_000) for _ in range(5))
    long = min(seconds(8_000) for _ in range(5))
    assert long < 9 * short, "four times as long takes four times as long; with the square it is 16"


@pytest.mark.parametrize("separator", ["\n", "\r", "\x0b", "\u2028"])
def test_the_lines_of_a_text_are_bounded_by_all_their_separators(separator: str) -> None:
    def check(lines: int) -> str:
        text = separator.join(["a"] * lines)
        return run_at_once(check_document(text.encode(), "", Format.TEXT, LIMITS, "EUR"))

    assert check(4 * LIMITS.max_lines)
    with pytest.raises(TooLarge, match="80 lines"):
        check(4 * LIMITS.max_lines + 2)


# --- through the generator ------------------------------------------------------------------------


class Model:
    """A text generator with scripted answers in pieces; it records its prompts."""

    name = "model"

    def __init__(self, answers: Iterable[str | Exception]) -> None:
        self.answers = list(answers)
        self.prompts: list[Prompt] = []

    @asynccontextmanager
    async def generate(self, prompt: Prompt) -> AsyncIterator[AsyncIterator[str]]:
        self.prompts.append(prompt)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer

        async def pieces() -> AsyncIterator[str]:
            for start in range(0, len(answer), 7):
                yield answer[start : start + 7]

        yield pieces()


async def read(generator: TextGenerator, text: str, limits: OrderLimits = LIMITS) -> Order:
    begun: list[None] = []

    async def begin() -> None:
        begun.append(None)

    try:
        return await read_mail(generator, text, limits, begin, Computer("orders"))
    finally:
        assert len(begun) <= 1


MAIL = "Hello,\nPO no. 88\n12 x Blue Mug (BM-1) @ 4.50 EUR\n2 x Chair @ 10.00 EUR\nBye"


async def test_the_rules_parse_a_mail() -> None:
    order = await read(RULES, MAIL)
    assert order.number == "88"
    assert [(line.quantity, line.sku, line.description, line.unit_price) for line in order.lines] == [
        (12, "BM-1", "Blue Mug", Decimal("4.50")),
        (2, "", "Chair", Decimal("10.00")),
    ]
    assert {line.currency for line in order.lines} == {"EUR"}


class CancelledTurns(Turns):
    """Turns of one step each, the third of which cancels the computation."""

    def __init__(self) -> None:
        super().__init__(turn_seconds=0)
        self.scope = trio.CancelScope()
        self.taken = 0

    def _take_turn(self, steps: Steps[object]) -> Any:
        self.taken += 1
        if self.taken == 3:
            trio.from_thread.run_sync(self.scope.cancel)
        return super()._take_turn(steps)


async def test_cancelling_does_not_wait_for_the_rest_of_a_text() -> None:
    turns = CancelledTurns()
    computer = Computer("orders", turns=turns)
    with turns.scope:
        await read_mail(RULES, "nothing to order\n" * 1_000, LIMITS, trio.lowlevel.checkpoint, computer)
    assert turns.scope.cancelled_caught
    assert turns.taken == 3
    await read_mail(RULES, MAIL, LIMITS, trio.lowlevel.checkpoint, computer)  # the thread is free again


async def test_a_text_without_items_fails_with_an_example() -> None:
    with pytest.raises(UnreadableOrder, match="12 x Blue Mug"):
        await read(RULES, "Hello, how are you?")


async def test_an_invalid_item_is_named() -> None:
    with pytest.raises(InvalidField, match="whole number"):
        await read(RULES, "2.5 x Flour @ 3.00")
    with pytest.raises(TooLarge, match="more than 2 lines"):
        await read(RULES, "1 x Mug\n" * 50, OrderLimits(2, 100))


async def test_the_answer_is_cut_out_of_a_code_fence() -> None:
    model = Model(
        ['Sure!\n```json\n{"lines": [{"quantity": "12", "sku": "BM-1", "unitPrice": "4.50"}]}\n```\n']
    )
    order = await read(model, MAIL)
    assert [(line.quantity, line.sku) for line in order.lines] == [(12, "BM-1")]
    assert order.unread == 1, "the patterns see an item more"
    assert MAIL in model.prompts[0].user
    assert model.prompts[0].purpose == "orders.parse"


async def test_an_invalid_answer_is_retried_once_with_the_error() -> None:
    model = Model(['{"lines": [{"quantity": "-1", "sku": "A"}]}', '[{"quantity": 12, "sku": "BM-1"}]'])
    assert (await read(model, MAIL)).lines[0].quantity == 12
    assert "greater than 0" in model.prompts[1].user


@pytest.mark.parametrize(
    "answer", ["no idea", '{"lines": "none"}', '{"lines": [{"sku": "A"}]}', "", "}{", "[" * 9999]
)
async def test_two_invalid_answers_fail_the_order(answer: str) -> None:
    with pytest.raises(UnreadableOrder, match="is not a valid order"):
        await read(Model([answer, answer]), MAIL)


async def test_an_empty_answer_of_a_model_is_accepted() -> None:
    with pytest.raises(UnreadableOrder, match="no line item"):
        await read(Model(['{"lines": []}']), "Hello")


async def test_a_failed_generator_is_reported() -> None:
    with pytest.raises(GenerationFailed):
        await read(Model([GenerationFailed("no connection")]), MAIL)


def test_cut_json_removes_surrounding_text() -> None:
    assert cut_json('x {"a": [1]} y') == '{"a": [1]}'
    assert cut_json("[1] and") == "[1]"
    assert cut_json("nothing") == "nothing"
    assert cut_json("} {") == "} {"


# --- how far it can be relied on ------------------------------------------------------------------


def line(number: int = 1, **fields: Any) -> OrderLine:
    return OrderLine(
        **{"number": number, "location": f"line {number}", "quantity": 12, "sku": "BM-1", **fields}
    )


def test_figures_missing_in_the_text_are_ungrounded() -> None:
    good = line(1, unit_price=Decimal("4.50"))
    order = Order(
        lines=(good, line(2, quantity=13), line(3, sku="ZZ-9"), line(4, unit_price=Decimal("4.51")))
    )
    assert run_at_once(ungrounded_lines(order, MAIL)) == {2, 3, 4}
    order = Order(lines=(line(1, quantity=1200),))
    assert run_at_once(ungrounded_lines(order, "1.200 pcs BM-1")) == frozenset()


def test_confidence_by_the_parts_of_the_lines() -> None:
    full = line(1, description="Mug", unit_price=Decimal("4.50"))
    assert confidence_of(Order(lines=(full,))) == 100
    assert confidence_of(Order(lines=(line(1),))) == 60
    assert confidence_of(Order(lines=(full, line(2)))) == 80
    assert confidence_of(Order(lines=(full,), unread=1)) == 50
    assert confidence_of(Order(lines=(full,)), frozenset({1})) == 50
    wrong = line(1, description="Mug", unit_price=Decimal("4.50"), total=Decimal(99))
    assert confidence_of(Order(lines=(wrong,))) == 75


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1), st.integers(0, 50))
def test_confidence_is_between_0_and_100(found: list[tuple[bool, bool, bool]], unread: int) -> None:
    lines = tuple(
        line(
            number,
            sku="A" * sku,
            unit_price=Decimal(1) if price else None,
            total=None if right else Decimal(5),
        )
        for number, (sku, price, right) in enumerate(found, 1)
    )
    assert 0 <= confidence_of(Order(lines=lines, unread=unread), frozenset({1})) <= 100


# --- enrichment -----------------------------------------------------------------------------------


async def test_the_rules_describe_goods() -> None:
    lines = [line(1, description="Blue ceramic mugs"), line(2, description="Zorbl"), line(3, sku="CHAIR-1")]
    mugs, unknown, chair = await enrich.enrich_lines(RULES, lines)
    assert mugs.category == "Kitchen & Dining"
    assert mugs.tags == ("blue", "ceramic", "mugs")
    assert "blue" in mugs.short_description
    assert unknown.category == "Other"
    assert (chair.number, chair.sku, bool(chair.category)) == (3, "CHAIR-1", True)


def test_only_valid_entries_of_an_answer_are_used() -> None:
    answer = (
        'Here: {"lines": [{"line": 1, "category": " Mugs\\n", "tags": ["Blue", "blue", "", "\\u202ex"],'
        ' "description": "A"}, {"line": 1, "category": "Again"}, {"line": 9, "category": "Unknown line"},'
        ' {"line": 2, "category": ""}]}'
    )
    lines = [line(1), line(2), line(3)]
    assert enrich.read_answer(answer, lines) == [
        line(1, category="Mugs", tags=("blue", "x"), short_description="A"),
        line(2),
        line(3),
    ]

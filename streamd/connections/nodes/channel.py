"""Messages between the nodes on one Redis, by its pub/sub.

Each node subscribes to a channel of all nodes and to one of its own. Redis delivers to all subscribers in
one order, and returns the number of those it delivered to: so a node that asks all others knows how many
answers to wait for, and does not wait for one that was killed. Redis may take minutes to notice that a whole
machine is gone: therefore a node that has said nothing for 15 s is not waited for either. Nothing is kept in
Redis.
"""

import math
import uuid
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import attrs
import msgspec
import structlog
import trio
from coredis.exceptions import RedisError

from ...redis.address import RedisAddress
from ...redis.link import REPLY_SECONDS, Disconnected, RedisLink
from . import messages
from .messages import AnyNodeMessage, NodeAnswer, NodeQuestion, NodeRequest

ANSWER_SECONDS: Final = 2.0
"""A node that does not answer within this time is left out (s)."""

SILENT_SECONDS: Final = 15.0
"""A node that says nothing within this time is taken for gone (s). Each reports more often than that."""

_GRACE_SECONDS: Final = 0.25  # for nodes that Redis delivers to, and that have not said anything yet
_OPEN_SECONDS: Final = 2.0  # a start does not wait longer: the node serves its clients without the others
_RETRY_SECONDS: Final = 0.2
_ANSWERING_MAX: Final = 100  # questions that a node answers at once; further ones are dropped

_log = structlog.get_logger(__name__)


@attrs.frozen
class Answers:
    """The answers to a question.

    Args:
        bodies: by node.
        is_complete: every other node that is not silent has answered; False also when Redis is away.
    """

    bodies: dict[str, msgspec.Raw]
    is_complete: bool


@attrs.define(eq=False)
class _Asked:
    """A question that waits for answers."""

    bodies: dict[str, msgspec.Raw] = attrs.field(factory=dict)
    arrived: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)


class NodePart:
    """A part of a node that takes part in the exchange; each method does nothing here."""

    async def greet(self, link: RedisLink) -> None:
        """Prepare each new connection to Redis, before the node hears of others.

        Raises:
            Disconnected, RedisError: see :meth:`.RedisLink.call`.
        """

    def opened(self) -> None:
        """Begin: from now on the node receives messages."""

    def lost(self) -> None:
        """Stop: messages may be lost until :meth:`opened`."""

    def take(self, message: AnyNodeMessage, *, is_own: bool) -> None:
        """Take a message to all nodes, also this node's own."""


async def answer_nothing(_: NodeRequest) -> object:
    """Answer a question as a node that has no connections and knows no requests."""
    raise LookupError


class NodeChannel:
    """The way of one node to the others. :meth:`run` must run for as long as it is used.

    Args:
        address: of the server.
        prefix: of the channels.
        reply_seconds: time after which a connection whose server does not reply is taken for lost (s).
        answer_seconds: time to wait for the answers of other nodes (s).

    Attributes:
        node: the id of this node.
        answer: answers a question of another node; an error is logged, and leaves it without an answer.
        parts: take messages.
        is_open: True while messages are received.
        answer_seconds: as given.
    """

    def __init__(
        self,
        address: RedisAddress,
        prefix: str,
        *,
        reply_seconds: float = REPLY_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.node: Final = uuid.uuid4().hex
        self.answer: Callable[[NodeRequest], Awaitable[object]] = answer_nothing
        self.parts: list[NodePart] = []
        self.is_open = False
        self._all = f"{prefix}:nodes:{address.database}"  # channels are those of all databases of a server
        self._own = self._channel_of(self.node)
        self.answer_seconds = answer_seconds
        self._link = RedisLink(address, "streamd-nodes", self._greet, reply_seconds=reply_seconds)
        self._first_open = trio.Event()
        self._asked: dict[int, _Asked] = {}
        self._heard: dict[str, float] = {}  # the last message of each other node (s on trio's clock)
        self._number = 0
        self._answering = 0
        self._nursery: trio.Nursery | None = None

    def _channel_of(self, node: str) -> str:
        return f"{self._all}:{node}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Receive messages until cancelled, and tell the others of the end.

        ``task_status.started`` is called when messages are received, or after a short time without Redis.
        """
        link_scope = trio.CancelScope(shield=True)  # the last message needs the link
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_link, link_scope)
            try:
                async with trio.open_nursery() as self._nursery:
                    self._nursery.start_soon(self._listen)
                    with trio.move_on_after(_OPEN_SECONDS) as scope:
                        await self._first_open.wait()
                    if scope.cancelled_caught:
                        _log.warning(
                            "nodes_out_of_reach", reason="there is no subscription to their channels"
                        )
                    task_status.started()
            finally:
                self._lose()
                with trio.move_on_after(self.answer_seconds, shield=True):
                    await self._say_bye()
                link_scope.cancel()
        raise AssertionError("the channel runs until it is cancelled")

    async def _keep_link(self, scope: trio.CancelScope) -> None:
        with scope:
            await self._link.run()

    async def _say_bye(self) -> None:
        try:
            await self._publish(self._all, messages.NodeBye(node=self.node))
        except (Disconnected, RedisError) as error:
            _log.debug("node_message_lost", error=repr(error))

    async def _greet(self, link: RedisLink) -> None:
        for part in self.parts:
            await part.greet(link)

    async def _listen(self) -> NoReturn:
        while True:
            await self._link.connected.wait()
            try:
                await self._link.listen([self._all, self._own], self._receive, self._open)
            except (Disconnected, RedisError) as error:
                _log.info("nodes_out_of_reach", reason=repr(error))
            finally:
                self._lose()
            await trio.sleep(_RETRY_SECONDS)

    def _open(self) -> None:
        self.is_open = True
        self._first_open.set()
        for part in self.parts:
            part.opened()

    def _lose(self) -> None:
        if self.is_open:
            self.is_open = False
            self._heard.clear()
            for asked in self._asked.values():
                asked.arrived.unpark_all()
            for part in self.parts:
                part.lost()

    # --- sending ------------------------------------------------------------------------------

    async def tell(self, message: AnyNodeMessage) -> bool:
        """Send a message to all nodes; return False if it may be lost."""
        if not self.is_open:
            await trio.lowlevel.checkpoint()
            return False
        try:
            await self._publish(self._all, message)
        except (Disconnected, RedisError) as error:
            _log.debug("node_message_lost", error=repr(error))
            return False
        return True

    async def ask(
        self,
        request: NodeRequest,
        node: str = "",
        is_enough: Callable[[msgspec.Raw], bool] = lambda _: False,
    ) -> Answers:
        """Ask the other nodes, and wait for their answers.

        Args:
            request: the request.
            node: the only one to ask; empty for all others.
            is_enough: returns True for an answer after which no other is needed.
        """
        if not self.is_open:
            await trio.lowlevel.checkpoint()
            return Answers({}, is_complete=False)
        self._number += 1
        number = self._number
        asked = self._asked[number] = _Asked()
        question = NodeQuestion(node=self.node, number=number, request=request)
        try:
            with trio.move_on_after(self.answer_seconds):
                receivers = await self._publish(self._channel_of(node) if node else self._all, question)
                expected = receivers if node else receivers - 1  # this node receives it, too
                await self._gather(asked, expected, is_enough)
                return Answers(asked.bodies, is_complete=True)
            _log.warning("node_not_reached", answers=len(asked.bodies))
        except (Disconnected, RedisError) as error:
            _log.warning("nodes_not_asked", error=repr(error))
        finally:
            del self._asked[number]
        return Answers(asked.bodies, is_complete=False)

    async def _gather(self, asked: _Asked, expected: int, is_enough: Callable[[msgspec.Raw], bool]) -> None:
        """Wait for answers, and for a short time only while all that are missing are of silent nodes.

        Raises:
            Disconnected: no answers arrive any more.
        """
        grace = trio.current_time() + _GRACE_SECONDS
        while len(asked.bodies) < expected and not any(map(is_enough, asked.bodies.values())):
            deadline = grace if self.live_nodes() <= asked.bodies.keys() else math.inf
            with trio.move_on_at(deadline) as scope:
                await asked.arrived.park()
            if scope.cancelled_caught:
                return
            if not self.is_open:
                raise Disconnected(sent=True)

    def live_nodes(self) -> set[str]:
        """Return the other nodes that are not silent."""
        since = trio.current_time() - SILENT_SECONDS
        self._heard = {node: heard for node, heard in self._heard.items() if heard > since}
        return set(self._heard)

    async def _publish(self, channel: str, message: AnyNodeMessage) -> int:
        receivers: int = await self._link.call(b"PUBLISH", channel, messages.encode(message))
        return receivers

    # --- receiving ----------------------------------------------------------------------------

    def _receive(self, _pattern: bytes, _channel: bytes, data: bytes) -> None:
        try:
            message = messages.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("node_message_invalid", error=str(error))
            return
        is_own = message.node == self.node
        if isinstance(message, messages.NodeBye):
            self._heard.pop(message.node, None)
        elif not is_own:
            self._heard[message.node] = trio.current_time()
        if isinstance(message, NodeAnswer):
            asked = self._asked.get(message.number)
            if asked is not None:
                asked.bodies[message.node] = message.body
                asked.arrived.unpark_all()
        elif isinstance(message, NodeQuestion):
            if not is_own:
                self._begin_answer(message)
        else:
            for part in self.parts:
                part.take(message, is_own=is_own)

    def _begin_answer(self, question: NodeQuestion) -> None:
        if self._answering >= _ANSWERING_MAX or self._nursery is None:
            _log.warning("node_question_dropped", reason="too many questions are being answered")
            return
        self._answering += 1
        self._nursery.start_soon(self._answer, question)

    async def _answer(self, question: NodeQuestion) -> None:
        try:
            body = messages.encode(await self.answer(question.request))
            answer = NodeAnswer(node=self.node, number=question.number, body=msgspec.Raw(body))
            await self._publish(self._channel_of(question.node), answer)
        except (Disconnected, RedisError) as error:
            _log.warning("node_answer_lost", error=repr(error))
        except Exception:  # noqa: BLE001 - one question must not end the node
            _log.exception("node_question_failed")
        finally:
            self._answering -= 1

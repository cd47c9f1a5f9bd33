"""A publisher of consecutive numbers that goes on while its server is killed and started again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from tests.support.certificates import trusting

_PAUSE_SECONDS: Final = 0.005  # sets the rate; no check depends on it


class NumberPublisher:
    """Publishes 0, 1, 2 … in a thread, each until the server has acknowledged it.

    A number is published once only, because it is its own idempotency key.

    Args:
        url: returns the server's URL.
        topic: to publish under.

    Attributes:
        count: how many numbers the server has acknowledged.
    """

    def __init__(self, url: Callable[[], str], topic: str) -> None:
        self.count = 0
        self._url = url
        self._topic = topic
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wait for the acknowledgement of the last number, and end the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(verify=trusting(), timeout=5) as http:
            while not self._stopped.wait(_PAUSE_SECONDS):
                event = {"topic": self._topic, "data": self.count, "idempotency_key": f"number {self.count}"}
                try:
                    answer = http.post(f"{self._url()}/events", json=event)
                except httpx.TransportError:
                    continue  # it may have been published: the key finds that out
                if answer.status_code == 503:
                    continue  # the server is shutting down
                answer.raise_for_status()
                self.count += 1


@contextmanager
def publishing_numbers(url: Callable[[], str], topic: str) -> Iterator[NumberPublisher]:
    """Publish while the block lasts, or until :meth:`NumberPublisher.stop`."""
    publisher = NumberPublisher(url, topic)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()

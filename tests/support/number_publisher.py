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
        data_of: returns the data of a number's event; by default the number.

    Attributes:
        count: how many numbers the server has acknowledged.
    """

    def __init__(self, url: Callable[[], str], topic: str, data_of: Callable[[int], object] = int) -> None:
        self.count = 0
        self._data_of = data_of
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
                data, key = self._data_of(self.count), f"number {self.count}"
                event = {"topic": self._topic, "data": data, "idempotency_key": key}
                try:
                    answer = http.post(f"{self._url()}/events", json=event)
                except httpx.TransportError:
                    continue  # it may have been published: the key finds that out
                if answer.status_code == 503:
                    continue  # the server is shutting down
                answer.raise_for_status()
                self.count += 1


@contextmanager
def publishing_numbers(
    url: Callable[[], str], topic: str, data_of: Callable[[int], object] = int
) -> Iterator[NumberPublisher]:
    """Publish while the block lasts, or until :meth:`NumberPublisher.stop`."""
    publisher = NumberPublisher(url, topic, data_of)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()

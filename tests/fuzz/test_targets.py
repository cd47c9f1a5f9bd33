"""Each target takes its seeds, changed seeds and random bytes, without atheris: so it is known to work."""

import random
from collections.abc import Iterator

import pytest

from tests.fuzz.catalogue import MODULES, find_target, list_targets
from tests.fuzz.target import SlowStep, Target, split

_RANDOM_INPUTS = 200
_ALL = list_targets()


def changed(seed: bytes, random: random.Random, words: tuple[bytes, ...]) -> bytes:
    """Return a seed with a byte replaced, a part left out or a word put in."""
    at = random.randrange(len(seed) + 1)
    end = random.choice([at, at + 1, at + random.randrange(16)])
    return seed[:at] + random.choice([b"", random.randbytes(1), *words]) + seed[end:]


def inputs(name: str, target: Target) -> Iterator[bytes]:
    rng = random.Random(name)
    yield from (b"", *target.seeds)
    for _ in range(_RANDOM_INPUTS):
        yield changed(rng.choice(target.seeds), rng, target.words)
        yield rng.randbytes(rng.randrange(64))


@pytest.mark.parametrize("name", _ALL)
def test_every_rule_holds(name: str) -> None:
    target = find_target(name)
    assert target.seeds
    assert max(map(len, target.seeds)) <= target.max_bytes
    for data in inputs(name, target):
        try:
            target.take(data)
        except Exception as error:
            error.add_note(f"{name} with {data.hex()}")
            raise


def test_each_module_has_targets() -> None:
    assert {name.partition(".")[0] for name in _ALL} == set(MODULES)
    with pytest.raises(KeyError):
        find_target("tokens.none")
    with pytest.raises(KeyError):
        find_target("none.text")


@pytest.mark.parametrize(("seconds", "is_slow"), [(0.9, False), (1.1, True)])
def test_a_slow_step_is_a_failure(seconds: float, is_slow: bool) -> None:
    clock = iter([5.0, 5.0 + seconds])
    target = Target(lambda data: None, (b"",))
    if is_slow:
        with pytest.raises(SlowStep):
            target.take(b"", lambda: next(clock))
    else:
        target.take(b"", lambda: next(clock))


def test_split_loses_nothing() -> None:
    assert split(b"abcdef", b"\1\0\2") == [b"a", b"b", b"cd", b"e", b"f"]
    assert split(b"abc", b"") == [b"a", b"b", b"c"]

"""The attacker's process: ``python -m tests.hostile.attacker``.

It imports all attacks once, and then runs those that the harness writes to its standard input, a line each
with the name and the port. It says when it is ready, and answers each line when the attack is over. A process
of its own, so that an attack takes as little as possible of the harness's time, whose clock measures the
server.
"""

import sys

import trio

from tests.hostile.attack import ATTACKS, Attack
from tests.hostile.attacks import load_attacks
from tests.hostile.target import Target


async def _run(attack: Attack, port: int) -> str:
    with trio.move_on_after(attack.seconds):
        await attack.function(Target(port, attack.tls))
    return "done"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run attacks until standard input ends."""
    load_attacks()
    _say("ready")
    for line in sys.stdin:
        name, port = line.split()
        try:
            outcome = trio.run(_run, ATTACKS[name], int(port))
        except Exception as error:  # noqa: BLE001 - the harness shows it, and goes on
            outcome = f"failed {error!r} {getattr(error, 'exceptions', '')!r}"
        _say(outcome.replace("\n", " "))


if __name__ == "__main__":
    main()

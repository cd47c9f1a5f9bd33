"""Changes of settings while the program runs: which are applied, and which need a restart."""

import attrs
import pytest

from streamd.config import SettingsError, plan_reload
from streamd.config.fields import settings_of
from streamd.connections import ConnectionSettings, PollSettings
from streamd.logs import LoggingSettings
from streamd.server import ServerSettings
from streamd.settings import Settings

RUNNING = Settings()


def test_changes_are_applied_or_postponed() -> None:
    wanted = Settings(
        logging=LoggingSettings(level="debug"),
        connections=ConnectionSettings(max_connections=7, sweep_seconds=2.0),
        server=ServerSettings(drain_seconds=1.0),
    )
    plan = plan_reload(RUNNING, wanted)
    assert plan.applied == ("connections.max_connections", "logging.level")
    assert plan.postponed == ("server.drain_seconds", "tuning.connections.sweep_seconds")
    assert plan.settings == Settings(
        logging=LoggingSettings(level="debug"), connections=ConnectionSettings(max_connections=7)
    )


def test_equal_settings_change_nothing() -> None:
    plan = plan_reload(RUNNING, Settings())
    assert (plan.settings, plan.applied, plan.postponed) == (RUNNING, (), ())


def test_a_setting_can_be_fixed_for_once() -> None:
    wanted = Settings(server=ServerSettings(certfile="a", keyfile="b"))
    plan = plan_reload(RUNNING, wanted, fixed=("server.certfile", "server.keyfile"))
    assert (plan.applied, plan.postponed) == ((), ("server.certfile", "server.keyfile"))
    assert plan.settings == RUNNING


def test_a_change_that_contradicts_a_postponed_one_is_refused() -> None:
    wanted = Settings(poll=PollSettings(max_wait_seconds=5.0, wait_seconds=5.0))
    with pytest.raises(SettingsError, match=r"tuning\.poll\.wait_seconds") as refused:
        plan_reload(RUNNING, wanted)
    assert "poll.max_wait_seconds" in refused.value.detail


def test_a_postponed_change_stays_postponed_at_the_next_reload() -> None:
    wanted = attrs.evolve(RUNNING, server=ServerSettings(drain_seconds=1.0))
    first = plan_reload(RUNNING, wanted)
    assert plan_reload(first.settings, wanted).postponed == ("server.drain_seconds",)


def test_no_secret_and_no_address_is_applied_while_the_server_runs() -> None:
    for setting in settings_of(Settings).values():
        if setting.reload:
            assert not setting.secret or setting.path == "auth.keys"  # they are rotated
            assert setting.path not in ("server.bind", "store.url", "log.url")

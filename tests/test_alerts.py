"""The alert rules in ``conf/alerts.yml``: each fires when it should, on metrics that a server has."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import trio
import yaml  # type: ignore[import-untyped]

from tests.support.program import ROOT
from tests.support.redis_servers import new_prefix, shared_server
from tests.support.server_process import server_process

RULES: Final = ROOT / "conf" / "alerts.yml"
NAMES_OF_PROMETHEUS: Final = {"up"}
SUFFIXES: Final = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
PHASES: Final = (10, 20, 20)  # minutes: quiet, bad, quiet again
CHECKS: Final = (9, 29, 49)  # minutes at which alerts are looked at, one in each phase
# Unreadable records are left out: their count is the value of the alert, and ends with the process.
COUNTERS: Final = re.compile(r"streamd_(?!unreadable)\w+_(total|count|bucket)\b")
ANSWERS: Final = 'streamd_request_seconds_count{instance="a",method="POST",route="/events",status="%d"}'
PROBES: Final = 'streamd_request_seconds_count{instance="a",method="GET",route="/health/ready",status="503"}'
PUBLISHING: Final = (
    'streamd_request_seconds_bucket{instance="a",method="POST",route="/events",status="201",le="%s"}'
)
DELIVERY: Final = 'streamd_delivery_seconds_bucket{instance="a",le="%s"}'
STORING: Final = 'streamd_task_store_seconds_bucket{instance="a",le="%s"}'
REFUSED: Final = 'streamd_connections_refused_total{instance="a",code="%s"}'


def slow(bucket: str, threshold: str) -> dict[str, tuple[float, float]]:
    """Return the buckets of a histogram of which 0.5 %, and then 2 %, are above a threshold (s)."""
    return {
        bucket % threshold: (995, 980),
        bucket % "1.0": (1000, 1000),
        bucket % "+Inf": (1000, 1000),
    }


# By alert: values of series, at most at the threshold and above it; for counters the increase each minute.
SERIES: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "StreamdDown": {'up{job="streamd",instance="a"}': (1, 0), 'up{job="other",instance="b"}': (0, 0)},
    "StreamdNotReady": {PROBES: (0, 4)},
    "StreamdRedisAway": {'streamd_redis_connected{instance="a"}': (1, 0)},
    "StreamdBridgeInactive": {
        'streamd_bridge_active{job="streamd",instance="a"}': (0, 0),
        'streamd_bridge_active{job="streamd",instance="b"}': (1, 0),
    },
    "StreamdOutOfFiles": {'streamd_accept_pauses_total{instance="a"}': (0, 1)},
    "StreamdServerErrors": {ANSWERS % 201: (1000, 1000), ANSWERS % 500: (9, 20)},
    "StreamdUnavailable": {ANSWERS % 201: (1000, 1000), ANSWERS % 503: (50, 40), ANSWERS % 504: (0, 20)},
    "StreamdConnectionsRefused": {
        REFUSED % "shutting-down": (5, 5),
        REFUSED % "too-many-connections": (0, 1),
    },
    "StreamdCallersRefused": {ANSWERS % 201: (800, 790), ANSWERS % 401: (200, 190), ANSWERS % 403: (0, 20)},
    "StreamdLimitsReached": {'streamd_limit_refusals_total{instance="a",limit="publish"}': (60, 70)},
    "StreamdUnreadableRecords": {'streamd_unreadable_records_total{instance="a",record="task"}': (0, 1)},
    "StreamdGaps": {'streamd_gaps_total{instance="a"}': (0, 1)},
    "StreamdDeliverySlow": {**slow(DELIVERY, "0.5")},
    "StreamdLoopHeld": {
        'streamd_loop_pass_seconds_count{instance="a"}': (1000, 1000),
        'streamd_loop_pass_seconds_bucket{instance="a",le="0.25"}': (995, 990),
    },
    "StreamdFanOutBehind": {'streamd_events_ahead{instance="a"}': (5000, 5001)},
    "StreamdSubscriptionsLagging": {
        'streamd_subscriptions_lagging{instance="a"}': (20, 21),
        'streamd_subscriptions{instance="a"}': (100, 100),
        'streamd_subscriptions_lagging{instance="few clients"}': (10, 10),
        'streamd_subscriptions{instance="few clients"}': (10, 10),
    },
    "StreamdPublishingSlow": {**slow(PUBLISHING, "0.5")},
    "StreamdStoreNearlyFull": {
        'streamd_store_bytes{instance="a"}': (90, 91),
        'streamd_store_max_bytes{instance="a"}': (100, 100),
        'streamd_store_bytes{instance="without a bound"}': (90, 91),
        'streamd_store_max_bytes{instance="without a bound"}': (0, 0),
    },
    "StreamdStoreFull": {'streamd_store_refusals_total{instance="a"}': (0, 1)},
    "StreamdTasksNearlyFull": {'streamd_tasks_fill_ratio{instance="a"}': (0.9, 0.91)},
    "StreamdTaskEventsNotPublished": {'streamd_task_publish_failures_total{instance="a"}': (0, 1)},
    "StreamdTaskOutboxGrows": {'streamd_task_outbox_depth{instance="a"}': (1000, 1001)},
    "StreamdTaskEndingsFail": {'streamd_task_ending_failures_total{instance="a"}': (0, 1)},
    "StreamdTaskStoreSlow": {**slow(STORING, "0.25")},
    "StreamdTasksStall": {
        'streamd_task_leases_stalled_total{instance="a"}': (0, 1),
        'streamd_task_timeouts_total{instance="a"}': (0, 0),
        'streamd_task_leases_stalled_total{instance="b"}': (0, 0),
        'streamd_task_timeouts_total{instance="b"}': (0, 0),
    },
    "StreamdTaskMessagesReduced": {'streamd_task_messages_reduced_total{instance="a"}': (0, 1)},
}


def rules() -> list[dict[str, Any]]:
    """Return all rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments: str | Path) -> None:
    """Run promtool, and fail with what it says."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def samples(series: str, quiet: float, bad: float) -> str:
    """Return the values of a series, one a minute, in promtool's notation."""
    values = [
        value for value, minutes in zip((quiet, bad, quiet), PHASES, strict=True) for _ in range(minutes)
    ]
    if COUNTERS.match(series):
        values = [sum(values[: index + 1]) for index in range(len(values))]
    return " ".join(map(str, values))


def unit_test(alert: str) -> dict[str, Any]:
    """Return a unit test of promtool: an alert, and no other, fires in the bad phase and in no other."""
    fired = [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
    return {
        "name": alert,
        "interval": "1m",
        "input_series": [
            {"series": series, "values": samples(series, *values)} for series, values in SERIES[alert].items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": expected,
            }
            for minute, expected in zip(CHECKS, ([], fired, []), strict=True)
        ],
    }


def exported_names(text: str) -> Iterable[str]:
    """Yield the names of all series that a text in the Prometheus format declares."""
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        yield from (name + suffix for suffix in SUFFIXES[kind])


def test_the_rules_are_valid() -> None:
    promtool("check", "rules", "--lint-fatal", RULES)


def test_each_alert_fires_above_its_threshold_and_not_below(tmp_path: Path) -> None:
    assert list(SERIES) == [rule["alert"] for rule in rules()]
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [unit_test(alert) for alert in SERIES],
    }
    path = tmp_path / "alerts_test.yml"
    path.write_text(json.dumps(document))  # JSON is YAML
    promtool("test", "rules", path)


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in rules()])
def test_each_alert_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "action"}
    assert all(text.endswith(".") for text in rule["annotations"].values())


async def test_a_running_server_has_every_metric_of_the_rules() -> None:
    used = {name for rule in rules() for name in re.findall(r"\b(?:streamd_\w+|up)\b(?!\")", rule["expr"])}
    settings: dict[str, Any] = {"redis__prefix": new_prefix().strip("{}"), "redis__bridge": '["channel"]'}
    async with (
        server_process("--log", shared_server().url, "--store", "memory:", **settings) as server,
        httpx.AsyncClient(base_url=server.url) as http,
    ):
        with trio.fail_after(20):
            assert (await http.get("/health/ready")).status_code == 200
            assert (await http.post("/events", json={"topic": "a", "data": 1})).status_code == 201
            text = (await http.get("/metrics")).text
    assert used - set(exported_names(text)) == NAMES_OF_PROMETHEUS
    # The values of labels that the rules select.
    assert 'streamd_request_seconds_count{method="GET",route="/health/ready",status="200"} 1.0' in text
    assert 'streamd_request_seconds_bucket{le="0.5",method="POST",route="/events",status="201"} 1.0' in text

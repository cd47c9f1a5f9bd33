"""The table of hot routes chooses as the web framework's routing does."""

import pytest
from quart import Quart
from quart_trio import QuartTrio

from streamd.app import create_app
from streamd.http.hot.table import HotRouteTable
from streamd.limits import LimitName


def table(app: Quart) -> HotRouteTable:
    return HotRouteTable(app, lambda endpoint: LimitName.TASKS if "tasks" in endpoint else None)


def rule_of(app: Quart, method: str, path: str) -> tuple[str, str] | None:
    found = table(app).find(path, method)
    return None if found is None else (found[0].rule, found[1])


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/events", ("/events", "")),
        ("HEAD", "/events", ("/events", "")),
        ("POST", "/events", ("/events", "")),
        ("GET", "/events/poll", ("/events/poll", "")),
        ("GET", "/tasks/7", ("/tasks/<task_id>", "7")),
        ("PATCH", "/tasks/a b", ("/tasks/<task_id>", "a b")),
        ("POST", "/tasks/claim", ("/tasks/claim", "")),
        ("GET", "/tasks/claim", ("/tasks/<task_id>", "claim")),
        ("HEAD", "/metrics", ("/metrics", "")),
        ("OPTIONS", "/events", None),
        ("DELETE", "/events", None),
        ("GET", "/events/", None),
        ("GET", "/tasks", None),
        ("GET", "/tasks/", None),
        ("GET", "/tasks//a", None),
        ("GET", "/tasks/7/events", None),
        ("POST", "/tasks/7", None),
        ("GET", "/", None),
        ("GET", "*", None),
        ("GET", "", None),
    ],
)
def test_routes_of_the_server(method: str, path: str, found: tuple[str, str] | None) -> None:
    app = create_app()
    assert rule_of(app, method, path) == found
    adapter = app.url_map.bind("localhost")
    if found is not None:  # the framework's routing agrees
        rule, values = adapter.match(path, method, return_rule=True)
        assert (rule.rule, "".join(values.values())) == found


def test_a_route_has_the_limit_of_its_endpoint() -> None:
    routes = table(create_app())
    task, events = routes.find("/tasks/7", "GET"), routes.find("/events", "GET")
    assert task is not None
    assert events is not None
    assert (task[0].limit, events[0].limit) == (LimitName.TASKS, None)


def with_rule(rule: str) -> QuartTrio:
    app = create_app()

    @app.get(rule)
    async def own(**parameters: str) -> str:
        return ""

    return app


@pytest.mark.parametrize("path", ["/tasks/summary", "/tasks/7"])
def test_an_exact_route_of_a_program_has_precedence(path: str) -> None:
    app = with_rule("/tasks/summary")
    hot = rule_of(app, "GET", path)
    assert (hot is not None) == (path != "/tasks/summary")


@pytest.mark.parametrize("rule", ["/tasks/<int:number>", "/tasks/<path:rest>", "/tasks/x<rest>"])
def test_paths_for_which_another_rule_competes_are_left_to_the_framework(rule: str) -> None:
    assert rule_of(with_rule(rule), "GET", "/tasks/7") is None


@pytest.mark.parametrize("rule", ["/tasks/<task_id>/notes", "/<path:rest>", "/<a>/<b>"])
def test_other_rules_of_a_program_do_not_compete(rule: str) -> None:
    assert rule_of(with_rule(rule), "GET", "/tasks/7") == ("/tasks/<task_id>", "7")

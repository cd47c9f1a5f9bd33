"""The hot routes among the routes of an application."""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
from quart import Quart
from werkzeug.routing import Rule

from ...limits import LimitName
from ...transports import StreamRequest
from ..rejections import is_stream_view
from .answer import HTTPAnswer

Handler = Callable[..., Awaitable[HTTPAnswer | StreamRequest]]
"""Answers a request, which is its first argument, followed by the parameters of the path by name."""

HANDLER: Final = "streamd_handler"
"""The attribute of a view with its handler."""


@attrs.frozen
class HotRoute:
    """A route whose handler is called without the web framework.

    Args:
        handler: answers.
        rule: its pattern, such as ``/tasks/<task_id>``: a label of the metrics.
        limit: the class of limits of its requests.
        parameter: the name of the last segment of the path; None for a path without parameters.
        is_stream: it answers with an event stream.
    """

    handler: Handler
    rule: str
    limit: LimitName | None
    parameter: str | None = None
    is_stream: bool = False


_Methods = dict[str, HotRoute | None]
"""The routes of one path by method; None for one that the web framework serves."""


class HotRouteTable:
    """The hot routes of an application by path and method. It chooses as the framework's routing does.

    Args:
        app: the application, with all of its routes.
        find_limit: returns the class of limits of an endpoint.
    """

    def __init__(self, app: Quart, find_limit: Callable[[str], LimitName | None]) -> None:
        self._exact: dict[str, _Methods] = {}
        self._below: dict[str, _Methods] = {}  # by the path up to the last segment, which is a parameter
        rules = [rule for rule in app.url_map.iter_rules() if not rule.websocket]
        for rule in rules:
            view = app.view_functions[rule.endpoint]
            handler = getattr(view, HANDLER, None)
            prefix, bracket, rest = rule.rule.partition("<")
            route = None
            if handler is not None and rest.count(">") == rest.endswith(">") and ":" not in rest:
                name = rest.removesuffix(">") if bracket else None
                route = HotRoute(handler, rule.rule, find_limit(rule.endpoint), name, is_stream_view(view))
            if not bracket:
                found = self._exact.setdefault(prefix, {})
            elif route is not None and not any(_competes(other, rule) for other in rules):
                found = self._below.setdefault(prefix, {})
            else:
                continue
            for method in rule.methods or ():
                found.setdefault(method, route if method != "OPTIONS" else None)

    def find(self, path: str, method: str) -> tuple[HotRoute, str] | None:
        """Return the hot route of a request, and the value of its parameter; None for the web framework.

        Args:
            path: the decoded path, without a prefix that a proxy adds.
            method: of the request.
        """
        methods = self._exact.get(path)
        if methods is not None and method in methods:
            route = methods[method]
            return None if route is None else (route, "")
        cut = path.rfind("/") + 1
        methods = self._below.get(path[:cut])
        if methods is None or cut == len(path):
            return None
        route = methods.get(method)
        return None if route is None else (route, path[cut:])


def _competes(other: Rule, rule: Rule) -> bool:
    """Return True if another rule may match the same paths, such as one with a converter.

    Which of the two matches is then left to the framework. Rules without parameters are looked up first.
    """
    prefix = rule.rule.partition("<")[0]
    return (
        other is not rule
        and other.rule != rule.rule
        and "<" in other.rule
        and other.rule.startswith(prefix)
        and ("path:" in other.rule or other.rule.count("/") == rule.rule.count("/"))
    )

"""Templates: the fields they may have, and values that cannot change what is around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.research.query import COMPANY_ID, ResearchQuery
from streamd.services.research.templates import FIELDS, IDS, Template, UrlTemplate
from tests.support.research_rig import TRAVERSALS, query_of

ACME = query_of("acme")


def test_fields_are_filled_and_braces_kept() -> None:
    template = Template.parse("{{x}}/{company_id}/{area_id}", IDS)
    assert template.fill(ACME) == "{x}/acme/risk"
    assert template.fields == {"company_id", "area_id"}


@pytest.mark.parametrize(
    "text",
    [
        "{user_role}",
        "{}",
        "{0}",
        "{company_id.__class__}",
        "{company_id[0]}",
        "{company_id!r}",
        "{company_id:>9}",
    ],
)
def test_unknown_fields_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no field here; there are \{area_id\}, \{company_id\}"):
        Template.parse(text, IDS)


@pytest.mark.parametrize("text", ["{company_id", "company_id}", "{"])
def test_unbalanced_braces_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace|encountered|expected"):
        Template.parse(text, FIELDS)


def test_braces_in_a_value_are_not_filled() -> None:
    query = ResearchQuery("risk", "acme", "{company_id}", "")
    assert Template.parse("{user_role}", FIELDS).fill(query) == "{company_id}"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "http:// or https://"),
        ("/only/a/path", "http:// or https://"),
        ("https:///x", "a host"),
        ("https://{company_id}.example/x", "not in the host"),
        ("https://host:{company_id}/x", "not in the host|[Pp]ort"),
        ("{company_id}://host/x", "http:// or https://"),
        ("https://host/{user_company}", "is no field here"),
        ("https://host/{user_role}/x", "is no field here"),
        ("https://user:secret@host/x", "headers_from_env"),
        ("https://host/x#{company_id}", "fragment"),
        ("https://host:99999/x", "[Pp]ort"),
        ("https://host/{nothing}", "is no field here"),
    ],
)
def test_url_with_a_variable_host_is_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UrlTemplate.parse(url)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_role_and_company_cannot_change_a_url(role: str, company: str) -> None:
    url = UrlTemplate.parse("https://host/v1/{company_id}?role={user_role}&of={user_company}&end=1")
    filled = url.fill(ResearchQuery("risk", "acme", role, company))
    assert filled.startswith("https://host/v1/acme?role=")
    assert filled.endswith("&end=1")
    assert (filled.count("/"), filled.count("&"), filled.count("?"), filled.count("#")) == (4, 2, 1, 0)
    assert filled.isascii()


@pytest.mark.parametrize("text", TRAVERSALS)
def test_company_id_cannot_be_a_path(text: str) -> None:
    assert not COMPANY_ID.fullmatch(text)


@pytest.mark.parametrize("text", ["acme", "ACME-1", "a.b_c", "0", "a..b", "5f0c"])
def test_valid_company_ids(text: str) -> None:
    assert COMPANY_ID.fullmatch(text)

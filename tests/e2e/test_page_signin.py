"""Signing in on the page of a server with keys, in Chromium."""

import time

import httpx
from playwright.sync_api import Page, expect

from tests.support.browser import TIMEOUT_MS, chromium
from tests.support.page_server import page_server
from tests.support.tokens import OTHER_SECRET, SECRET, make_token


def token(key: str = SECRET, **claims: object) -> str:
    grants = {"subscribe": ["*"], "publish": ["logs"], "exp": time.time() + 600}
    return make_token({"sub": "ada", **grants, **claims}, key)


def sign_in(page: Page, text: str) -> None:
    page.get_by_test_id("token").fill(text)
    page.get_by_test_id("sign-in").click()


def expect_state(page: Page, state: str) -> None:
    expect(page.get_by_test_id("state")).to_have_attribute("data-state", state, timeout=TIMEOUT_MS)


def test_a_page_signs_in_with_a_token_reads_publishes_and_signs_out() -> None:
    with page_server(STREAMD_AUTH__KEYS=SECRET) as server, chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(server.url)
        expect_state(page, "rejected")
        sign_in(page, token(OTHER_SECRET))
        expect(page.get_by_test_id("signin-outcome")).to_have_text("the signature of the token is wrong")
        sign_in(page, token())
        expect_state(page, "connected")
        expect(page.get_by_test_id("signin")).to_be_hidden()
        expect(page.get_by_test_id("server-note")).to_have_text("for administrators")
        page.get_by_test_id("publish-data").fill("hello from the page")
        page.get_by_test_id("publish").click()
        expect(page.get_by_test_id("log-row").filter(has_text="hello from the page")).to_have_count(1)
        [cookie] = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["secure"]) == ("__Host-streamd", True, True)
        page.reload()
        expect_state(page, "connected")
        page.get_by_test_id("sign-out").click()
        expect_state(page, "rejected")
        expect(page.get_by_test_id("signin")).to_be_visible()
        assert page.context.cookies() == []


def test_a_revoked_page_is_asked_to_sign_in_again() -> None:
    with page_server(STREAMD_AUTH__KEYS=SECRET) as server, chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(server.url)
        sign_in(page, token(iat=time.time() - 60))
        expect_state(page, "connected")
        admin = {"Authorization": f"Bearer {token(sub='root', admin=True)}"}
        revoked = httpx.post(f"{server.url}/auth/revocations", json={"user": "ada"}, headers=admin)
        assert revoked.status_code == 201
        expect(page.get_by_test_id("signin")).to_be_visible(timeout=TIMEOUT_MS)

"""The page for people: whole, and without script or anything from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from app.api import docs, openapi
from app.api.routes import application

DOCUMENT = openapi.document(application())
ADDRESS = "https://imei.example"


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            self.ids += [value] if name == "id" else []
            self.links += [value] if name in ("href", "src", "action") else []


async def test_it_is_served_to_anybody_under_a_strict_policy(nobody):
    response = await nobody.get("/docs")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert response.content == docs.page(DOCUMENT, str(nobody.base_url).rstrip("/"))


async def test_its_examples_are_for_the_address_that_was_asked(gateway, nobody):
    assert f"api={gateway.url}\n" in (await nobody.get("/docs")).text
    elsewhere = await nobody.get("/docs", headers={"host": "imei.example"})
    assert "api=http://imei.example\n" in elsewhere.text
    for host in ("$(reboot)", "a;reboot"):
        asked = await nobody.get("/docs", headers={"host": host})
        assert "api=http://127.0.0.1:8470\n" in asked.text


async def test_the_printed_address_leads_there(nobody):
    response = await nobody.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


def test_every_operation_and_schema_has_its_place():
    page = Page(docs.page(DOCUMENT, ADDRESS).decode())
    names = [
        operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()
    ]
    names += [f"schema-{name}" for name in DOCUMENT["components"]["schemas"]]
    assert set(names) <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_nothing_comes_from_elsewhere():
    text = docs.page(DOCUMENT, ADDRESS).decode()
    page = Page(text)
    assert all(link.startswith("#") or link == "/openapi.json" for link in page.links)
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "form", "object"})
    assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
    assert not re.search(r"url\(|@import", text)


def test_texts_of_the_document_are_escaped():
    document = DOCUMENT | {"info": DOCUMENT["info"] | {"description": "<b>x</b> `<i>` & more"}}
    text = docs.page(document, ADDRESS).decode()
    assert "&lt;b&gt;x&lt;/b&gt; <code>&lt;i&gt;</code> &amp; more" in text

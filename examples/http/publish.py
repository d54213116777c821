"""Publish one wish and wait for what is decided about it: `LASTMETRE_URL=… LASTMETRE_KEY=… python publish.py wish.json`. The standard library alone."""

import json, os, sys, urllib.error, urllib.parse, urllib.request
from typing import Any

URL, KEY = os.environ["LASTMETRE_URL"], os.environ["LASTMETRE_KEY"]
EVENTS = URL + "/api/v1/events"


def call(url: str, body: bytes | None = None) -> Any:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/cloudevents+json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=40) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:  # 4xx: mend it, 429 and 503: wait for Retry-After, then send the same id again
        sys.exit(f"{refusal.code} {refusal.read().decode()}")


with open(sys.argv[1], "rb") as file:
    print("accepted", call(EVENTS, file.read())["id"])
for event in call(EVENTS + "?" + urllib.parse.urlencode({"topic": "matches", "wait": 5}))["events"]:
    print(event["type"], event["subject"])

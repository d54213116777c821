"""Publish one wish and wait for what is decided about it: `LASTMETRE_URL=… LASTMETRE_KEY=… python publish.py wish.json`. The standard library alone.

`wish.json` is an event with `@RUN@` (an id of this run), `@NOW@` and `@END@` (in a day) still to be filled in; its area must be the key's.
"""

import json, os, sys, time, urllib.error, urllib.parse, urllib.request
from typing import Any

if len(sys.argv) != 2 or not {"LASTMETRE_URL", "LASTMETRE_KEY"} <= os.environ.keys():
    sys.exit("usage: LASTMETRE_URL=… LASTMETRE_KEY=… python publish.py wish.json")
URL, KEY = os.environ["LASTMETRE_URL"], os.environ["LASTMETRE_KEY"]
EVENTS = URL + "/api/v1/events"
WAIT_SECONDS = float(os.environ.get("WAIT_SECONDS", "120"))
DECIDED = {f"lastmetre.{kind}.v1" for kind in ("match.proposed", "helper.invited", "wish.unmet", "wish.expired")}


def call(url: str, body: bytes | None = None) -> Any:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/cloudevents+json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=40) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:  # 4xx: mend it, 429 and 503: wait for Retry-After, then send the same id again
        sys.exit(f"{refusal.code} {refusal.read().decode()}")
    except urllib.error.URLError as fault:  # nobody knows whether it came: send the same id again
        sys.exit(f"{URL}: {fault.reason}")


def read(**where: str) -> Any:
    return call(EVENTS + "?" + urllib.parse.urlencode({"topic": "matches", **where}))


def at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


begun = time.time()
filled = {"@RUN@": f"{time.time_ns():x}", "@NOW@": at(begun), "@END@": at(begun + 86400)}
with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
for blank, value in filled.items():
    text = text.replace(blank, value)
wish_id = json.loads(text)["data"]["wish_id"]

# Where we are, before we say anything: what was decided earlier is not ours to read.
after = read(since=at(begun), limit="1")["next"]
print("accepted", call(EVENTS, text.encode())["id"])
decided = False
while not decided and time.time() < begun + WAIT_SECONDS:
    page = read(after=after, wait=str(min(20, max(0, begun + WAIT_SECONDS - time.time()))))
    after = page["next"]  # keep it once you have worked the events off
    for event in page["events"]:  # the whole area's: ours among others'
        if event["data"].get("wish_id") == wish_id:
            print(event["type"], event["subject"])
            decided = decided or event["type"] in DECIDED
if not decided:
    sys.exit(f"nothing was decided within {WAIT_SECONDS:.0f} s; go on with after={after}")

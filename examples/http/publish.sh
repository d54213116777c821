#!/bin/sh
# Publish one wish and wait for what is decided about it: LASTMETRE_URL=… LASTMETRE_KEY=… sh publish.sh wish.json
# wish.json is an event with @RUN@ (an id of this run), @NOW@ and @END@ (in a day) still to be filled in; its area must be the key's.
set -eu
[ $# -eq 1 ] && [ -n "${LASTMETRE_URL:-}" ] && [ -n "${LASTMETRE_KEY:-}" ] || { echo "usage: LASTMETRE_URL=… LASTMETRE_KEY=… sh publish.sh wish.json" >&2; exit 2; }
events="$LASTMETRE_URL/api/v1/events"
call() { curl --silent --show-error --fail-with-body --max-time 40 --header "authorization: Bearer $LASTMETRE_KEY" "$@"; }
at() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$1" +%Y-%m-%dT%H:%M:%SZ; } # GNU's date, or BSD's
# A page of events in $page, and in $after where to go on.
look() {
  page=$(call --get --data topic=matches "$@" "$events") || { printf '%s\n' "$page" >&2; exit 1; }
  after=$(printf '%s' "$page" | sed -n 's/.*"next":"\([^"]*\)".*/\1/p')
}
# The types of the events about one wish, with each object on a line of its own; where you have jq:
# jq -r --arg id "$wish" '.events[] | select(.data.wish_id == $id) | .type'
types_about() { tr -d ' \t\n' | tr '{' '\n' | awk -v id="\"wish_id\":\"$1\"" 'match($0, /"type":"[^"]*"/) { type = substr($0, RSTART + 8, RLENGTH - 9) } index($0, id) { print type }'; }

begun=$(date +%s)
until=$((begun + ${WAIT_SECONDS:-120}))
run="$begun-$$"
text=$(sed "s/@RUN@/$run/g; s/@NOW@/$(at "$begun")/g; s/@END@/$(at $((begun + 86400)))/g" "$1")
wish=$(printf '%s' "$text" | sed -n 's/.*"wish_id": *"\([^"]*\)".*/\1/p')

# Where we are, before we say anything: what was decided earlier is not ours to read.
look --data limit=1 --data "since=$(at "$begun")"
# 503 and 429 are tried again with the same id: nothing happens twice.
printf '%s' "$text" | call --retry 5 --header "content-type: application/cloudevents+json" --data-binary @- "$events"
echo
while left=$((until - $(date +%s))) && [ "$left" -gt 0 ]; do
  look --data "wait=$((left < 20 ? left : 20))" --data-urlencode "after=$after" # keep $after once you have worked the events off
  types=$(printf '%s' "$page" | types_about "$wish")
  [ -z "$types" ] || printf '%s\n' "$types"
  case "$types" in *match.proposed.v1* | *helper.invited.v1* | *wish.unmet.v1* | *wish.expired.v1*) exit 0 ;; esac
done
echo "nothing was decided within ${WAIT_SECONDS:-120} s; go on with after=$after" >&2
exit 1

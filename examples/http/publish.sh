#!/bin/sh
# Publish one wish and wait for what is decided about it: LASTMETRE_URL=… LASTMETRE_KEY=… sh publish.sh wish.json
set -eu
events="$LASTMETRE_URL/api/v1/events"
call() { curl --silent --show-error --fail-with-body --max-time 40 --header "authorization: Bearer $LASTMETRE_KEY" "$@"; }

# 503 and 429 are tried again with the same id: nothing happens twice.
call --retry 5 --header "content-type: application/cloudevents+json" --data-binary "@$1" "$events"
echo
call --get --data topic=matches --data wait=5 "$events"
echo

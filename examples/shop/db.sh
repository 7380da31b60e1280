#!/bin/sh
# A database of one number: httpd of busybox runs this for each request.
number=$(($(cat /tmp/visits 2>/dev/null || echo 0) + 1))
echo "$number" >/tmp/visits
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$number"

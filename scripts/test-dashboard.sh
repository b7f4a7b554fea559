#!/usr/bin/env bash
# Opens the dashboard of a proxy with three upstreams, one of which refuses connections, in headless Chromium, and looks for
# what an operator has to find there. SHOTS=FOLDER keeps pictures of it, narrow and wide, light and dark. Needs Debian's
# package chromium. Run by make test-dashboard, which builds first.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
chromium=
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then chromium=$name && break; fi
done
[ -n "$chromium" ] || {
  echo "missing: chromium    apt-get install --no-install-recommends chromium" >&2
  exit 1
}

# shellcheck disable=SC2154  # set by lib.sh's functions
scratch dashboard
ports=()
for _ in 1 2 3 4; do free_port; done
one=${ports[0]} two=${ports[1]} dead=${ports[2]} listen=${ports[3]}
proxy=http://127.0.0.1:$listen
bin/test-proxy --no-pid-file "$one" "$two" >"$work/mock.log" 2>&1 &
started+=($!)
# The path would name another host, and the note would be markup and a script, if anybody took them for that.
cat >"$work/proxy.json" <<END
{ "server": { "name": "Dashboard test", "listen_address": "127.0.0.1:$listen", "pid_file": "", "control_socket": "$work/proxy.sock",
    "stats_endpoint": "//figures&amp;'" },
  "health_check": { "failure_threshold": 2, "backoff_base": "1h", "backoff_max": "1h" },
  "upstream_proxies": [
    { "url": "http://127.0.0.1:$one", "weight": 3, "tag": "first" },
    { "url": "http://127.0.0.1:$two", "weight": 1, "tag": "second", "note": "<b id=injected>bold</b><script>document.title = 'injected'</script>" },
    { "url": "http://127.0.0.1:$dead", "weight": 2, "tag": "dead" }] }
END
bin/proxy --config "$work/proxy.json" >"$work/proxy.log" 2>&1 &
started+=($!)
wait_for "the mock upstreams" port_open "$two"
wait_for "the proxy" port_open "$listen"
for _ in {1..20}; do curl -sf -o /dev/null -x "$proxy" http://http.mock/ip; done
for verb in eject restore; do bin/proxy --config "$work/proxy.json" upstream "$verb" second >/dev/null; done
bin/proxy --config "$work/proxy.json" upstream weight second 2 >/dev/null
# An open tunnel.
exec 8<>"/dev/tcp/127.0.0.1/$listen"
printf 'CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n\r\n' >&8
read -r -t 30 _ <&8
# A failed request: no upstream reaches that target.
curl -s -o /dev/null -p -x "$proxy" http://nowhere.invalid/ || true
failed=$(curl -sf "$proxy/requests?failed" | number request)
[ -n "$failed" ] || { echo "no request has failed" >&2; exit 1; }

browse() { # WIDTHxHEIGHT ARGUMENT…
  local size=$1
  shift
  timeout 120 "$chromium" --headless=new --no-sandbox --disable-gpu --no-first-run \
    --disable-background-networking --disable-component-update --user-data-dir="$work/profile" \
    --window-size="${size/x/,}" --hide-scrollbars --virtual-time-budget=7000 --enable-logging=stderr "$@" \
    "$proxy/dashboard#request-$failed" 2>>"$work/browser.log"
}

# The script's own words are not what it shows.
browse 1280x900 --dump-dom | sed '/^<script>/,/<\/script>/d' >"$work/dom.html"
wrong=0
has() { # WHAT PATTERN
  grep -Eq -- "$2" "$work/dom.html" || { echo "the page does not show $1: /$2/" >&2 && wrong=1; }
}
hasnt() { # WHAT PATTERN FILE
  if grep -Eq -- "$2" "$3"; then
    echo "$1:" >&2
    grep -E -- "$2" "$3" | cut -c 1-300 | head -n 5 >&2
    wrong=1
  fi
}
has "that it is live" '● live'
has "the proxy's name" '<h1 id="name">Dashboard test</h1>'
for name in first second dead; do has "the upstream $name" "<th scope=\"row\" role=\"rowheader\".*>$name</p>"; done
has "shares" '% of attempts'
has "weights" 'weight 3 is 42.9 %'
has "what was set by hand" 'by hand: weight 2; the file says 1'
has "who was set by hand, and that it recovered" '✎ steered</span> upstream second weight 1 → 2.*✓ recovered</span> second.*✕ ejected</span> second: by hand'
has "the open tunnel" 'tunnels</dt><dd>1</dd>'
has "how many serve" '<dd>2 of 3</dd>'
has "healthy upstreams" '✓ healthy'
has "the ejection" '✕ ejected</p>'
has "since when it is out" 'since [0-9:]{8}, [0-9]+ s ago'
has "its cause" 'cause: Connection refused'
has "its next probe" 'next probe in [0-9]+ min'
has "the ejection among the changes" '✕ ejected</span> dead: Connection refused'
has "errors by blame" 'role="rowheader">upstream</th><td role="cell">[0-9]+</td><td role="cell">2</td>'
has "percentiles" '>p99 [0-9.]+ ms'
has "the rate" '[0-9.]+/s'
has "the failed request" 'CONNECT nowhere.invalid:80</strong>'
has "its story" "Request $failed from 127.0.0.1"
has "an attempt of it" '<li><p class="word">(first|second): ✕ '
has "the note, as text" '&lt;b id=injected&gt;bold'
hasnt "the note became markup" '<b id="?injected' "$work/dom.html"
hasnt "the note's script has run" '<title>injected' "$work/dom.html"
hasnt "the browser complains" 'Refused to|violates|Uncaught' "$work/browser.log"

if [ -n "${SHOTS:-}" ]; then
  # Whole pages are tall.
  mkdir -p "$SHOTS"
  for size in 360x800 360x4200 1280x900 1280x2000; do
    browse "$size" --screenshot="$(realpath "$SHOTS")/$size-light.png" --blink-settings=preferredColorScheme=1
    browse "$size" --screenshot="$(realpath "$SHOTS")/$size-dark.png" --blink-settings=preferredColorScheme=0
  done
fi

# A browser writes a quote in a path as %22, so that these figures can't be had: the page has to say so.
sed 's|"stats_endpoint": .*"|"stats_endpoint": "/\\"><b/id=injected>"|' "$work/proxy.json" >"$work/new.json"
mv "$work/new.json" "$work/proxy.json"
kill -HUP "${started[1]}"
moved() { curl -sf "$proxy/dashboard" | grep -q 'data-stats="/&quot;&gt;&lt;b/id=injected&gt;"'; }
wait_for "the statistics to move" moved
browse 1280x900 --dump-dom | sed '/^<script>/,/<\/script>/d' >"$work/dom.html"
has "that there are no figures" '▲ no figures since [0-9:]{8}: .* says 404</strong>'
hasnt "the path became markup" '<b id' "$work/dom.html"
[ "$wrong" = 0 ] || exit 1
echo "The dashboard shows in $("$chromium" --version 2>/dev/null | cut -d ' ' -f 1-2) what it has to."

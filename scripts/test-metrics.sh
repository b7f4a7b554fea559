#!/usr/bin/env bash
# Checks the metrics with Prometheus' own tools: promtool reads the page and the rules, and a real Prometheus scrapes a proxy
# through which requests go. Needs Debian's package prometheus. Run by make test-metrics, which builds first.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
for tool in promtool prometheus; do
  command -v "$tool" >/dev/null || {
    echo "missing: $tool    apt-get install --no-install-recommends prometheus" >&2
    exit 1
  }
done

promtool check rules deploy/prometheus/alerts.yaml
promtool test rules deploy/prometheus/alerts_test.yaml
promtool check config deploy/prometheus/prometheus.yaml

# shellcheck disable=SC2154  # set by lib.sh's functions
scratch metrics
ports=()
for _ in 1 2 3 4; do free_port; done
mock=${ports[0]} listen=${ports[1]} admin=${ports[2]} prometheus=${ports[3]}
bin/test-proxy --no-pid-file "$mock" >"$work/mock.log" 2>&1 &
started+=($!)
cat >"$work/proxy.json" <<END
{ "server": { "listen_address": "127.0.0.1:$listen", "pid_file": "", "control_socket": "" },
  "admin": { "listen_address": "127.0.0.1:$admin" },
  "upstream_proxies": [{ "url": "http://127.0.0.1:$mock" }] }
END
bin/proxy --config "$work/proxy.json" >"$work/proxy.log" 2>&1 &
started+=($!)
wait_for "the mock upstream" port_open "$mock"
wait_for "the admin listener" port_open "$admin"
for _ in 1 2 3; do curl -sf -x "http://127.0.0.1:$listen" http://http.mock/ip >/dev/null; done

curl -sf "http://127.0.0.1:$admin/metrics" >"$work/page.txt"
promtool check metrics <"$work/page.txt"
curl -sf -H 'Accept: application/openmetrics-text' "http://127.0.0.1:$admin/metrics" | tail -n 1 | grep -qx '# EOF'
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$listen/metrics")" = 404 ] ||
  { echo "clients reach the metrics" >&2; exit 1; }

sed -e "s/127.0.0.1:9130/127.0.0.1:$admin/" -e 's/15s/1s/' deploy/prometheus/prometheus.yaml >"$work/prometheus.yaml"
cp deploy/prometheus/alerts.yaml "$work/"
prometheus --config.file="$work/prometheus.yaml" --storage.tsdb.path="$work/data" \
  --web.listen-address="127.0.0.1:$prometheus" >"$work/prometheus.log" 2>&1 &
started+=($!)
scraped() {
  curl -sfG "http://127.0.0.1:$prometheus/api/v1/query" --data-urlencode 'query=netdrift_requests_total{outcome="ok"}' |
    grep -q '"3"'
}
wait_for "Prometheus to have scraped three requests" scraped
echo "promtool finds nothing wrong, and Prometheus has scraped three requests."

"use strict";
// Names, targets and causes come from clients, upstreams and the configuration. They become text nodes, never markup.

const EVERY = 2000; // From an answer to the next question, in ms.
const PATIENCE = 10000; // For an answer, in ms.
const SHOWN = 20; // Failed requests.
const NEWEST = 10; // Changes of health that stand in the open.
const MEMORY = 120000; // For how long the rate is drawn, in ms.

const at = (id) => document.getElementById(id);
let rates = []; // { at, total, failed }, the oldest first.
let started = ""; // The proxy's start: a new one counts anew.
let ahead = 0; // The proxy's clock less ours, in ms.
let answered = 0; // When the last figures came, by our clock.
let troubleSince = 0;
let last = null; // The last statistics.

// ---- text ----

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, text, kind) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

const two = (number) => String(number).padStart(2, "0");

function clock(stamp) {
  const time = new Date(stamp);
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} `;
  const today = time.toDateString() === new Date().toDateString();
  return `${today ? "" : day}${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

function timeOf(stamp) {
  const node = make("time", clock(stamp));
  node.dateTime = stamp;
  return node;
}

function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

const since = (stamp) => `${span(Date.now() + ahead - Date.parse(stamp))} ago`;
const millis = (ms) => (ms < 10 ? `${Number(ms.toPrecision(2))} ms` : ms < 10000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
const percent = (part, whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "–");

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const unit = count < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${unit === 0 ? count : (count / 1000 ** unit).toFixed(1)} ${units[unit]}`;
}

/** Has `parent` hold one child for each item, in order; a child stays the same one, so that its focus and its openness do. */
function keep(parent, items, key, create, fill) {
  const before = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    const node = before.get(name) ?? create(item);
    before.delete(name);
    node.dataset.key = name;
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
    fill(node, item);
  }
  for (const node of before.values()) node.remove();
}

/** Paragraphs of `[text, class]`. */
function lines(parent, wanted) {
  keep(parent, wanted.map((line, place) => ({ line, place })), (one) => one.place, () => make("p"), (node, { line: [text, kind] }) => {
    set(node, text);
    if (node.className !== kind) node.className = kind;
  });
}

// ---- traffic ----

function traffic(stats) {
  if (stats.start_time !== started) rates = [];
  started = stats.start_time;
  const now = Date.now();
  rates.push({ at: now, total: stats.total.total_requests, failed: stats.total.failed_requests });
  rates = rates.filter((one) => now - one.at <= MEMORY);
  const steps = rates.slice(1).map((one, place) => {
    const before = rates[place];
    const seconds = Math.max(0.001, (one.at - before.at) / 1000);
    return { at: one.at, rate: (one.total - before.total) / seconds, failed: (one.failed - before.failed) / seconds };
  });
  const [rate, failing] = steps.length ? [steps.at(-1).rate, steps.at(-1).failed] : [null, null];
  const perSecond = (value) => (value === null ? "measuring" : `${value.toFixed(1)}/s`);
  const recent = stats.recent_15m;
  const all = stats.total.upstream_metrics;
  const figures = [
    ["Upstreams that serve", `${all.filter((one) => one.healthy && takesPicks(one)).length} of ${all.length}`],
    ["Requests", perSecond(rate)],
    ["Failing", perSecond(failing)],
    ["Requests, 15 min", String(recent.total_requests)],
    ["Failed, 15 min", `${recent.failed_requests} (${percent(recent.failed_requests, recent.total_requests)})`],
    ["Mean latency, 15 min", millis(recent.avg_latency_ms)],
    ["Open requests, tunnels", String(stats.current_requests)],
    ["Client connections", String(stats.open_connections)],
    ["Refused to clients", String(stats.rejected_requests)],
    ["Requests since start", String(stats.total.total_requests)],
  ];
  keep(at("figures"), figures, ([name]) => name, ([name]) => {
    const box = make("div");
    box.append(make("dt", name), make("dd"));
    return box;
  }, (box, [, value]) => set(box.lastElementChild, value));
  const most = Math.max(1, ...steps.map((one) => one.rate));
  const points = steps.map((one) => `${240 - (240 * (now - one.at)) / MEMORY},${38 - (36 * one.rate) / most}`);
  at("rates").firstElementChild.setAttribute("points", points.join(" "));
  set(at("rates-text"), steps.length
    ? `Requests a second over the last ${span(now - rates[0].at)}, at most ${Math.max(...steps.map((one) => one.rate)).toFixed(1)}/s. The strip is two minutes wide.`
    : "The rate is known after two answers.");
}

function heading(stats) {
  document.title = `${stats.name} – netdrift`;
  set(at("name"), stats.name);
  set(at("facts"), `netdrift ${stats.version}, up ${stats.uptime}, configuration ${stats.config_epoch}. Times are this browser's.`);
  const warnings = [];
  if (!stats.total.upstream_metrics.some((one) => one.healthy && takesPicks(one))) warnings.push("No upstream can serve.");
  if (stats.reload_error) warnings.push(`The last reload was refused: ${stats.reload_error}`);
  if (stats.restart_required.length) warnings.push(`Needs a restart: ${stats.restart_required.join("; ")}`);
  if (stats.log_lines_dropped) warnings.push(`${stats.log_lines_dropped} lines of the log were lost.`);
  keep(at("warnings"), warnings, (text) => text, (text) => make("li", `▲ ${text}`), () => {});
}

// ---- upstreams ----

const takesPicks = (one) => one.enabled && one.weight > 0;

/** The word for an upstream's health, with a shape and a colour. */
function health(one) {
  if (one.by_hand?.state === "draining") return ["↓ draining", "doubt"];
  if (!one.enabled) return ["– disabled", "note"];
  if (one.suspected) return ["? suspected", "doubt"];
  if (!one.healthy) return ["✕ ejected", "bad"];
  if (one.weight === 0) return ["– weight 0", "note"];
  return ["✓ healthy", "good"];
}

function reasons(one, events) {
  const told = [];
  const newest = one.ejected_at && events.find((event) => event.id === one.id && ["ejected", "suspected", "backed_off"].includes(event.event));
  if (one.ejected_at) {
    told.push(`since ${clock(one.ejected_at)}, ${since(one.ejected_at)}`);
    if (newest?.cause) told.push(`cause: ${newest.cause}`);
    told.push(one.probe_in_ms > 0 ? `next probe in ${span(one.probe_in_ms)}` : "a probe is due or under way");
  }
  if (one.by_hand) {
    const { weight_in_file: weight, enabled_in_file: enabled, state } = one.by_hand;
    if (one.enabled !== enabled || state === "draining") told.push(`by hand: ${state}; the file says ${enabled ? "enabled" : "disabled"}`);
    if (one.weight !== weight) told.push(`by hand: weight ${one.weight}; the file says ${weight}`);
  }
  if (one.failures > 0) told.push(`${one.failures} ${one.failures === 1 ? "failure" : "failures"} charged since its last success`);
  const failure = one.last_failure;
  if (failure && !(newest?.cause && newest.cause === failure.cause)) told.push(`last failure ${clock(failure.at)}: ${failure.failure}${failure.cause ? `: ${failure.cause}` : ""}`);
  return told;
}

function upstreams(stats) {
  const chosen = stats[at("span").value];
  const all = chosen.upstream_metrics;
  const attempts = all.reduce((sum, one) => sum + one.total_requests, 0);
  const weights = all.reduce((sum, one) => sum + (takesPicks(one) ? one.weight : 0), 0);
  const labels = ["Health", "Share and weight", "Attempts", "Latency", "Open"];
  keep(at("rows"), all, (one) => one.id, () => {
    const row = make("tr");
    row.setAttribute("role", "row");
    const head = make("th");
    head.scope = "row";
    head.setAttribute("role", "rowheader");
    const cells = labels.map((label) => {
      const cell = make("td");
      cell.setAttribute("role", "cell");
      cell.dataset.label = label;
      return cell;
    });
    const bar = make("div", undefined, "bar");
    bar.setAttribute("aria-hidden", "true");
    bar.append(make("i"), make("b"));
    cells[1].append(bar, make("div"));
    row.append(head, ...cells);
    return row;
  }, (row, one) => {
    const [name, state, share, tried, latency, open] = row.children;
    const label = one.url.endsWith(`//${one.name}`) || one.url === one.name ? [] : [[one.url, "note"]];
    lines(name, [[one.name, "word"], ...label, ...[one.tag === one.name ? null : one.tag, one.note].filter(Boolean).map((text) => [text, "note"])]);
    const [word, kind] = health(one);
    lines(state, [[word, `word ${kind}`], ...reasons(one, stats.health_events).map((text) => [text, "note"])]);
    const wanted = takesPicks(one) ? one.weight : 0;
    const [bar, text] = share.children;
    bar.firstElementChild.style.width = attempts ? `${(100 * one.total_requests) / attempts}%` : "0";
    bar.lastElementChild.style.left = weights ? `${(100 * wanted) / weights}%` : "0";
    lines(text, [[`${percent(one.total_requests, attempts)} of attempts`, ""], [`weight ${one.weight} is ${percent(wanted, weights)}`, "note"]]);
    lines(tried, [[`${one.total_requests}, ${one.failed_requests} failed`, one.failed_requests ? "word" : ""], [`${bytes(one.bytes_up)} up, ${bytes(one.bytes_down)} down`, "note"]]);
    lines(latency, one.success_requests
      ? [["p50", one.latency_p50_ms], ["p90", one.latency_p90_ms], ["p99", one.latency_p99_ms]].map(([part, ms]) => [`${part} ${millis(ms)}`, ""])
      : [["none succeeded", "note"]]);
    lines(open, [[`${one.current_connections} in use`, ""], [`${one.idle_connections} kept, ${one.warm_connections} warm`, "note"]]);
  });
}

// ---- changes of health ----

const SHAPES = {
  suspected: ["?", "doubt"], ejected: ["✕", "bad"], backed_off: ["↻", "doubt"], recovered: ["✓", "good"], steered: ["✎", ""],
};

function changes(stats) {
  const events = stats.health_events;
  const fill = (list, some) => {
    const places = some.map((event, place) => ({ event, place }));
    keep(list, places, ({ event, place }) => `${place} ${event.at} ${event.event} ${event.id} ${event.cause}`, ({ event }) => {
      const [shape, kind] = SHAPES[event.event] ?? ["•", ""];
      const item = make("li");
      item.append(timeOf(event.at), make("span", `${shape} ${event.event.replace("_", " ")}`, `word ${kind}`), ` ${[event.event === "steered" ? "" : event.name, event.cause].filter(Boolean).join(": ")}`);
      return item;
    }, () => {});
  };
  fill(at("changes"), events.slice(0, NEWEST));
  fill(at("older-changes"), events.slice(NEWEST));
  at("older").hidden = events.length <= NEWEST;
  set(at("older-title"), `${events.length - NEWEST} older ones`);

  const now = Date.now() + ahead;
  const begin = Math.min(now - 300000, ...events.map((event) => Date.parse(event.at)));
  const place = (time) => `${(100 * (Math.max(time, begin) - begin)) / (now - begin)}%`;
  const lanes = stats.total.upstream_metrics.filter((one) => one.ejected_at || events.some((event) => event.id === one.id));
  set(at("axis"), lanes.length
    ? `From ${clock(begin)} to now, ${clock(now)}. Hatched: out. ✕ ejected, ? suspected, ↻ a probe failed, ✓ recovered, ✎ set by hand.`
    : "No upstream's health has changed.");
  keep(at("lanes"), lanes, (one) => one.id, () => {
    const lane = make("div", undefined, "lane");
    lane.append(make("span"), make("div", undefined, "track"));
    return lane;
  }, (lane, one) => {
    set(lane.firstElementChild, one.name);
    const track = [];
    const out = (from, to) => {
      const bar = make("i");
      bar.style.left = place(from);
      bar.style.right = `calc(100% - ${place(to)})`;
      track.unshift(bar);
    };
    const own = events.filter((event) => event.id === one.id).reverse();
    let from = own.length && ["backed_off", "recovered"].includes(own[0].event) ? begin : null;
    for (const event of own) {
      const time = Date.parse(event.at);
      if (["ejected", "suspected"].includes(event.event)) from ??= time;
      if (event.event === "recovered" && from !== null) {
        out(from, time);
        from = null;
      }
      const [shape, kind] = SHAPES[event.event] ?? ["•", ""];
      const mark = make("b", shape, kind);
      mark.style.left = place(time);
      track.push(mark);
    }
    if (one.ejected_at) out(from ?? Date.parse(one.ejected_at), now);
    lane.lastElementChild.replaceChildren(...track);
  });
}

function blames(stats) {
  const { requests, attempts } = stats.errors_by_blame;
  const words = [...new Set([...Object.keys(requests), ...Object.keys(attempts)])].sort();
  const rows = words.length ? words.map((word) => [word || "nobody's", requests[word] ?? 0, attempts[word] ?? 0]) : [["none yet", 0, 0]];
  keep(at("blames"), rows, ([word]) => word, ([word]) => {
    const row = make("tr");
    row.setAttribute("role", "row");
    const head = make("th", word);
    head.scope = "row";
    head.setAttribute("role", "rowheader");
    row.append(head, ...[make("td"), make("td")]);
    for (const cell of [row.children[1], row.children[2]]) cell.setAttribute("role", "cell");
    return row;
  }, (row, [, ...counts]) => counts.forEach((count, place) => set(row.children[place + 1], String(count))));
}

// ---- failed requests ----

function attempt(one) {
  const item = make("li");
  const phases = ["lookup", "tcp", "tls", "reply"].filter((phase) => one[`${phase}_ms`] !== undefined).map((phase) => `${phase} ${millis(one[`${phase}_ms`])}`);
  const end = one.failure ? `✕ ${one.failure}${one.cause ? `: ${one.cause}` : ""}` : "✓ served";
  item.append(make("p", `${one.name}: ${end}`, "word"));
  const notes = [phases.join(", "), one.blame ? `${one.blame}'s fault (${one.rule}): ${one.because}` : ""];
  notes.push(one.ticket === undefined ? "" : `ticket ${one.ticket} of epoch ${one.epoch}, ${one.candidates} candidates`);
  if (one.excluded.length) notes.push(`not ${one.excluded.map((other) => `${other.name} (${other.why})`).join(", ")}`);
  for (const note of notes.filter(Boolean)) item.append(make("p", note, "note"));
  return item;
}

async function tell(story, id) {
  try {
    const told = await ask(`/requests/${id}`);
    const list = make("ol");
    list.append(...told.attempts.map(attempt));
    const user = told.user === undefined ? "" : `, user ${told.user}`;
    const facts = make("p", `Request ${id} from ${told.client}${user}, answered after ${millis(told.latency_ms)}, configuration ${told.config_epoch}.`, "note");
    story.replaceChildren(facts, told.attempts.length ? list : make("p", "It was sent to no upstream."));
    story.dataset.told = "yes";
  } catch (error) {
    story.replaceChildren(make("p", `Its story can't be had: ${error.message}`, "bad"));
  }
}

function failed({ requests }) {
  set(at("failed-text"), requests.length === 0
    ? "None is remembered."
    : `${Math.min(SHOWN, requests.length)} of the ${requests.length} that are remembered, the newest first. Open one for its story.`);
  keep(at("failed"), requests.slice(0, SHOWN), (one) => one.request, (one) => {
    const details = make("details");
    details.id = `request-${one.request}`;
    const summary = make("summary");
    const blame = one.blame ? `${one.blame}'s fault` : "";
    const via = one.name === undefined ? "" : `through ${one.name}`;
    summary.append(timeOf(one.time), make("strong", `${one.method} ${one.target}`), make("span", `✕ ${one.status} ${one.outcome}`, "bad"), make("span", [blame, via].filter(Boolean).join(", ")), make("span", one.cause ?? "", "note"));
    const story = make("div", "Asking …", "story");
    details.append(summary, story);
    details.addEventListener("toggle", () => {
      if (details.open && !story.dataset.told) tell(story, one.request);
    });
    details.open = location.hash === `#${details.id}`;
    return details;
  }, () => {});
}

// ---- asking ----

async function ask(path) {
  // The path could begin with two slashes, which would name another host.
  const answer = await fetch(location.origin + path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error(`${path} says ${answer.status}`);
  const date = Date.parse(answer.headers.get("Date"));
  if (!Number.isNaN(date)) ahead = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now();
  return answer.json();
}

function show(is, text) {
  at("state").dataset.is = is;
  set(at("state"), text);
}

function age() {
  set(at("age"), answered ? `The figures are of ${clock(answered)}, ${span(Date.now() - answered)} old.` : "");
}

function draw() {
  for (const part of [heading, traffic, upstreams, changes, blames]) part(last);
}

async function refresh() {
  try {
    const [stats, list] = await Promise.all([ask(document.body.dataset.stats), ask("/requests?failed")]);
    last = stats;
    answered = Date.now();
    draw();
    failed(list);
    troubleSince = 0;
    show("live", "● live");
  } catch (error) {
    troubleSince ||= Date.now();
    const why = error.name === "TimeoutError" ? `no answer in ${span(PATIENCE)}` : error.message;
    show("stale", `▲ no figures since ${clock(troubleSince)}: ${why}`);
  }
  age();
  setTimeout(refresh, EVERY);
}

at("span").addEventListener("change", () => last && upstreams(last));
setInterval(age, 1000);
refresh();

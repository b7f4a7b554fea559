//! Writes the page: the facts of a run, its picture, the laws and expectations that do not hold, and the events.

use std::fmt::Write;
use std::path::Path;

use loadgen::report::html::escape;

use super::picture::{Picture, Spell, Tone, Wrong, clock};
use super::{disturbances, ejections, requests, svg};
use crate::judge::{RunReport, Verdict};
use crate::record::{Line, ScenarioEvent, What};
use crate::report::text::replay_command;
use crate::scenario::{LIVENESS, PROXY, Scenario};

/// Colours for light and dark, and what all pages have.
pub(in crate::report) const STYLE: &str = include_str!("page.css");
/// How many violations the page names, how many lines of the trace it shows for each, and how many events it lists. The trace has all.
const VIOLATIONS: usize = 50;
const LINES: usize = 12;
const EVENTS: usize = 500;

/// The colours and what they stand for.
const LEGEND: [(Tone, &str); 8] = [
    (Tone::Good, "succeeded"),
    (Tone::Saved, "succeeded by failover"),
    (Tone::Failed, "failed"),
    (Tone::Probe, "probe"),
    (Tone::Fault, "fault of an upstream"),
    (Tone::Disturbance, "link, process or clock"),
    (Tone::Ejected, "ejected"),
    (Tone::Changed, "reload, drain"),
];

/// Makes the page of `report`, which is of a run of `scenario`, which was read from `file`. The same run gives the same page.
pub fn page(scenario: &Scenario, report: &RunReport, file: &Path) -> String {
    let picture = picture_of(scenario, report);
    let (name, seed) = (escape(&scenario.name), report.seed);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{name}, seed {seed}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n<p>{}</p>\n",
        escape(&scenario.story)
    );
    facts(&mut page, report, file);
    page.push_str("<ul class=\"legend\">\n");
    for (tone, means) in LEGEND {
        let _ = writeln!(page, "<li><i style=\"background: var(--{})\"></i>{means}</li>", tone.class());
    }
    page.push_str("</ul>\n<div class=\"picture\">\n");
    page.push_str(&svg::svg(&picture, &scenario.name));
    page.push_str("</div>\n");
    page.push_str(
        "<p><small>Upper lanes: requests as their clients saw them. Lanes of upstreams: attempts as the proxy told of \
         them, and below, as ticks, requests as the upstream wrote them down. Point at anything to read more.</small></p>\n",
    );
    violations(&mut page, report);
    events(&mut page, &picture);
    page.push_str("</body>\n</html>\n");
    page
}

fn picture_of(scenario: &Scenario, report: &RunReport) -> Picture {
    let lines = report.trace.lines.as_slice();
    let clients = lines.iter().filter(|line| matches!(line.what, What::Client(_))).map(|line| line.host.as_str());
    let (own, named): (Vec<&str>, Vec<&str>) = clients.partition(|host| host.starts_with(LIVENESS));
    let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
    let hosts = named.into_iter().chain([LIVENESS]).chain(own).chain(scenario.proxies()).chain(upstreams);
    let mut picture = Picture::new(lines.last().map_or(0, |line| line.at_us), hosts);
    for line in lines {
        if let What::Scenario(ScenarioEvent::Phase { name }) = &line.what {
            picture.phases.push((line.at_us, name));
        }
    }
    requests::draw(&mut picture, lines);
    disturbances::draw(&mut picture, scenario, lines);
    for proxy in scenario.proxies() {
        let told = |line: &&Line| line.host.as_str() == proxy && matches!(line.what, What::Proxy(_));
        let told: Vec<Line> = lines.iter().filter(told).cloned().collect();
        requests::attempts(&mut picture, &told);
        ejections::draw(&mut picture, proxy, &told);
    }
    mark_wrong(&mut picture, report);
    picture
}

/// Marks the lines of the trace that violations name. A violation that names none is marked at the end of the run.
fn mark_wrong(picture: &mut Picture, report: &RunReport) {
    for (index, violation) in report.violations.iter().take(VIOLATIONS).enumerate() {
        let text = format!("{}: {}", violation.of, violation.text);
        let places = violation.lines.iter().take(LINES).filter_map(|place| report.trace.lines.get(*place));
        let mut places: Vec<(&str, u64)> = places.map(|line| (line.host.as_str(), line.at_us)).collect();
        if places.is_empty() {
            places.push((PROXY, picture.end));
        }
        for (host, at) in places {
            picture.lane(host).wrong.push(Wrong { at, number: index + 1, text: text.clone() });
        }
    }
}

fn facts(page: &mut String, report: &RunReport, file: &Path) {
    let class = if report.verdict == Verdict::Passed { "verdict passed" } else { "verdict" };
    let seconds = clock(report.virtual_ms * 1000);
    let again = escape(&replay_command(report, file));
    let _ = write!(
        page,
        "<dl>\n<div><dt>verdict</dt><dd class=\"{class}\">{}</dd></div>\n<div><dt>seed</dt><dd>{}</dd></div>\n\
         <div><dt>requests</dt><dd>{}</dd></div>\n<div><dt>virtual time</dt><dd>{seconds}</dd></div>\n\
         <div><dt>digest</dt><dd><code>{}</code></dd></div>\n\
         <div><dt>again</dt><dd><code>{again}</code></dd></div>\n\
         </dl>\n",
        report.verdict.as_str(),
        report.seed,
        report.requests,
        escape(&report.digest),
    );
}

fn violations(page: &mut String, report: &RunReport) {
    if report.violations.is_empty() {
        return;
    }
    page.push_str("<h2>What does not hold</h2>\n<ol class=\"violations\">\n");
    for (index, violation) in report.violations.iter().take(VIOLATIONS).enumerate() {
        let (of, text) = (escape(&violation.of), escape(&violation.text));
        let _ = write!(page, "<li id=\"wrong-{}\"><b>{of}</b>: {text}", index + 1);
        let lines =
            violation.lines.iter().take(LINES).filter_map(|place| Some((*place, report.trace.lines.get(*place)?)));
        let lines: Vec<String> = lines.map(|(place, line)| shown(place, line)).collect();
        if !lines.is_empty() {
            let _ = write!(page, "<pre>{}</pre>", lines.join("\n"));
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ol>\n");
    if report.violations.len() > VIOLATIONS {
        let _ = writeln!(page, "<p>and {} more</p>", report.violations.len() - VIOLATIONS);
    }
}

fn shown(place: usize, line: &Line) -> String {
    format!("{place} {}", escape(&line.to_json()))
}

/// Lists everything but requests, for readers who don't use a pointer.
fn events(page: &mut String, picture: &Picture) {
    let mut events: Vec<(u64, &str, String)> = Vec::new();
    for lane in &picture.lanes {
        let marks = lane.marks.iter().filter(|mark| mark.tone != Tone::Probe);
        events.extend(marks.map(|mark| (mark.at, lane.host.as_str(), mark.text.clone())));
        let band = |band: &Spell| {
            let text = format!("{}, until {}: {}", band.label, clock(band.until), band.text);
            (band.from, lane.host.as_str(), text)
        };
        events.extend(lane.bands.iter().map(band));
    }
    events.sort();
    if events.is_empty() {
        return;
    }
    let _ = writeln!(page, "<details>\n<summary>Events ({})</summary>\n<table>", events.len());
    for (at, host, text) in events.iter().take(EVENTS) {
        let text = text.lines().map(escape).collect::<Vec<_>>().join("<br>");
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td><td>{text}</td></tr>", clock(*at), escape(host));
    }
    page.push_str("</table>\n");
    if events.len() > EVENTS {
        let _ = writeln!(page, "<p>and {} more in the trace</p>", events.len() - EVENTS);
    }
    page.push_str("</details>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::run;
    use crate::scenario;

    const STORY: &str = r#"{
        "name": "<script>alert(\"name\")</script>", "story": "</style><img src=x onerror='alert(1)'> & so on",
        "duration": "6s",
        "proxy": { "health_check": {"failure_threshold": 3, "backoff_base": "1s", "backoff_max": "2s"} },
        "upstreams": [ { "name": "alpha" }, { "name": "beta" },
            { "name": "gamma", "plan": {"faults": [{"fault": "latency", "when": {"from": "1s", "until": "2s"}}]} } ],
        "clients": [ { "name": "client", "do": "echo", "requests": 60, "rate": 20 } ],
        "timeline": [ { "at": "500ms", "do": "crash", "host": "alpha" },
            { "at": "1500ms", "do": "restart", "host": "alpha" },
            { "at": "2s", "do": "reload", "proxy": {"health_check": {"failure_threshold": 4}} },
            { "at": "2s", "do": "partition", "between": ["proxy", "beta"] },
            { "at": "2100ms", "do": "heal" } ],
        "expect": [ { "what": "requests", "outcome": "ok", "exactly": 7 } ]
    }"#;

    fn drawn() -> String {
        let scenario = scenario::parse(STORY).unwrap();
        page(&scenario, &run(&scenario, 1), Path::new("a story.json"))
    }

    fn svg_of(page: &str) -> &str {
        let (from, until) = (page.find("<svg").unwrap(), page.find("</svg>").unwrap());
        &page[from..until + "</svg>".len()]
    }

    /// The text between the first `from` in `text` and the next `until`.
    fn between<'a>(text: &'a str, from: &str, until: &str) -> &'a str {
        let rest = &text[text.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len()..];
        &rest[..rest.find(until).unwrap()]
    }

    /// Panics if tags or quotes of `xml` don't match, or if a text has a bare `<` or `&`.
    fn assert_well_formed(xml: &str) {
        let mut open = Vec::new();
        let mut rest = xml;
        while let Some((text, tag_on)) = rest.split_once('<') {
            for (_, entity) in text.match_indices('&').map(|(at, _)| text.split_at(at)) {
                assert!(
                    ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().any(|known| entity.starts_with(known)),
                    "{entity}"
                );
            }
            let (tag, behind) = tag_on.split_once('>').unwrap();
            assert!(!tag.contains('<') && tag.matches('"').count() % 2 == 0, "{tag}");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()), "{tag}");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "{tag}");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            rest = behind;
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    }

    #[test]
    fn every_host_has_a_lane_and_what_happened_is_in_it() {
        let page = drawn();
        let svg = svg_of(&page);
        assert_well_formed(svg);
        for host in ["client", "proxy", "alpha", "beta", "gamma"] {
            let lane = between(svg, &format!("\">{host}</text>"), "</g>");
            assert_eq!(lane.contains("class=\"band ejected\""), host == "alpha", "{host}");
            assert_eq!(lane.contains(">restart</text>"), host == "alpha", "{host}");
            assert_eq!(lane.contains("was killed"), host == "alpha", "{host}");
            assert_eq!(lane.contains("class=\"band fault\""), host == "gamma", "{host}");
            assert_eq!(lane.contains("no packet passes between proxy and beta"), host == "beta" || host == "proxy");
            assert_eq!(lane.contains("reloaded, configuration epoch"), host == "proxy", "{host}");
            assert_eq!(lane.contains("class=\"written"), ["alpha", "beta", "gamma"].contains(&host), "{host}");
        }
        let client = between(svg, "\">client</text>", "</g>");
        assert!(client.contains("client-1: CONNECT") && client.contains("served by"), "{client}");
        assert!(client.contains("class=\"saved\"") && client.contains("alpha failed: "), "{client}");
        assert!(between(svg, "\">alpha</text>", "</g>").contains("a probe"));
        for phase in ["safety", "liveness", "end"] {
            assert!(svg.contains(&format!("class=\"phase {phase}\"")), "{phase}");
        }
    }

    #[test]
    fn what_does_not_hold_is_marked_and_told_with_the_command_that_shows_it_again() {
        let page = drawn();
        assert!(svg_of(&page).contains("<a href=\"#wrong-1\">"), "{page}");
        assert!(page.contains("<li id=\"wrong-1\"><b>"), "{page}");
        assert!(
            page.contains("simulator replay &#39;a story.json&#39; --seed 1") && page.contains(">violated<"),
            "{page}"
        );
    }

    #[test]
    fn a_hostile_scenario_is_text_and_nothing_else() {
        let page = drawn();
        assert!(page.contains("&lt;script&gt;alert(&quot;name&quot;)&lt;/script&gt;"), "{page}");
        for tag in ["<script", "<img", "</style><"] {
            assert!(!page.contains(tag), "{tag}");
        }
        let outside = ["src=", "@import", "url("];
        assert!(!outside.iter().any(|word| page.replace("&lt;img src=x", "").contains(word)), "loads nothing");
    }

    #[test]
    fn the_same_seed_gives_the_same_page() {
        assert!(drawn() == drawn());
    }

    #[test]
    fn a_page_of_many_requests_is_not_much_longer_and_hides_no_failure() {
        let of = |many: u64| {
            let mut picture = Picture::new(60_000_000, ["client"]);
            for request in 0..many {
                let from = request * 60_000_000 / many;
                let tone = if request == many / 2 { Tone::Failed } else { Tone::Good };
                let text = format!("client-{request}: CONNECT <{request}>");
                let (label, until) = (String::new(), from + 5000);
                picture.lane("client").bars.push(Spell { from, until, tone, label, text });
            }
            svg::svg(&picture, "many")
        };
        let (some, many) = (of(2000), of(50_000));
        assert!(many.len() < some.len() * 3 / 2 && many.len() < 200_000, "{} {}", some.len(), many.len());
        assert_well_formed(&many);
        let failed = between(&many, "class=\"failed\"", "</rect>");
        assert!(failed.contains("client-25000: CONNECT &lt;25000&gt;"), "{failed}");
        let height: f64 = between(failed, "height=\"", "\"").parse().unwrap();
        assert!(height >= 1.5, "{height}");
    }
}

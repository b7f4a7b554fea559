//! Draws a day and what it would have been under other settings under each other, as a page that needs no script and no network.

use std::fmt::Write;

use loadgen::report::html::escape;

use super::chart::{COLOURS, Frame, chart};
use super::shown;
use crate::incident::{Course, LEVEL, WhatIf};
use crate::report::timeline::STYLE;
use crate::scenario::Scenario;

const OWN_STYLE: &str = include_str!("page.css");

/// Makes the page of `found`, which is of the day that `scenario` is. The same runs give the same page.
pub fn page(scenario: &Scenario, found: &WhatIf) -> String {
    let name = escape(&scenario.name);
    let (first, last) = found.seeds;
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{name}: what if</title>\n\
         <style>\n{STYLE}{OWN_STYLE}</style>\n</head>\n<body>\n<h1>{name}: what if</h1>\n<p>{}</p>\n",
        escape(&scenario.story)
    );
    let recorded = scenario.seen.as_ref().map(Course::recorded);
    let replays = std::iter::once("as it was, replayed").chain(found.candidates.iter().map(String::as_str));
    let mut days: Vec<(&str, Option<&Course>)> = replays.zip(found.courses.iter().map(Option::as_ref)).collect();
    if let Some(recorded) = &recorded {
        days.insert(0, ("as it was recorded", Some(recorded)));
    }
    let courses: Vec<&Course> = days.iter().filter_map(|(_, course)| *course).collect();
    let frame = Frame::of(scenario.duration.get(), &courses);
    legend(&mut page, &frame);
    page.push_str("<div class=\"picture\">\n");
    for (name, course) in days {
        let _ = writeln!(page, "<h2>{}</h2>", escape(name));
        let Some(course) = course else {
            page.push_str("<p>It could not be played to its end.</p>\n");
            continue;
        };
        let (requests, failed) = course.requests();
        let ejections = course.turns.iter().filter(|turn| turn.to == crate::scenario::UpstreamState::Ejected).count();
        let part =
            if course.one_in > 1.0 { format!(" (one in {:.1} is replayed)", course.one_in) } else { String::new() };
        let _ = writeln!(page, "<p>{requests} requests{part}, {failed} failed, {ejections} ejections</p>");
        page.push_str(&chart(&frame, course, name));
    }
    page.push_str("</div>\n");
    let _ = writeln!(
        page,
        "<p><small>Replays are drawn as they were with seed {first}. All days have one scale. Point at anything to read more.</small></p>"
    );
    figures(&mut page, found);
    let _ = writeln!(
        page,
        "<p><small>Means over the seeds {first} to {last}, and between which values nine runs of ten lie; * differs from how it was by \
         more than chance (sign test over the seeds, level {LEVEL}).</small></p>"
    );
    page.push_str("</body>\n</html>\n");
    page
}

fn legend(page: &mut String, frame: &Frame) {
    page.push_str("<ul class=\"legend\">\n");
    for (class, means) in [("good", "served"), ("failed", "failed"), ("ejected", "ejected")] {
        let _ = writeln!(page, "<li><i style=\"background: var(--{class})\"></i>{means}</li>");
    }
    for upstream in frame.upstreams.iter().take(COLOURS) {
        let _ = writeln!(
            page,
            "<li><i style=\"background: var(--{})\"></i>{}</li>",
            frame.class(upstream),
            escape(upstream)
        );
    }
    if let more @ 1.. = frame.upstreams.len().saturating_sub(COLOURS) {
        let _ = writeln!(page, "<li><i style=\"background: var(--u{COLOURS})\"></i>{more} further upstreams</li>");
    }
    page.push_str("</ul>\n");
}

fn figures(page: &mut String, found: &WhatIf) {
    page.push_str("<h2>Figures</h2>\n<div class=\"figures\">\n<table>\n<tr><th></th><th>as it was</th>");
    for name in &found.candidates {
        let _ = write!(page, "<th>{}</th>", escape(name));
    }
    page.push_str("</tr>\n");
    for one in &found.figures {
        let _ = write!(page, "<tr><td>{}</td><td>{}</td>", escape(&one.figure), shown(one.as_it_was));
        for under in &one.candidates {
            let (class, star) = if under.real { (" class=\"real\"", " *") } else { ("", "") };
            let _ = write!(page, "<td{class}>{}{star}</td>", shown(under.spread));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n</div>\n");
    if found.unplayed > 0 {
        let _ = writeln!(page, "<p>{} runs could not be played to their end and are missing.</p>", found.unplayed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::what_if;
    use crate::scenario;

    const DAY: &str = r#"{
        "name": "<script>alert(1)</script>", "story": "</style><img src=x onerror='alert(1)'>", "duration": "10s",
        "proxy": {"failover": {"max_attempts": 1}, "health_check": {"failure_threshold": 2, "backoff_base": "1s", "backoff_max": "1s"}},
        "upstreams": [{"name": "alpha", "plan": {"faults": [{"fault": "refuse", "when": {"from": "3s", "until": "7s"}}]}}, {"name": "beta"}],
        "clients": [{"name": "c", "do": "echo", "requests": 90, "rate": 10}],
        "seen": {"one_in": 1, "requests": 90, "failed": 9, "piece": "60s", "pieces": [{"requests": 90, "failed": 9,
            "served": {"alpha": 31, "<b>beta": 50}}], "turns": [{"at": "3500ms", "upstream": "<b>beta", "to": "ejected"}],
            "guessed": []}}"#;

    fn drawn() -> String {
        drawn_of(DAY)
    }

    fn drawn_of(day: &str) -> String {
        let day = scenario::parse(day).unwrap();
        let mut candidate = day.clone();
        candidate.proxy =
            serde_json::json!({"failover": {"max_attempts": 2}, "health_check": {"failure_threshold": 2}});
        page(&day, &what_if(&day, &[("<i>c&d.json".to_owned(), candidate)], 1..=2, 1, |_| {}))
    }

    #[test]
    fn the_days_stand_under_each_other_with_failures_shares_and_ejections() {
        let page = drawn();
        let places: Vec<usize> =
            ["as it was recorded</h2>", "as it was, replayed</h2>", "c&amp;d.json</h2>", "<h2>Figures"]
                .iter()
                .map(|text| page.find(text).unwrap_or_else(|| panic!("no {text}: {page}")))
                .collect();
        assert!(places.is_sorted(), "{places:?}");
        let day = |place: usize| &page[places[place]..places[place + 1]];
        assert!(
            day(0).contains("90 requests, 9 failed, 1 ejections") && day(0).contains("alpha served 38.3 %"),
            "{page}"
        );
        assert!(day(0).contains("&lt;b&gt;beta was out from 3.5 s to 10 s"), "it never came back: {}", day(0));
        assert!(day(1).contains("class=\"failed\"") && day(1).contains("alpha was out from 3."), "{}", day(1));
        assert!(!day(2).contains("class=\"failed\"") && day(2).contains("class=\"ejected\""), "{}", day(2));
        assert!(page[places[3]..].contains("<tr><td>harmed</td>"), "{page}");
    }

    /// Its rate is drawn on the scale of the replays, and its counts are those of the day.
    #[test]
    fn a_day_that_is_thinned_says_so_beside_its_rate_and_its_counts() {
        let thinned = drawn_of(&DAY.replace(r#""one_in": 1,"#, r#""one_in": 3,"#));
        assert!(thinned.contains(">as replayed</text>"), "{thinned}");
        assert!(thinned.contains(": 90 requests, 9 failed; one in 3.0 is replayed</title>"), "{thinned}");
        let whole = drawn();
        assert!(!whole.contains(">as replayed<") && !whole.contains("is replayed</title>"), "{whole}");
    }

    #[test]
    fn a_hostile_day_is_text_and_nothing_is_loaded_from_elsewhere() {
        let page = drawn();
        for tag in ["<script", "<img", "<b>beta", "<i>c"] {
            assert!(!page.contains(tag), "{tag}");
        }
        for outside in ["src=", "href=", "@import", "url(", "http://", "https://"] {
            assert!(!page.replace("&lt;img src=x", "").contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
    }

    #[test]
    fn the_same_runs_give_the_same_page() {
        assert!(drawn() == drawn());
    }

    #[test]
    fn a_day_that_could_not_be_played_and_a_pool_of_many_upstreams_have_a_page_too() {
        let day = scenario::parse(DAY).unwrap();
        let (candidates, figures) = (vec!["c".to_owned()], Vec::new());
        let served = (0..40).map(|number| (format!("u{number}"), 1)).collect();
        let course = Course {
            one_in: 1.0,
            piece: std::time::Duration::from_secs(1),
            pieces: vec![crate::scenario::Piece { requests: 40, failed: 0, served }],
            turns: Vec::new(),
        };
        let found = WhatIf { candidates, seeds: (1, 1), figures, courses: vec![Some(course), None], unplayed: 1 };
        let page = page(&day, &found);
        assert!(page.contains("It could not be played") && page.contains("further upstreams"), "{page}");
    }
}

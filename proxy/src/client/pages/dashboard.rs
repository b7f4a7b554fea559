//! Makes `/dashboard`: the state of the proxy for people, in one page that asks for nothing but the other pages of ours.
//!
//! What the browser may do is said in [`fields`]: run the script and use the style that stand in the page, told by their
//! hashes, and ask this server. The script puts what it is told into the page as text, never as markup.

use base64::prelude::{BASE64_STANDARD, Engine};
use ring::digest::{SHA256, digest};

use crate::http::head::Fields;

const PAGE: &str = include_str!("dashboard/page.html");
const STYLE: &str = include_str!("dashboard/style.css");
const SCRIPT: &str = include_str!("dashboard/script.js");

pub(super) const TYPE: &str = "text/html; charset=utf-8";

/// The page, of a proxy whose statistics are at this path.
pub(super) fn page(stats_endpoint: &str) -> String {
    // The path comes last: it may hold what looks like the place of another part.
    PAGE.replace("{style}", STYLE).replace("{script}", SCRIPT).replace("{stats}", &escaped(stats_endpoint))
}

/// The fields by which a browser knows what the page may do.
pub(super) fn fields() -> Fields {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let mut fields = Fields::new();
    fields.push(
        "Content-Security-Policy",
        format!(
            "default-src 'none'; connect-src 'self'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        ),
    );
    fields.push("X-Content-Type-Options", "nosniff");
    fields.push("Referrer-Policy", "no-referrer");
    fields
}

/// `text` as it stands in an attribute's value.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_one_place_and_holds_nothing_that_would_end_it() {
        for part in ["{style}", "{script}", "{stats}"] {
            assert_eq!([PAGE, STYLE, SCRIPT].map(|text| text.matches(part).count()), [1, 0, 0], "{part}");
        }
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    }

    #[test]
    fn the_path_stays_in_its_attribute() {
        let page = page("/\"><script>{style}&'");
        assert!(page.contains("<body data-stats=\"/&quot;&gt;&lt;script&gt;{style}&amp;&#39;\">"), "{page}");
    }

    #[test]
    fn the_script_makes_no_markup_out_of_text() {
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "srcdoc", "eval", "Function("] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }
}

//! Shows progress while a run goes on: lines that are rewritten on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::drive::Tally;
use crate::quantity::show;
use crate::report::Window;

/// A terminal that does not say how large it is: columns and rows.
const USUAL: (usize, usize) = (80, 24);

/// Where progress goes: standard error, so that the report alone is on standard output.
pub(super) struct ProgressDisplay {
    quiet: bool,
    terminal: bool,
    lines: usize,
}

impl ProgressDisplay {
    pub(super) fn new(quiet: bool) -> Self {
        ProgressDisplay { quiet, terminal: std::io::stderr().is_terminal(), lines: 0 }
    }

    /// Shows the last window and the sums so far. `weights` are those of the upstreams in the window's shares.
    pub(super) fn show(&mut self, window: &Window, total: &Tally, open: u64, weights: &[(String, u64)]) {
        if self.quiet {
            return;
        }
        let mut out = std::io::stderr().lock();
        // A terminal that went away must not end the run.
        if !self.terminal {
            let _ = writeln!(out, "{}  {}", sums(window, total, open), latency(window));
            if !window.ejected.is_empty() {
                let _ = writeln!(out, "           ejected: {}", window.ejected.join(", "));
            }
            return;
        }
        let mut lines = vec![sums(window, total, open), format!("           {}", latency(window))];
        lines.extend(total.failed.iter().map(|(failure, count)| format!("{count:>9}  {failure}")));
        lines.extend(shares(window, weights));
        let (columns, rows) = rustix::termios::tcgetwinsize(std::io::stderr())
            .map_or(USUAL, |size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let (columns, rows) = if columns == 0 || rows == 0 { USUAL } else { (columns, rows) };
        fit(&mut lines, columns, rows);
        if self.lines > 0 {
            let _ = write!(out, "\x1b[{}A\x1b[J", self.lines);
        }
        for line in &lines {
            let _ = writeln!(out, "{line}");
        }
        self.lines = lines.len();
    }
}

fn sums(window: &Window, total: &Tally, open: u64) -> String {
    let rate = window.ok as f64 / window.span.max(1e-9);
    let at = window.at + window.span;
    format!("{at:>7.1} s  {rate:>9.1} ok/s  {:>6} errors  {open:>6} tunnels", total.errors())
}

fn latency(window: &Window) -> String {
    if window.ok + window.errors == 0 {
        return "no request ended".to_owned();
    }
    let [p50, p90, p99, max] = window.latency.map(|micros| show(Duration::from_micros(micros)));
    format!("p50 {p50}  p90 {p90}  p99 {p99}  max {max}")
}

/// A line for each upstream: its share in this window against its weight.
fn shares(window: &Window, weights: &[(String, u64)]) -> impl Iterator<Item = String> {
    let (seen, sum): (u64, u64) = (window.shares.values().sum(), weights.iter().map(|(_, weight)| weight).sum());
    let percent = |part: u64, of: u64| part as f64 * 100.0 / of.max(1) as f64;
    window.shares.iter().map(move |(name, count)| {
        let weight = weights.iter().find(|(other, _)| other == name);
        let against = weight.map_or(String::new(), |(_, weight)| format!(" against {:.1} %", percent(*weight, sum)));
        let state = if window.ejected.contains(name) { "  EJECTED" } else { "" };
        format!("{:>7.1} %{against}  {name}{state}", percent(*count, seen))
    })
}

/// Cuts `lines` so that none wraps and all of them, with the cursor's own, stay on the screen: only then can they be
/// rewritten.
fn fit(lines: &mut Vec<String>, columns: usize, rows: usize) {
    let most = rows.saturating_sub(1).max(1);
    if lines.len() > most {
        let hidden = lines.len() - most + 1;
        lines.truncate(most - 1);
        lines.push(format!("           and {hidden} lines more"));
    }
    for line in lines {
        if let Some((at, _)) = line.char_indices().nth(columns) {
            line.truncate(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_fits_the_screen() {
        let mut lines: Vec<_> = (0..30).map(|n| format!("{n:>2} µµµµµµµµ")).collect();
        fit(&mut lines, 5, 24);
        assert_eq!((lines.len(), lines[0].as_str(), lines[22].trim()), (23, " 0 µµ", ""));
        let mut few = vec!["short".to_owned()];
        fit(&mut few, 80, 24);
        assert_eq!(few, ["short"]);
    }

    #[test]
    fn a_share_stands_against_its_weight_and_an_ejection_is_said() {
        let window = Window {
            shares: [("a".to_owned(), 9), ("b".to_owned(), 1)].into(),
            ejected: vec!["b".to_owned()],
            ..Window::default()
        };
        let lines: Vec<_> = shares(&window, &[("a".to_owned(), 3), ("b".to_owned(), 1)]).collect();
        assert_eq!(lines, ["   90.0 % against 75.0 %  a", "   10.0 % against 25.0 %  b  EJECTED"]);
    }
}

//! What is shown while a run goes on: a line that rewrites itself on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};

use loadgen::Tally;
use loadgen::quantity::show;
use loadgen::report::Stretch;

/// Where progress goes: standard error, so that the report alone is on standard output.
pub(crate) struct Live {
    quiet: bool,
    terminal: bool,
    lines: usize,
}

impl Live {
    pub(crate) fn new(quiet: bool) -> Self {
        Live { quiet, terminal: std::io::stderr().is_terminal(), lines: 0 }
    }

    /// Shows the last stretch and the sums so far. `weights` are those of the upstreams in the stretch's shares.
    pub(crate) fn show(&mut self, stretch: &Stretch, total: &Tally, open: u64, weights: &[(String, u64)]) {
        if self.quiet {
            return;
        }
        let micros = |at: usize| show(std::time::Duration::from_micros(stretch.latency[at]));
        let rate = |count: u64| count as f64 / stretch.span.max(1e-9);
        let mut lines = vec![format!(
            "{:>7.1} s  {:>9.1} ok/s  {:>6} errors  p50 {}  p90 {}  p99 {}  max {}  tunnels {open}",
            stretch.at + stretch.span,
            rate(stretch.ok),
            total.errors(),
            micros(0),
            micros(1),
            micros(2),
            micros(3)
        )];
        if self.terminal {
            lines.extend(total.failed.iter().map(|(failure, count)| format!("  {count:>9}  {failure}")));
            let (seen, sum): (u64, u64) =
                (stretch.shares.values().sum(), weights.iter().map(|(_, weight)| weight).sum());
            let percent = |part: u64, of: u64| part as f64 * 100.0 / of.max(1) as f64;
            for (name, count) in &stretch.shares {
                let weight = weights.iter().find(|(other, _)| other == name);
                let against =
                    weight.map_or(String::new(), |(_, weight)| format!("against {:.1} %", percent(*weight, sum)));
                let state = if stretch.ejected.contains(name) { "  EJECTED" } else { "" };
                lines.push(format!("  {:>7.1} % {against}  {name}{state}", percent(*count, seen)));
            }
        } else if !stretch.ejected.is_empty() {
            lines.push(format!("           ejected: {}", stretch.ejected.join(", ")));
        }
        let mut out = std::io::stderr().lock();
        // A terminal that went away must not end the run.
        if self.terminal && self.lines > 0 {
            let _ = write!(out, "\x1b[{}A\x1b[J", self.lines);
        }
        for line in &lines {
            let _ = writeln!(out, "{line}");
        }
        self.lines = lines.len();
    }
}

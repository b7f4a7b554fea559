//! Draws what a proxy did: ejections and recoveries, reloads and drains.

use std::collections::BTreeMap;

use super::picture::{Mark, Picture, Spell, Tone, clock};
use crate::record::{Line, ProxyEvent, What};

/// Draws what the proxy on `proxy` has told in `lines` into its lane and those of its upstreams.
pub(super) fn draw(picture: &mut Picture, proxy: &str, lines: &[Line]) {
    let mut ejected: BTreeMap<&str, Spell> = BTreeMap::new();
    let mut drain: Option<(u64, usize)> = None;
    for line in lines {
        let What::Proxy(event) = &line.what else { continue };
        let at = line.at_us;
        match event {
            ProxyEvent::EpochStarted { number: 0, .. } => {
                // A new process has started, which knows no ejection of the one before.
                for (upstream, spell) in std::mem::take(&mut ejected) {
                    recover(picture, upstream, spell, at, "the proxy was started anew");
                }
            }
            ProxyEvent::Suspected { upstream, failures } => {
                let text = format!("suspected after {failures} failures, set aside for a probe");
                let spell = Spell { from: at, until: at, tone: Tone::Ejected, label: "suspected".to_owned(), text };
                ejected.insert(upstream.as_str(), spell);
            }
            ProxyEvent::Ejected { upstream, failures, until_us } => {
                let text = format!("ejected after {failures} failures, backed off until {}", clock(*until_us));
                let spell = Spell { from: at, until: at, tone: Tone::Ejected, label: "ejected".to_owned(), text };
                if let Some(before) = ejected.insert(upstream.as_str(), spell) {
                    recover(picture, upstream.as_str(), before, at, "ejected again");
                }
            }
            ProxyEvent::BackedOff { upstream, until_us } => {
                if let Some(spell) = ejected.get_mut(upstream.as_str()) {
                    spell.text.push_str(&format!("\n{}: backed off until {}", clock(at), clock(*until_us)));
                }
            }
            ProxyEvent::Recovered { upstream, after_us } => {
                if let Some(spell) = ejected.remove(upstream.as_str()) {
                    let how = format!("recovered after {}", clock(*after_us));
                    recover(picture, upstream.as_str(), spell, at, &how);
                }
            }
            ProxyEvent::Reloaded { config_epoch, changes, restart_required } => {
                let mut text = format!("reloaded, configuration epoch {config_epoch}: {}", changes.join("; "));
                if !restart_required.is_empty() {
                    text.push_str(&format!("\nneeds a restart: {}", restart_required.join("; ")));
                }
                mark(picture, proxy, at, Tone::Changed, "reload", text);
            }
            ProxyEvent::ReloadFailed { problems } => {
                mark(picture, proxy, at, Tone::Failed, "reload failed", format!("reload failed: {problems}"));
            }
            ProxyEvent::AcceptFailed { error } => {
                mark(picture, proxy, at, Tone::Failed, "accept failed", format!("accept failed: {error}"));
            }
            ProxyEvent::DrainStarted { open } => drain = Some((at, *open)),
            ProxyEvent::Drained { reset } => {
                if let Some((from, open)) = drain.take() {
                    drained(picture, proxy, from, at, &format!("drained: {open} open, {reset} reset"));
                }
            }
            _ => {}
        }
    }
    let end = picture.end;
    for (upstream, spell) in ejected {
        recover(picture, upstream, spell, end, "never recovered");
    }
    if let Some((from, open)) = drain {
        drained(picture, proxy, from, end, &format!("a drain of {open} that never ended"));
    }
}

fn recover(picture: &mut Picture, upstream: &str, spell: Spell, until: u64, how: &str) {
    let text = format!("{}\n{how}", spell.text);
    picture.lane(upstream).bands.push(Spell { until, text, ..spell });
}

fn drained(picture: &mut Picture, proxy: &str, from: u64, until: u64, text: &str) {
    let band = Spell { from, until, tone: Tone::Changed, label: "drain".to_owned(), text: text.to_owned() };
    picture.lane(proxy).bands.push(band);
}

fn mark(picture: &mut Picture, host: &str, at: u64, tone: Tone, label: &str, text: String) {
    picture.lane(host).marks.push(Mark { at, tone, label: label.to_owned(), text });
}

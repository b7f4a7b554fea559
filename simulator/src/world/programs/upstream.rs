//! Runs faulty-upstream's upstream as the process of a host. Without a plan it makes no mistakes.

use std::sync::Arc;
use std::time::Duration;

use faulty_upstream::listen::run_listener;
use faulty_upstream::{FaultyUpstream, Plan};
use mock_upstreams::checksum::Checksum;
use mock_upstreams::journal::{Clock, Event, Journal};
use mock_upstreams::targets::Builtin;
use mock_upstreams::{Auth, Settings, Target};

use crate::record::{Recorder, What};
use crate::scenario::{HostName, Span, UPSTREAM_PORT, Upstream};
use crate::world::engine::Host;
use crate::world::wall_clock::WallClock;

/// The journal keeps only one entry, since the trace records all of them.
const ENTRIES_KEPT: usize = 1;

/// Makes a process of `upstream` whose journal goes to `recorder`.
pub(in crate::world) fn start(
    upstream: &Upstream,
    plan: Plan,
    wall: WallClock,
    recorder: Recorder,
) -> Arc<FaultyUpstream> {
    let host = HostName::new(&upstream.name);
    let clock: Clock = Arc::new(move || wall.now());
    let sink = Box::new(move |entry: &mock_upstreams::journal::Entry| {
        recorder.write(&host, What::Upstream(repeatable(entry.event.clone())));
    });
    let settings = Settings {
        auth: upstream.auth.as_deref().and_then(Auth::parse),
        latency: upstream.latency.map_or(Duration::ZERO, Span::get),
        idle_timeout: upstream.idle_timeout.map(Span::get),
    };
    let journal = Arc::new(Journal::new(&upstream.name, clock, ENTRIES_KEPT, Some(sink)));
    let double = FaultyUpstream::new(&upstream.name, settings, journal, plan);
    Arc::new(match upstream.tls {
        true => double.over_tls(&upstream.name).expect("names of hosts were checked with the scenario"),
        false => double,
    })
}

/// Takes out what differs between two plays of the same scenario: the checksums of what is encrypted for a target.
fn repeatable(mut event: Event) -> Event {
    if let Event::Request(record) = &mut event
        && record.target.rsplit_once(':').and_then(|(host, _)| Builtin::named(host)) == Some(Builtin::Tls)
    {
        (record.up.checksum, record.down.checksum) = (Checksum::EMPTY, Checksum::EMPTY);
    }
    event
}

/// Serves on `host` until the process is killed. If the plan has a fault that this network can't do, the error names it.
///
/// # Errors
/// The address is taken; a fault of the listener can't be done.
pub(in crate::world) async fn serve<H: Host>(upstream: Arc<FaultyUpstream>, host: H) -> std::io::Result<()> {
    let listener = host.listen(UPSTREAM_PORT).await?;
    let each = |stream: H::Stream| {
        let upstream = Arc::clone(&upstream);
        host.spawn(async move { upstream.serve(stream, nowhere::<H::Stream>).await });
    };
    run_listener(&upstream, listener, each, std::future::pending()).await
}

/// Refuses every target that is not built into the upstreams, because a simulated network has no internet.
async fn nowhere<S>(_: Target) -> std::io::Result<S> {
    Err(std::io::Error::new(std::io::ErrorKind::HostUnreachable, "only built-in targets exist here"))
}

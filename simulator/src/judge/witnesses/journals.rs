//! The journals of all upstreams, indexed by request and by host.

use std::collections::BTreeMap;
use std::time::Duration;

use mock_upstreams::journal::{Event, Record};

/// What all upstreams wrote down.
#[derive(Debug, Default)]
pub struct Journals<'a> {
    by_id: BTreeMap<&'a str, Vec<JournalEntry<'a>>>,
    /// What each upstream wrote down.
    pub by_host: BTreeMap<&'a str, HostJournal<'a>>,
}

/// A request in a journal. It is written down when the request is over.
#[derive(Clone, Copy, Debug)]
pub struct JournalEntry<'a> {
    /// Its line in the trace.
    pub line: usize,
    /// When it was written.
    pub at: Duration,
    /// Since when it may have lasted: its connection was opened then, or the request before it on that connection ended, or its
    /// client began with it, whichever came last.
    pub since: Duration,
    /// When its connection was opened, if that was written down.
    pub opened: Option<Duration>,
    /// The upstream's host.
    pub host: &'a str,
    /// Whether a fault wrote a reply to its connection before the request was read.
    pub reply_came_first: bool,
    /// Whether a fault had it wait before anything was read from its connection.
    pub was_read_late: bool,
    /// Whether its upstream has shown a wrong certificate on its connection.
    pub certificate_is_wrong: bool,
    /// What was written.
    pub record: &'a Record,
}

/// The fault by which a connection is read only after a while.
pub(super) const ACCEPT_LATE: &str = "accept-late";

/// What one upstream wrote down.
#[derive(Debug, Default)]
pub struct HostJournal<'a> {
    /// The requests, in the order in which they ended.
    pub requests: Vec<JournalEntry<'a>>,
    /// The connections, in the order in which they were opened.
    pub connections: Vec<Connection<'a>>,
    /// When faults changed the listener, and whether it was open from then on.
    pub listener: Vec<(Duration, bool)>,
    /// The place of each connection of the present process, by its number.
    places: BTreeMap<u64, usize>,
}

/// A connection in a journal.
#[derive(Clone, Debug)]
pub struct Connection<'a> {
    /// When it was opened.
    pub opened: Duration,
    /// When it was closed. `None` if the process was killed before, or the run ended.
    pub closed: Option<Duration>,
    /// The faults that struck it as a whole.
    pub faults: Vec<&'a str>,
    /// When it was free for its next request.
    free: Duration,
}

impl Connection<'_> {
    /// Whether the upstream has shown a wrong certificate on it.
    pub fn certificate_is_wrong(&self) -> bool {
        self.faults.iter().any(|fault| fault.starts_with("certificate-"))
    }

    /// Whether nothing is told of it but that it was opened. The run may have ended before its first request did.
    pub fn is_untold(&self) -> bool {
        self.closed.is_none() && self.free == self.opened
    }
}

/// The fault in a journal's label, which is `FAULT` or `FAULT@ID`.
pub(in crate::judge) fn fault_of(label: &str) -> &str {
    label.split_once('@').map_or(label, |(fault, _)| fault)
}

impl<'a> Journals<'a> {
    /// Takes in an event of `host`; `began` says when the client with a request of that id began with it.
    pub(super) fn read(
        &mut self,
        line: usize,
        at: Duration,
        host: &'a str,
        event: &'a Event,
        began: impl FnOnce(&str) -> Option<Duration>,
    ) {
        let journal = self.by_host.entry(host).or_default();
        match event {
            Event::Opened { connection, .. } => {
                // A process that was started again counts from 1.
                journal.places.insert(*connection, journal.connections.len());
                journal.connections.push(Connection { opened: at, closed: None, faults: Vec::new(), free: at });
            }
            Event::Closed { connection, .. } => {
                if let Some(connection) = journal.connection(*connection) {
                    connection.closed = Some(at);
                }
            }
            Event::Struck { connection, fault } => {
                if let Some(connection) = journal.connection(*connection) {
                    connection.faults.push(fault_of(fault));
                }
            }
            Event::Listener { state, .. } => journal.listener.push((at, *state == "open")),
            Event::Plan { .. } => {}
            Event::Request(record) => {
                let connection = journal.connection(record.connection);
                let reply_came_first = connection.as_ref().is_some_and(|one| one.faults.contains(&"reply-first"));
                let certificate_is_wrong = connection.as_ref().is_some_and(|one| one.certificate_is_wrong());
                let was_read_late =
                    connection.as_ref().is_some_and(|one| one.free == one.opened && one.faults.contains(&ACCEPT_LATE));
                let opened = connection.as_ref().map(|one| one.opened);
                let free = connection.map_or(at, |one| std::mem::replace(&mut one.free, at));
                let since = free.max(record.id.as_deref().and_then(began).unwrap_or(free)).min(at);
                let entry = JournalEntry {
                    line,
                    at,
                    since,
                    opened,
                    host,
                    reply_came_first,
                    was_read_late,
                    certificate_is_wrong,
                    record,
                };
                journal.requests.push(entry);
                if let Some(id) = &record.id {
                    self.by_id.entry(id).or_default().push(entry);
                }
            }
        }
    }

    /// Sets aside what no client asked for: a proxy that wants to know whether an upstream works asks it for a target that
    /// another one has opened moments ago, by CONNECT or HEAD, and sends nothing behind it. `strange` says of what else no client
    /// with a request of that id has asked for, `seen` which status the client of an id has seen, and `ended` when that was over.
    pub(super) fn set_probes_aside(
        &mut self,
        strange: impl Fn(&JournalEntry<'a>, &str) -> bool,
        seen: impl Fn(&str) -> Option<u16>,
        ended: impl Fn(&str) -> Option<Duration>,
    ) {
        for (id, entries) in &mut self.by_id {
            let (all, seen, ended) = (entries.clone(), seen(id), ended(id));
            entries.retain(|one| {
                let asks = one.record.up.bytes == 0 && matches!(one.record.method.as_str(), "CONNECT" | "HEAD");
                let answered = |other: &JournalEntry<'_>| seen.is_some() && other.record.status == seen;
                let opened_before = |other: &JournalEntry<'_>| {
                    let tunnel = one.record.method == "CONNECT";
                    // A page is as good as open whatever its target says of it, but for what gateways say in its place.
                    let success = |status: u16| match tunnel {
                        true => matches!(status, 101 | 200..300),
                        false => !matches!(status, 407 | 502..=504),
                    };
                    let opened = match other.record.status {
                        // An answer that came too late opened nothing: what the client saw is another's. Whatever opens a tunnel is a 200 to
                        // its client.
                        Some(status) => {
                            success(status) && seen.is_none_or(|seen| seen == status || tunnel && success(seen))
                        }
                        // What a fault wrote in the place of an answer was taken for one, unless another gave that answer.
                        None => {
                            !other.record.faults.is_empty() && seen.is_some_and(success) && !all.iter().any(answered)
                        }
                    };
                    opened && other.host != one.host && other.since <= one.since && other.line != one.line
                };
                // A fault that answers may have struck the very request whose client got that answer, if it came before that.
                let in_time = ended.is_none_or(|ended| one.since <= ended);
                let by_a_fault = one.reply_came_first || !one.record.faults.is_empty();
                let struck = one.is_success() && by_a_fault && in_time;
                !(asks && ((!struck && all.iter().any(opened_before)) || strange(one, id)))
            });
        }
    }

    /// What upstreams wrote down of the request with `id`.
    pub fn of(&self, id: &str) -> &[JournalEntry<'a>] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }

    /// How many entries carry `id`, those that were set aside too.
    pub fn mentions(&self, id: &str) -> usize {
        let all = self.by_host.values().flat_map(|journal| &journal.requests);
        all.filter(|entry| entry.record.id.as_deref() == Some(id)).count()
    }

    /// How many entries carry an id, those that were set aside too, for each id.
    pub fn all_mentions(&self) -> BTreeMap<&'a str, usize> {
        let ids =
            self.by_host.values().flat_map(|journal| &journal.requests).filter_map(|entry| entry.record.id.as_deref());
        ids.fold(BTreeMap::new(), |mut all, id| {
            *all.entry(id).or_default() += 1;
            all
        })
    }

    /// The requests that upstreams wrote down, by id.
    pub fn by_id(&self) -> impl Iterator<Item = (&'a str, &[JournalEntry<'a>])> {
        self.by_id.iter().map(|(id, entries)| (*id, entries.as_slice()))
    }

    /// What the upstream on `host` wrote down.
    pub fn at(&self, host: &str) -> Option<&HostJournal<'a>> {
        self.by_host.get(host)
    }
}

impl<'a> HostJournal<'a> {
    /// The connection with this number of the present process.
    fn connection(&mut self, number: u64) -> Option<&mut Connection<'a>> {
        self.places.get(&number).and_then(|place| self.connections.get_mut(*place))
    }
}

impl JournalEntry<'_> {
    /// Whether it was answered with a success.
    pub fn is_success(&self) -> bool {
        self.record.status.is_some_and(|status| matches!(status, 101 | 200..300))
    }
}

//! The wire carries packets from the host that sends them to the host that receives them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use turmoil_net::{EnterGuard, Packet, TcpFlags, TcpSegment, Transport};

use super::hosts::Hosts;
use crate::world::link::{Gate, Link, LinkChange};
use crate::world::simulated::chance::Dice;

/// If more flows than this are remembered, those without a packet under way are forgotten.
const FLOWS_KEPT: usize = 1024;
const MILLION: u32 = 1_000_000;

/// One direction of a connection: the address of the sender and the address of the receiver.
type Flow = (SocketAddr, SocketAddr);

/// When a packet arrives: its time, then its lot, then its number. Lots are drawn, and order the packets of the same time. If no lots are
/// drawn, the packet that was sent first arrives first.
type Due = (Duration, u32, u64);

/// All packets under way, and the links they take.
pub(super) struct Wire {
    usual: Link,
    links: BTreeMap<(IpAddr, IpAddr), LinkState>,
    random: ChaCha8Rng,
    /// Packets, in the order in which they will arrive.
    under_way: BTreeMap<Due, Packet>,
    sent: u64,
    /// When the last packet of each flow is due, and its lot. The next packets of the flow are not delivered before it.
    last_due: BTreeMap<Flow, (Duration, u32)>,
    /// Connections that are to be reset, once the bytes that were written before are under way.
    resets: Vec<Flow>,
    /// Resets that answer on behalf of ports without a listener, and of sockets that were closed.
    refusals: Vec<Packet>,
    /// Flows whose receiver has closed its socket. New data on them is answered with a reset.
    closed: BTreeSet<Flow>,
    egress: Vec<Packet>,
    lost: bool,
}

struct LinkState {
    link: Link,
    /// When the link will have carried everything that was sent so far, at its bandwidth.
    free_at: Duration,
    held: Vec<Packet>,
    /// The newest acknowledgement of each flow that was lost in a partition. It is delivered when the partition ends, because the
    /// kernel, unlike a real one, never asks for it again.
    last_acks: BTreeMap<Flow, Packet>,
}

impl Wire {
    pub(super) fn new(usual: Link, seed: u64) -> Self {
        Wire {
            usual,
            links: BTreeMap::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            under_way: BTreeMap::new(),
            sent: 0,
            last_due: BTreeMap::new(),
            resets: Vec::new(),
            refusals: Vec::new(),
            closed: BTreeSet::new(),
            egress: Vec::new(),
            lost: false,
        }
    }

    fn link(&mut self, from: IpAddr, to: IpAddr) -> &mut LinkState {
        let usual = self.usual;
        self.links.entry((from, to)).or_insert_with(|| LinkState {
            link: usual,
            free_at: Duration::ZERO,
            held: Vec::new(),
            last_acks: BTreeMap::new(),
        })
    }

    pub(super) fn change(&mut self, now: Duration, (from, to): (IpAddr, IpAddr), change: LinkChange, dice: &mut Dice) {
        let state = self.link(from, to);
        state.link.apply(change);
        if state.link.gate == Gate::Open {
            let waiting = std::mem::take(&mut state.held);
            let acks = std::mem::take(&mut state.last_acks);
            for packet in waiting.into_iter().chain(acks.into_values()) {
                self.send(now, packet, dice);
            }
        }
    }

    /// Whether a reset waits for the next step. Nothing else does: what a packet has hosts answer leaves in the pass that delivers it, and
    /// what it has tasks do, they do at once.
    pub(super) fn resets_wait(&self) -> bool {
        !self.resets.is_empty() || !self.refusals.is_empty()
    }

    pub(super) fn has_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn forget_losses(&mut self) {
        self.lost = false;
    }

    /// When the next packet is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.under_way.keys().next().map(|(due, ..)| *due)
    }

    /// Notes that `local` has closed its socket, so it will not read what `peer` still sends.
    pub(super) fn closed(&mut self, local: SocketAddr, peer: SocketAddr) {
        self.closed.insert((peer, local));
    }

    /// Resets the connection between `local` and `peer`. The reset follows what `local` has written so far.
    pub(super) fn reset(&mut self, local: SocketAddr, peer: SocketAddr) {
        self.resets.push((local, peer));
    }

    /// Delivers the packets that are due, and takes the packets that hosts want to send. As many `steps` have gone by since it was last
    /// called: the kernel sends a lost segment again after a number of them.
    pub(super) fn pass(
        &mut self,
        now: Duration,
        steps: u32,
        guard: &EnterGuard,
        hosts: &Hosts,
        closed_ports: &[SocketAddr],
        dice: &mut Dice,
    ) {
        // When a reset arrives, the kernel drops the bytes that were not read yet, while a real one lets them be read. So
        // a reset that is due together with data is delivered one step later.
        let mut fresh: BTreeSet<Flow> = BTreeSet::new();
        let mut late = Vec::new();
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let packet = entry.remove();
            if let Some((flow, segment)) = tcp(&packet) {
                if segment.flags.rst && fresh.contains(&flow) {
                    late.push(packet);
                    continue;
                }
                if !segment.payload.is_empty() {
                    fresh.insert(flow);
                }
            }
            self.deliver(guard, packet, closed_ports);
        }
        for packet in late {
            self.sent += 1;
            self.under_way.insert((now, u32::MAX, self.sent), packet);
        }
        let mut egress = std::mem::take(&mut self.egress);
        let passes = if self.lost { steps.max(1) } else { 1 };
        for _ in 0..passes {
            guard.egress_all(&mut egress);
        }
        egress.append(&mut self.refusals);
        for (local, peer) in std::mem::take(&mut self.resets) {
            // The program has dropped the socket, so the kernel sends a FIN. The reset takes the place of that FIN.
            let orderly = |(flow, segment): (Flow, &TcpSegment)| flow == (local, peer) && segment.flags.fin;
            egress.retain(|packet| !tcp(packet).is_some_and(orderly));
            guard.deliver(reset(peer, local));
            egress.push(reset(local, peer));
        }
        for packet in egress.drain(..) {
            if hosts.is_at(packet.dst) {
                self.send(now, packet, dice);
            } else {
                self.lost = true;
            }
        }
        self.egress = egress;
        if self.last_due.len() > FLOWS_KEPT {
            self.last_due.retain(|_, (due, _)| *due > now);
        }
    }

    fn deliver(&mut self, guard: &EnterGuard, packet: Packet, closed_ports: &[SocketAddr]) {
        if let Some((flow, segment)) = tcp(&packet) {
            let (from, to) = flow;
            if segment.flags.syn && !segment.flags.ack {
                self.closed.remove(&flow);
                if closed_ports.contains(&to) {
                    self.refusals.push(answer_to_syn(from, to, segment));
                    return;
                }
            } else if segment.flags.rst {
                self.closed.remove(&flow);
                // If both directions have ended, there is nothing to reset, but the kernel would drop the bytes that were
                // not read yet. Such a reset answers a segment that was sent twice, to a host that had already closed.
                if unread(to, from).is_none() {
                    return;
                }
            } else if !segment.payload.is_empty() && self.closed.contains(&flow) {
                guard.deliver(packet);
                // A segment that was read before the close may arrive a second time. The kernel ignores it, so nothing is
                // unread then, and no reset is sent.
                if unread(to, from).is_some_and(|bytes| bytes > 0) {
                    self.closed.remove(&flow);
                    guard.deliver(reset(from, to));
                    self.refusals.push(reset(to, from));
                }
                return;
            }
        }
        guard.deliver(packet);
    }

    fn send(&mut self, now: Duration, packet: Packet, dice: &mut Dice) {
        let Link { latency, jitter, loss_ppm, reorder_ppm, reorder_by, bandwidth, gate } =
            self.link(packet.src, packet.dst).link;
        match gate {
            Gate::Open => {}
            Gate::Cut => {
                self.lost = true;
                if let Some((flow, segment)) = tcp(&packet)
                    && is_pure_ack(segment)
                {
                    self.link(packet.src, packet.dst).last_acks.insert(flow, packet);
                }
                return;
            }
            Gate::Held => {
                self.lost = true;
                self.link(packet.src, packet.dst).held.push(packet);
                return;
            }
        }
        let spared = tcp(&packet).is_some_and(|(_, segment)| is_pure_ack(segment));
        if loss_ppm > 0 && !spared && self.random.next_u32() % MILLION < loss_ppm {
            self.lost = true;
            return;
        }
        let (mut due, mut lot) = (now + latency, dice.lot());
        if !jitter.is_zero() {
            let most = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX - 1);
            due += Duration::from_micros(self.random.next_u64() % (most + 1));
        }
        if reorder_ppm > 0 && self.random.next_u32() % MILLION < reorder_ppm {
            due += reorder_by;
        }
        if let Some(rate) = bandwidth {
            let takes = Duration::from_nanos(u64::from(packet.size()) * 1_000_000_000 / rate.get());
            let state = self.link(packet.src, packet.dst);
            state.free_at = state.free_at.max(now) + takes;
            due += state.free_at - now;
        }
        if let Some((flow, _)) = tcp(&packet) {
            let last = self.last_due.entry(flow).or_default();
            (due, lot) = (due, lot).max(*last);
            *last = (due, lot);
        }
        self.sent += 1;
        self.under_way.insert((due, lot, self.sent), packet);
    }
}

fn tcp(packet: &Packet) -> Option<(Flow, &TcpSegment)> {
    match &packet.payload {
        Transport::Tcp(segment) => {
            let from = SocketAddr::new(packet.src, segment.src_port);
            Some(((from, SocketAddr::new(packet.dst, segment.dst_port)), segment))
        }
        Transport::Udp(_) => None,
    }
}

fn is_pure_ack(segment: &TcpSegment) -> bool {
    let TcpFlags { syn, fin, rst, ack, .. } = segment.flags;
    ack && !syn && !fin && !rst && segment.payload.is_empty()
}

fn reset(from: SocketAddr, to: SocketAddr) -> Packet {
    segment(from, to, 0, 0, TcpFlags { rst: true, ..TcpFlags::default() })
}

/// The reset that answers a SYN to a port where nobody listens (RFC 9293 section 3.5.2).
fn answer_to_syn(from: SocketAddr, to: SocketAddr, syn: &TcpSegment) -> Packet {
    segment(to, from, 0, syn.seq.wrapping_add(1), TcpFlags { rst: true, ack: true, ..TcpFlags::default() })
}

fn segment(from: SocketAddr, to: SocketAddr, seq: u32, ack: u32, flags: TcpFlags) -> Packet {
    let segment =
        TcpSegment { src_port: from.port(), dst_port: to.port(), seq, ack, flags, window: 0, payload: Bytes::new() };
    Packet { src: from.ip(), dst: to.ip(), ttl: 64, payload: Transport::Tcp(segment) }
}

/// How many bytes from `peer` have arrived at `local` and were not read. `None` if they have no connection, or if both of its
/// directions have ended.
fn unread(local: SocketAddr, peer: SocketAddr) -> Option<usize> {
    let entries = turmoil_net::netstat(local.ip()).entries;
    entries.iter().find(|entry| entry.local == local && entry.peer == Some(peer)).map(|entry| entry.recv_q)
}

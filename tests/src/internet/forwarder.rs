//! The thread that forwards the packets.

use super::{
    packet,
    table::{RoutingTable, lock},
};
use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
    time::Instant,
};
use tun_rs::SyncDevice;

/// Largest number of packets in transit; further ones are dropped, as by a router with full queues.
const QUEUE: usize = 16_384;
/// Largest number of packets read from one port before the other ports are served.
const BURST: usize = 64;

/// A packet in transit, ordered by the time of its delivery.
struct QueuedPacket {
    at: Instant,
    /// Keeps packets with equal times in the order of their arrival.
    number: u64,
    to: usize,
    bytes: Box<[u8]>,
}

impl PartialEq for QueuedPacket {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for QueuedPacket {}

impl PartialOrd for QueuedPacket {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for QueuedPacket {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Reads packets from the hosts' devices, and delivers each after its delay.
pub(super) struct Forwarder {
    ports: Vec<SyncDevice>,
    table: Arc<Mutex<RoutingTable>>,
    /// Becomes readable when the forwarder must stop.
    stopped: OwnedFd,
    in_transit: BinaryHeap<Reverse<QueuedPacket>>,
    /// Delivery time of the latest packet between two ports, at index `from * ports + to`.
    latest: Vec<Option<Instant>>,
    number: u64,
    buffer: Box<[u8]>,
}

impl Forwarder {
    pub(super) fn new(ports: Vec<SyncDevice>, table: Arc<Mutex<RoutingTable>>, stopped: OwnedFd) -> Self {
        let latest = vec![None; ports.len() * ports.len()];
        let buffer = vec![0; 65_536].into_boxed_slice();
        Self { ports, table, stopped, in_transit: BinaryHeap::new(), latest, number: 0, buffer }
    }

    /// Forwards packets until the other end of the pipe is closed.
    pub(super) fn run(&mut self) -> io::Result<()> {
        loop {
            let Some(readable) = self.wait()? else { return Ok(()) };
            for from in readable {
                self.read(from);
            }
            self.deliver(Instant::now());
        }
    }

    /// Waits for packets or for the next delivery. Returns the readable ports, `None` to stop.
    fn wait(&self) -> io::Result<Option<Vec<usize>>> {
        let timeout = self
            .in_transit
            .peek()
            .map(|Reverse(next)| TimeSpec::from_duration(next.at.saturating_duration_since(Instant::now())));
        let mut fds: Vec<_> =
            self.ports.iter().map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN)).collect();
        fds.push(PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN));
        match ppoll(&mut fds, timeout, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
        if ready.next_back() == Some(true) {
            return Ok(None);
        }
        Ok(Some(ready.enumerate().filter_map(|(index, ready)| ready.then_some(index)).collect()))
    }

    fn read(&mut self, from: usize) {
        for _ in 0..BURST {
            // The device has no more packets, or is being removed.
            let Ok(length) = self.ports[from].recv(&mut self.buffer) else { return };
            self.route(from, length, Instant::now());
        }
    }

    /// Finds the destination of the packet in the buffer, and sends it or an ICMP error.
    fn route(&mut self, from: usize, length: usize, now: Instant) {
        let packet = &mut self.buffer[..length];
        let Some(destination) = packet::destination(packet) else { return };
        let Some(to) = lock(&self.table).find_route(from, destination) else { return };
        let (to, bytes) = if packet::decrement_ttl(packet) {
            (to, Box::from(&*packet))
        } else {
            let Some(error) = packet::time_exceeded(packet) else { return };
            (from, error.into_boxed_slice())
        };
        self.send(from, to, bytes, now);
    }

    /// Queues a packet for delivery after it has crossed both links, unless it is lost.
    fn send(&mut self, from: usize, to: usize, bytes: Box<[u8]>, now: Instant) {
        if self.in_transit.len() >= QUEUE {
            return;
        }
        let mut table = lock(&self.table);
        let Some(up) = table.links[from].cross_up() else { return };
        let Some(down) = table.links[to].cross_down() else { return };
        drop(table);
        let mut at = now + up.delay + down.delay;
        let latest = &mut self.latest[from * self.ports.len() + to];
        if up.in_order && down.in_order {
            at = latest.map_or(at, |latest| latest.max(at));
        }
        *latest = Some(at);
        self.number += 1;
        self.in_transit.push(Reverse(QueuedPacket { at, number: self.number, to, bytes }));
    }

    fn deliver(&mut self, now: Instant) {
        while self.in_transit.peek().is_some_and(|Reverse(next)| next.at <= now) {
            let Some(Reverse(packet)) = self.in_transit.pop() else { return };
            // A full or removed device loses the packet, as a full or unplugged interface would.
            let _ = self.ports[packet.to].send(&packet.bytes);
        }
    }
}

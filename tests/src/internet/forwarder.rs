//! The thread that moves the packets.

use super::{Table, lock, packet};
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

/// More packets than this under way are dropped, as a router with full queues does.
const QUEUE: usize = 16_384;
/// So many packets are read from one port before the others get their turn.
const BURST: usize = 64;

/// A packet under way.
struct Parcel {
    at: Instant,
    /// Keeps packets with equal times in order.
    number: u64,
    to: usize,
    bytes: Box<[u8]>,
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Reads, delays and delivers.
pub(super) struct Forwarder {
    ports: Vec<SyncDevice>,
    table: Arc<Mutex<Table>>,
    /// Becomes readable when it is time to stop.
    stopped: OwnedFd,
    under_way: BinaryHeap<Reverse<Parcel>>,
    /// When the latest packet from one port to another arrives, by `from * ports + to`.
    latest: Vec<Option<Instant>>,
    number: u64,
    buffer: Box<[u8]>,
}

impl Forwarder {
    pub(super) fn new(ports: Vec<SyncDevice>, table: Arc<Mutex<Table>>, stopped: OwnedFd) -> Self {
        let latest = vec![None; ports.len() * ports.len()];
        let buffer = vec![0; 65_536].into_boxed_slice();
        Self { ports, table, stopped, under_way: BinaryHeap::new(), latest, number: 0, buffer }
    }

    /// Forwards until told to stop.
    pub(super) fn run(&mut self) -> io::Result<()> {
        loop {
            let Some(readable) = self.wait()? else { return Ok(()) };
            for from in readable {
                self.read(from);
            }
            self.deliver(Instant::now());
        }
    }

    /// Waits for packets or for the next delivery; `None` when it is time to stop.
    fn wait(&self) -> io::Result<Option<Vec<usize>>> {
        let timeout = self
            .under_way
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
            // No more to read, or the device is going away: either way there is nothing to forward.
            let Ok(length) = self.ports[from].recv(&mut self.buffer) else { return };
            self.accept(from, length, Instant::now());
        }
    }

    fn accept(&mut self, from: usize, length: usize, now: Instant) {
        let packet = &mut self.buffer[..length];
        let Some(destination) = packet::destination(packet) else { return };
        let Some(to) = lock(&self.table).route(from, destination) else { return };
        let (to, bytes) = if packet::age(packet) {
            (to, Box::from(&*packet))
        } else {
            // Its life ends here, and its sender hears so.
            let Some(answer) = packet::time_exceeded(packet) else { return };
            (from, answer.into_boxed_slice())
        };
        self.send(from, to, bytes, now);
    }

    /// Lets a packet cross both links, unless it gets lost.
    fn send(&mut self, from: usize, to: usize, bytes: Box<[u8]>, now: Instant) {
        if self.under_way.len() >= QUEUE {
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
        self.under_way.push(Reverse(Parcel { at, number: self.number, to, bytes }));
    }

    fn deliver(&mut self, now: Instant) {
        while self.under_way.peek().is_some_and(|Reverse(next)| next.at <= now) {
            let Some(Reverse(parcel)) = self.under_way.pop() else { return };
            // A full or vanished device loses the packet, as a full or unplugged interface would.
            let _ = self.ports[parcel.to].send(&parcel.bytes);
        }
    }
}

//! A Richards-like simulation of ours: an operating system's kernel that schedules an idle task, a
//! worker, handlers and devices, which pass packets through queues. Dynamic dispatch, short methods
//! and index-linked lists, as in object-oriented programs.

use guest_crates::{Checksum, measure};
use std::collections::VecDeque;
use std::process::ExitCode;

/// What travels between tasks: an index into the kernel's packets.
type PacketId = usize;

/// A unit of work or of device traffic.
struct Packet {
    is_work: bool,
    owner: usize,
    datum: usize,
    data: [u8; 4],
}

/// Whether a task may run.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Ready,
    Waiting,
    Held,
}

/// What a task wants after one step.
enum Step {
    /// Wake me when a packet arrives.
    Wait,
    /// Do not run me until someone releases me.
    Hold,
    /// Release the task with this index, and run me again.
    Release(usize),
    /// Append the packet to that task's queue, and run me again.
    Send(usize, PacketId),
}

/// A task's behaviour; `packet` is what arrived, if anything.
trait Behaviour {
    fn step(&mut self, packet: Option<PacketId>, packets: &mut [Packet]) -> Step;
}

const IDLE: usize = 0;
const WORKER: usize = 1;
const HANDLERS: [usize; 2] = [2, 3];
const DEVICES: [usize; 2] = [4, 5];

/// Releases the devices in an order that a shift register decides.
struct Idle {
    register: u32,
    left: u32,
}

impl Behaviour for Idle {
    fn step(&mut self, _: Option<PacketId>, _: &mut [Packet]) -> Step {
        if self.left == 0 {
            return Step::Hold;
        }
        self.left -= 1;
        let odd = self.register & 1;
        self.register >>= 1;
        if odd == 1 {
            self.register ^= 0xD008;
        }
        Step::Release(DEVICES[odd as usize])
    }
}

/// Fills work packets with letters and sends them to the handlers in turn.
struct Worker {
    handler: usize,
    letter: u8,
}

impl Behaviour for Worker {
    fn step(&mut self, packet: Option<PacketId>, packets: &mut [Packet]) -> Step {
        let Some(id) = packet else { return Step::Wait };
        self.handler ^= 1;
        let packet = &mut packets[id];
        packet.datum = 0;
        for slot in &mut packet.data {
            self.letter = if self.letter == b'Z' { b'A' } else { self.letter + 1 };
            *slot = self.letter;
        }
        Step::Send(HANDLERS[self.handler], id)
    }
}

/// Copies the bytes of work packets into device packets, one byte each.
struct Handler {
    device: usize,
    work: VecDeque<PacketId>,
    traffic: VecDeque<PacketId>,
}

impl Behaviour for Handler {
    fn step(&mut self, packet: Option<PacketId>, packets: &mut [Packet]) -> Step {
        if let Some(id) = packet {
            let queue = if packets[id].is_work { &mut self.work } else { &mut self.traffic };
            queue.push_back(id);
        }
        let Some(&work) = self.work.front() else { return Step::Wait };
        let datum = packets[work].datum;
        if datum >= packets[work].data.len() {
            self.work.pop_front();
            return Step::Send(WORKER, work);
        }
        let Some(traffic) = self.traffic.pop_front() else { return Step::Wait };
        packets[traffic].datum = packets[work].data[datum] as usize;
        packets[work].datum += 1;
        Step::Send(self.device, traffic)
    }
}

/// Holds a packet until it is released, then sends it back to its owner.
struct Device {
    pending: Option<PacketId>,
}

impl Behaviour for Device {
    fn step(&mut self, packet: Option<PacketId>, packets: &mut [Packet]) -> Step {
        match (packet, self.pending.take()) {
            (Some(id), None) => {
                self.pending = Some(id);
                Step::Hold
            }
            (None, Some(id)) => Step::Send(packets[id].owner, id),
            (Some(id), Some(done)) => {
                self.pending = Some(id);
                Step::Send(packets[done].owner, done)
            }
            (None, None) => Step::Wait,
        }
    }
}

/// A task as the scheduler sees it.
struct Task {
    behaviour: Box<dyn Behaviour>,
    state: State,
    queue: VecDeque<PacketId>,
}

/// Runs the whole system until the idle task has used up its `releases`.
fn simulate(releases: u32, checksum: &mut Checksum) {
    let mut packets = Vec::new();
    let task = |behaviour: Box<dyn Behaviour>| Task { behaviour, state: State::Ready, queue: VecDeque::new() };
    let handler = |device| Handler { device, work: VecDeque::new(), traffic: VecDeque::new() };
    let mut tasks = [
        task(Box::new(Idle { register: 1, left: releases })),
        task(Box::new(Worker { handler: 0, letter: b'A' })),
        task(Box::new(handler(DEVICES[0]))),
        task(Box::new(handler(DEVICES[1]))),
        task(Box::new(Device { pending: None })),
        task(Box::new(Device { pending: None })),
    ];
    let mut add = |is_work, owner, queue: &mut VecDeque<PacketId>| {
        queue.push_back(packets.len());
        packets.push(Packet { is_work, owner, datum: 0, data: [0; 4] });
    };
    for _ in 0..4 {
        add(true, WORKER, &mut tasks[WORKER].queue);
    }
    for handler in HANDLERS {
        for _ in 0..3 {
            add(false, handler, &mut tasks[handler].queue);
        }
    }

    let (mut switches, mut sent, mut held) = (0u64, 0u64, 0u64);
    // Later tasks have priority: devices, then handlers, then the worker; the idle task runs last.
    while let Some(current) = (0..tasks.len()).rev().find(|&index| {
        let task = &tasks[index];
        task.state == State::Ready || (task.state == State::Waiting && !task.queue.is_empty())
    }) {
        switches += 1;
        let task = &mut tasks[current];
        let packet = task.queue.pop_front();
        let step = task.behaviour.step(packet, &mut packets);
        task.state = State::Ready;
        match step {
            Step::Wait => task.state = State::Waiting,
            Step::Hold => {
                held += 1;
                task.state = State::Held;
            }
            Step::Release(other) => {
                if tasks[other].state == State::Held {
                    tasks[other].state = State::Ready;
                }
            }
            Step::Send(other, id) => {
                sent += 1;
                checksum.word((packets[id].datum << 8 | other) as u64);
                tasks[other].queue.push_back(id);
            }
        }
        debug_assert!(current != IDLE || packet.is_none(), "nobody sends to the idle task");
    }
    for number in [switches, sent, held] {
        checksum.word(number);
    }
}

fn main() -> ExitCode {
    measure(40, |index, checksum| {
        let extra = u32::try_from(index % 100).expect("less than 100");
        simulate(100_000 + extra, checksum);
    })
}

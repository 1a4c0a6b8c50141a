//! `poll_oneoff`: waiting for clocks and descriptors.
//!
//! A subscription that cannot be waited for (a closed descriptor, a missing right, an unknown clock)
//! does not fail the call: it is an event of its own, with the error in it, and happens at once. All
//! other subscriptions are then looked at without waiting.

use super::clock::{clock, now};
use crate::descriptor::{Descriptor, Object};
use crate::types::{Event, EventRwFlags, FileType, Rights, SubclockFlags, Subscription, SubscriptionKind};
use crate::{Errno, GuestMemory, WasiCtx};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::ClockId;

/// The most subscriptions in one call. It bounds what the host allocates, and is above any sensible
/// number of open files.
const MAX_SUBSCRIPTIONS: u32 = 1 << 14;

/// Waits until one of the `count` subscriptions at `subscriptions` happens, writes the events that
/// have happened by then at `events`, which has room for as many, and their number at `nevents`.
///
/// # Errors
/// [`Errno::Inval`] for no subscription, more than 16,384, or one of an unknown kind; [`Errno::Intr`] if a
/// signal came first.
pub fn poll_oneoff(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
) -> Result<(), Errno> {
    poll_records(ctx, memory, subscriptions, events, count, nevents, Subscription::from_bytes)
}

/// [`poll_oneoff`] with subscriptions of `N` bytes that `decode` understands.
pub(crate) fn poll_records<const N: usize>(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
    decode: impl Fn(&[u8; N]) -> Result<Subscription, Errno>,
) -> Result<(), Errno> {
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return Err(Errno::Inval);
    }
    memory.check(nevents, 4)?;
    memory.check(events, count * Event::SIZE)?;
    let (records, _) = memory.slice(subscriptions, count * u32::try_from(N)?)?.as_chunks::<N>();
    let mut waiting = Waiting::default();
    for record in records {
        waiting.add(ctx, decode(record)?);
    }
    let happened = waiting.wait()?;
    let mut place = events;
    for event in &happened {
        memory.write(place, &event.to_bytes())?;
        place = place.checked_add(Event::SIZE).ok_or(Errno::Fault)?;
    }
    memory.write_u32(nevents, u32::try_from(happened.len())?)
}

/// A clock subscription: the event it becomes, and when.
struct Alarm {
    event: Event,
    clock: ClockId,
    /// Nanoseconds on the clock.
    time: u64,
}

/// All that one call waits for.
#[derive(Default)]
struct Waiting<'a> {
    happened: Vec<Event>,
    alarms: Vec<Alarm>,
    /// What to ask the host for; `subscribers` has the subscription and descriptor of each.
    polled: Vec<PollFd<'a>>,
    subscribers: Vec<(Event, &'a Descriptor)>,
}

impl<'a> Waiting<'a> {
    /// Starts to wait for a subscription.
    fn add(&mut self, ctx: &'a WasiCtx, subscription: Subscription) {
        let event = Event {
            userdata: subscription.userdata,
            error: None,
            tag: subscription.kind.tag(),
            bytes: 0,
            flags: EventRwFlags::empty(),
        };
        let added = match subscription.kind {
            SubscriptionKind::Clock { id, timeout, flags } => self.add_alarm(event, id, timeout, flags),
            SubscriptionKind::FdRead(fd) => self.add_fd(ctx, event, fd, Rights::FD_READ),
            SubscriptionKind::FdWrite(fd) => self.add_fd(ctx, event, fd, Rights::FD_WRITE),
        };
        if let Err(error) = added {
            self.happened.push(Event { error: Some(error), ..event });
        }
    }

    fn add_alarm(&mut self, event: Event, id: u32, timeout: u64, flags: SubclockFlags) -> Result<(), Errno> {
        let clock = clock(id)?;
        if !matches!(clock, ClockId::Realtime | ClockId::Monotonic) {
            return Err(Errno::Notsup);
        }
        let start = if flags.contains(SubclockFlags::ABSTIME) { 0 } else { now(clock) };
        self.alarms.push(Alarm { event, clock, time: start.saturating_add(timeout) });
        Ok(())
    }

    fn add_fd(&mut self, ctx: &'a WasiCtx, event: Event, fd: u32, right: Rights) -> Result<(), Errno> {
        let descriptor = ctx.table.get(fd)?;
        let acceptable =
            matches!(descriptor.object, Object::Listener(_)) && descriptor.base.contains(Rights::SOCK_ACCEPT);
        if !acceptable {
            descriptor.require(right)?;
        }
        descriptor.require(Rights::POLL_FD_READWRITE)?;
        let reads = right == Rights::FD_READ;
        match descriptor.host_fd() {
            Some(host) => {
                let flags = if reads { PollFlags::IN } else { PollFlags::OUT };
                self.polled.push(PollFd::from_borrowed_fd(host, flags));
                self.subscribers.push((event, descriptor));
            }
            None => {
                let bytes = if reads { readable(descriptor) } else { WRITABLE };
                self.happened.push(Event { bytes, ..event });
            }
        }
        Ok(())
    }

    /// Waits until something has happened, and returns all that has.
    fn wait(mut self) -> Result<Vec<Event>, Errno> {
        loop {
            let timeout = self.timeout();
            poll(&mut self.polled, timeout.as_ref())?;
            for (polled, (event, descriptor)) in self.polled.iter().zip(&self.subscribers) {
                if !polled.revents().is_empty() {
                    self.happened.push(ready(*event, descriptor, polled.revents()));
                }
            }
            let due = self.alarms.iter().filter(|alarm| now(alarm.clock) >= alarm.time);
            self.happened.extend(due.map(|alarm| alarm.event));
            if !self.happened.is_empty() {
                return Ok(self.happened);
            }
        }
    }

    /// How long to wait: not at all once something has happened, and for ever without a clock.
    fn timeout(&self) -> Option<Timespec> {
        let left = |alarm: &Alarm| alarm.time.saturating_sub(now(alarm.clock));
        let shortest = if self.happened.is_empty() { self.alarms.iter().map(left).min()? } else { 0 };
        let duration = std::time::Duration::from_nanos(shortest);
        Some(Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        })
    }
}

/// How many bytes can be written to what is ready: the host does not say, but one it is.
const WRITABLE: u64 = 1;

/// The event of a descriptor that is ready.
fn ready(event: Event, descriptor: &Descriptor, state: PollFlags) -> Event {
    if state.contains(PollFlags::NVAL) {
        return Event { error: Some(Errno::Badf), ..event };
    }
    let bytes = if state.contains(PollFlags::IN) {
        readable(descriptor)
    } else if state.contains(PollFlags::OUT) {
        WRITABLE
    } else {
        0
    };
    let gone = state.intersects(PollFlags::HUP | PollFlags::ERR);
    let flags = if gone { EventRwFlags::HANGUP } else { EventRwFlags::empty() };
    Event { bytes, flags, ..event }
}

/// How many bytes can be read without waiting, as far as the host tells.
fn readable(descriptor: &Descriptor) -> u64 {
    match &descriptor.object {
        Object::File(open) if open.file_type == FileType::RegularFile => {
            let size = rustix::fs::fstat(&open.file).map_or(0, |stat| stat.st_size);
            let position = rustix::fs::tell(&open.file).unwrap_or(0);
            u64::try_from(size).unwrap_or(0).saturating_sub(position)
        }
        Object::Input(stream) if stream.host_fd().is_none() => u64::try_from(stream.available()).unwrap_or(u64::MAX),
        _ => descriptor.host_fd().and_then(|host| rustix::io::ioctl_fionread(host).ok()).unwrap_or(0),
    }
}

//! Messages that wait for a connection, and are cut into frames for it.
//!
//! Small messages go before the frames of large ones, but leave them room; so neither waits for all
//! of the other kind.

use std::collections::VecDeque;

use super::decision::Ticket;
use super::frame::{CHUNK, Header, Topic};
use super::payload::Payload;

/// Milliseconds after which what the peer could not take is sent again.
const PAUSE: u64 = 50;

#[derive(Debug)]
struct Message {
    ticket: Ticket,
    topic: Topic,
    /// Which one of its connection.
    number: u64,
    bytes: Payload,
}

impl Message {
    fn frame(&self, offset: usize) -> Vec<u8> {
        let end = self.bytes.len().min(offset + CHUNK);
        let header = Header {
            topic: self.topic,
            message: self.number,
            // `push` takes none that is larger.
            total: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
        };
        header.encode(self.bytes.between(offset, end))
    }
}

/// What the peer says to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has it.
    Taken,
    /// It cannot take it now: its message is to come again, from its beginning.
    Later,
}

/// Frames that go together, before any of them is answered.
#[derive(Debug)]
pub struct Batch {
    /// Their bytes.
    pub frames: Vec<Vec<u8>>,
    /// Small messages among them come first.
    small: usize,
    /// Whether the last frame is also the last one of the large message.
    ends_large: bool,
}

/// What did not get through over a connection that is gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// They certainly were not delivered.
    pub not_sent: Vec<Ticket>,
    /// All of them was sent, and not answered.
    pub uncertain: Vec<Ticket>,
}

/// What waits for one connection.
#[derive(Debug, Default)]
pub struct Outgoing {
    small: VecDeque<Message>,
    large: VecDeque<Message>,
    /// Bytes of the first large message that the peer has.
    taken: usize,
    /// When each lane goes on, in milliseconds.
    small_from: u64,
    large_from: u64,
    /// Small messages that are sent, and not answered; and whether all of the large one is.
    in_flight: Vec<Message>,
    large_in_flight: bool,
    next: u64,
}

impl Outgoing {
    /// Takes a message. It must be of fewer than 2³² bytes.
    pub fn push(&mut self, ticket: Ticket, topic: Topic, bytes: impl Into<Payload>) {
        let bytes = bytes.into();
        debug_assert!(
            u32::try_from(bytes.len()).is_ok(),
            "bounded by whoever sends"
        );
        self.next += 1;
        let message = Message {
            ticket,
            topic,
            number: self.next,
            bytes,
        };
        if message.bytes.len() <= CHUNK {
            self.small.push_back(message);
        } else {
            self.large.push_back(message);
        }
    }

    /// What is to be sent next, of about so many bytes; `None` if there is nothing, or not yet. It has
    /// to be answered before there is more.
    pub fn next(&mut self, bytes: usize, now: u64) -> Option<Batch> {
        debug_assert!(
            self.in_flight.is_empty() && !self.large_in_flight,
            "answered first"
        );
        let mut batch = Batch {
            frames: Vec::new(),
            small: 0,
            ends_large: false,
        };
        let mut left = bytes;
        let has_large = !self.large.is_empty() && now >= self.large_from;
        if now >= self.small_from {
            let floor = if has_large { bytes / 2 } else { 0 };
            while left > floor
                && let Some(message) = self.small.pop_front()
            {
                left = left.saturating_sub(message.bytes.len().max(64));
                batch.frames.push(message.frame(0));
                batch.small += 1;
                self.in_flight.push(message);
            }
        }
        if has_large && let Some(message) = self.large.front() {
            let mut offset = self.taken;
            while left > 0 && offset < message.bytes.len() {
                batch.frames.push(message.frame(offset));
                offset += CHUNK;
                left = left.saturating_sub(CHUNK);
            }
            batch.ends_large = offset >= message.bytes.len();
            self.large_in_flight = batch.ends_large;
        }
        (!batch.frames.is_empty()).then_some(batch)
    }

    /// When there may be something to send; `None` if nothing waits.
    pub fn next_time(&self) -> Option<u64> {
        let small = (!self.small.is_empty()).then_some(self.small_from);
        let large = (!self.large.is_empty()).then_some(self.large_from);
        small.into_iter().chain(large).min()
    }

    /// The peer's answers to the frames of a batch, one for each. Gives what was delivered.
    pub fn answered(&mut self, batch: &Batch, answers: &[Answer], now: u64) -> Vec<Ticket> {
        debug_assert_eq!(batch.frames.len(), answers.len(), "one for each");
        let mut delivered = Vec::new();
        let (small, large) = answers.split_at(batch.small);
        let sent = self.in_flight.drain(..);
        let mut again = Vec::new();
        for (message, answer) in sent.zip(small) {
            match answer {
                Answer::Taken => delivered.push(message.ticket),
                Answer::Later => again.push(message),
            }
        }
        if !again.is_empty() {
            self.small_from = now + PAUSE;
            again
                .into_iter()
                .rev()
                .for_each(|message| self.small.push_front(message));
        }
        self.large_in_flight = false;
        if large.contains(&Answer::Later) {
            self.taken = 0;
            self.large_from = now + PAUSE;
        } else if batch.ends_large {
            self.taken = 0;
            delivered.extend(self.large.pop_front().map(|message| message.ticket));
        } else {
            self.taken += large.len() * CHUNK;
        }
        delivered
    }

    /// What there still was when the connection was lost.
    pub fn unfinished(self) -> Unfinished {
        let mut unfinished = Unfinished::default();
        let ticket = |message: Message| message.ticket;
        unfinished
            .uncertain
            .extend(self.in_flight.into_iter().map(ticket));
        let mut large = self.large;
        if self.large_in_flight {
            unfinished.uncertain.extend(large.pop_front().map(ticket));
        }
        unfinished
            .not_sent
            .extend(self.small.into_iter().chain(large).map(ticket));
        unfinished
    }
}

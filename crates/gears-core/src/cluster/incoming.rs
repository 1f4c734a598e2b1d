//! Frames of a connection, put together to messages.

use thiserror::Error;

use super::frame::{Frame, FrameError, Topic};

/// Memory for messages that come in: those that are not whole yet, and those that nobody has taken
/// out of the inbox. One for all connections.
#[derive(Debug)]
pub struct Memory {
    used: usize,
    /// Bytes.
    limit: usize,
}

impl Memory {
    /// Of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    /// Changes how much there is. What is in use stays.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    fn take(&mut self, bytes: usize) -> bool {
        // One message is always let in: it may be larger than all there is.
        let fits = self.used == 0 || self.used.saturating_add(bytes) <= self.limit;
        if fits {
            self.used += bytes;
        }
        fits
    }

    /// Gives back what a message took.
    pub fn give_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used, "more is given back than was taken");
        self.used = self.used.saturating_sub(bytes);
    }
}

/// Why a frame is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotTaken {
    /// It is none.
    #[error("not a frame: {0}")]
    Garbage(#[from] FrameError),
    /// Its message is larger than messages may be.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// There is no memory for its message now. It may come again later, from its beginning.
    #[error("no memory for the message now")]
    NoMemory,
    /// What comes before it is not here. The message may come again, from its beginning.
    #[error("what comes before is not here")]
    OutOfStep,
}

impl NotTaken {
    /// Whether the message may be sent again, from its beginning.
    pub fn may_come_again(self) -> bool {
        matches!(self, Self::NoMemory | Self::OutOfStep)
    }
}

#[derive(Debug)]
struct Partial {
    message: u64,
    topic: Topic,
    total: usize,
    bytes: Vec<u8>,
}

/// What came over a connection and is not a whole message yet. Large messages come one after the
/// other; small ones, of one frame, between the frames of a large one.
#[derive(Debug, Default)]
pub struct Incoming {
    partial: Option<Partial>,
}

impl Incoming {
    /// Takes a frame; gives the message, if it is whole with that. Its bytes are in use of the memory
    /// until they are given back.
    ///
    /// # Errors
    /// Why it is not taken. A connection that sends garbage is to be closed.
    pub fn take(
        &mut self,
        bytes: &[u8],
        memory: &mut Memory,
        message_max: usize,
    ) -> Result<Option<(Topic, Vec<u8>)>, NotTaken> {
        let Frame { header, data } = Frame::decode(bytes)?;
        let total = header.total as usize;
        let most = header.topic.most(message_max);
        if total > most {
            return Err(NotTaken::TooLarge(most));
        }
        if data.len() == total {
            if !memory.take(total) {
                return Err(NotTaken::NoMemory);
            }
            return Ok(Some((header.topic, data.to_vec())));
        }
        if header.offset == 0 {
            self.clear(memory);
            if !memory.take(total) {
                return Err(NotTaken::NoMemory);
            }
            let mut bytes = Vec::with_capacity(total);
            bytes.extend_from_slice(data);
            self.partial = Some(Partial {
                message: header.message,
                topic: header.topic,
                total,
                bytes,
            });
            return Ok(None);
        }
        let Some(partial) = self.partial.as_mut().filter(|partial| {
            (partial.message, partial.topic) == (header.message, header.topic)
                && (partial.total, partial.bytes.len()) == (total, header.offset as usize)
        }) else {
            return Err(NotTaken::OutOfStep);
        };
        partial.bytes.extend_from_slice(data);
        if partial.bytes.len() < total {
            return Ok(None);
        }
        Ok(self.partial.take().map(|whole| (whole.topic, whole.bytes)))
    }

    /// Forgets what is not whole: the connection is gone.
    pub fn clear(&mut self, memory: &mut Memory) {
        if let Some(partial) = self.partial.take() {
            memory.give_back(partial.total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{CHUNK, Header};
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1 << 20;

    fn frames(message: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        frames_about(Topic::Calls, message, bytes)
    }

    fn frames_about(topic: Topic, message: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        let total = u32::try_from(bytes.len()).unwrap();
        let part = |(offset, data)| {
            let header = Header {
                topic,
                message,
                total,
                offset,
            };
            header.encode([data, &[]])
        };
        let offsets = (0..).step_by(CHUNK);
        offsets.zip(bytes.chunks(CHUNK)).map(part).collect()
    }

    #[test]
    fn a_small_message_comes_between_the_parts_of_a_large_one() {
        let (mut incoming, mut memory) = (Incoming::default(), Memory::new(MAX));
        let large = frames(1, &vec![7; CHUNK + 1]);
        let small = frames(2, b"small");
        let mut take = |frame: &[u8]| incoming.take(frame, &mut memory, MAX);
        assert_eq!(take(&large[0]), Ok(None));
        assert_eq!(take(&small[0]), Ok(Some((Topic::Calls, b"small".to_vec()))));
        assert_eq!(
            take(&large[1]),
            Ok(Some((Topic::Calls, vec![7; CHUNK + 1])))
        );
        assert_eq!(take(&large[1]), Err(NotTaken::OutOfStep));
        assert_eq!(memory.used(), CHUNK + 1 + 5);
    }

    #[test]
    fn without_memory_a_message_waits_and_a_lost_one_gives_its_memory_back() {
        let (mut one, mut other) = (Incoming::default(), Incoming::default());
        let mut memory = Memory::new(3 * CHUNK);
        let large = frames(1, &vec![7; 2 * CHUNK]);
        assert_eq!(one.take(&large[0], &mut memory, MAX), Ok(None));
        assert_eq!(
            other.take(&large[0], &mut memory, MAX),
            Err(NotTaken::NoMemory)
        );
        // It comes again from its beginning: that takes no more.
        assert_eq!(one.take(&large[0], &mut memory, MAX), Ok(None));
        assert_eq!(memory.used(), 2 * CHUNK);
        one.clear(&mut memory);
        assert_eq!(memory.used(), 0);
        assert_eq!(other.take(&large[0], &mut memory, MAX), Ok(None));
        let too_large = one.take(&frames(1, &vec![7; 2 * CHUNK])[0], &mut memory, CHUNK);
        assert_eq!(too_large, Err(NotTaken::TooLarge(CHUNK)));
    }

    #[test]
    fn libraries_are_taken_however_small_other_messages_have_to_be() {
        let (mut incoming, mut memory) = (Incoming::default(), Memory::new(MAX));
        let large = vec![7; CHUNK + 1];
        let about = |topic| frames_about(topic, 1, &large);
        let mut take = |frame: &[u8]| incoming.take(frame, &mut memory, CHUNK);
        for topic in [Topic::Calls, Topic::Probe] {
            assert_eq!(take(&about(topic)[0]), Err(NotTaken::TooLarge(CHUNK)));
        }
        let library = about(Topic::Libraries);
        assert_eq!(take(&library[0]), Ok(None));
        assert_eq!(take(&library[1]), Ok(Some((Topic::Libraries, large))));
    }

    proptest! {
        #[test]
        fn whatever_comes_memory_is_kept_count_of(parts in prop::collection::vec((0_u64..3, 0_usize..6, 0_usize..4), 0..60)) {
            let (mut incoming, mut memory) = (Incoming::default(), Memory::new(6 * CHUNK));
            let mut held = Vec::new();
            for (message, size, at) in parts {
                let all = frames(message, &vec![u8::try_from(size).unwrap(); size * CHUNK + 1]);
                let taken = incoming.take(&all[at.min(all.len() - 1)], &mut memory, MAX);
                if let Ok(Some((_, bytes))) = taken {
                    // Nothing is put together of parts of different messages.
                    prop_assert!(bytes.len() % CHUNK == 1 && bytes.iter().all(|byte| usize::from(*byte) == bytes.len() / CHUNK));
                    held.push(bytes.len());
                }
                if held.len() > 1 {
                    memory.give_back(held.remove(0));
                }
                prop_assert!(memory.used() <= 6 * CHUNK || held.len() <= 1);
            }
            incoming.clear(&mut memory);
            prop_assert_eq!(memory.used(), held.iter().sum::<usize>());
        }
    }
}

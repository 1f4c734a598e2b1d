//! A part of a message, as bytes: what one command between nodes carries.
//!
//! ```text
//! version  topic  message  total  offset  data
//!    1       1       8       4      4     at most CHUNK; numbers are little-endian
//! ```

use thiserror::Error;

/// Bytes of a frame before its data.
pub const HEADER: usize = 18;

/// Bytes of a message in one frame, at most. The main thread takes frames one by one, between the
/// commands of clients; and a client that is not logged in may send no longer word.
pub const CHUNK: usize = 16 * 1024 - HEADER;

const VERSION: u8 = 1;

/// Bytes that a message about libraries may always have. The largest library takes less; and one that could not be sent
/// would never get to a shard that was away.
const LIBRARIES: usize = 65 << 20;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Remote functions.
    Calls,
    /// Libraries on all shards.
    Libraries,
    /// Nothing: somebody tries the way to another node.
    Probe,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Calls, Self::Libraries, Self::Probe];

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Libraries => "libraries",
            Self::Probe => "probe",
        }
    }

    /// Bytes that a message about it may have, where messages in general may have so many.
    pub(super) fn most(self, bytes: usize) -> usize {
        match self {
            Self::Libraries => bytes.max(LIBRARIES),
            Self::Calls | Self::Probe => bytes,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Calls => 1,
            Self::Libraries => 2,
            Self::Probe => 3,
        }
    }
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// They are too few.
    #[error("it is too short")]
    Short,
    /// They are of a release that has another form.
    #[error("it has version {0}")]
    Version(u8),
    /// They are about something that nobody knows here.
    #[error("it has topic {0}")]
    Topic(u8),
    /// Lengths contradict each other.
    #[error("its lengths contradict each other")]
    Lengths,
}

/// Which part of a message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) topic: Topic,
    /// Which message of its connection.
    pub(super) message: u64,
    /// Bytes of the whole message.
    pub(super) total: u32,
    /// Where in the message its data begins.
    pub(super) offset: u32,
}

impl Header {
    /// The frame with that data, which may be in two pieces.
    pub(super) fn encode(&self, data: [&[u8]; 2]) -> Vec<u8> {
        let [first, second] = data;
        let mut bytes = Vec::with_capacity(HEADER + first.len() + second.len());
        bytes.extend_from_slice(&[VERSION, self.topic.code()]);
        bytes.extend_from_slice(&self.message.to_le_bytes());
        bytes.extend_from_slice(&self.total.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        bytes
    }
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) header: Header,
    pub(super) data: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (header, data) = bytes.split_at_checked(HEADER).ok_or(FrameError::Short)?;
        if header[0] != VERSION {
            return Err(FrameError::Version(header[0]));
        }
        let topic = Topic::ALL
            .into_iter()
            .find(|topic| topic.code() == header[1]);
        let topic = topic.ok_or(FrameError::Topic(header[1]))?;
        let mut message = [0; 8];
        message.copy_from_slice(&header[2..10]);
        let number = |at: usize| {
            let mut number = [0; 4];
            number.copy_from_slice(&header[at..at + 4]);
            u32::from_le_bytes(number)
        };
        let header = Header {
            topic,
            message: u64::from_le_bytes(message),
            total: number(10),
            offset: number(14),
        };
        // Every part but the last one is full, and only a message without bytes has an empty one.
        let (total, offset) = (header.total as usize, header.offset as usize);
        let wanted = total.checked_sub(offset).map(|rest| rest.min(CHUNK));
        let is_whole = wanted == Some(data.len()) && (total == 0 || !data.is_empty());
        if is_whole && offset.is_multiple_of(CHUNK) {
            Ok(Self { header, data })
        } else {
            Err(FrameError::Lengths)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_is_read_as_it_was_written(
            message: u64, parts in 0_u32..5, rest in 0_usize..CHUNK, at in 0_u32..5, border: prop::sample::Index,
        ) {
            let chunk = u32::try_from(CHUNK).unwrap();
            let total = parts * chunk + u32::try_from(rest).unwrap();
            let offset = at.min(parts) * chunk;
            let data = vec![7; CHUNK.min((total - offset) as usize)];
            prop_assume!(total == 0 || !data.is_empty());
            let header = Header { topic: Topic::Probe, message, total, offset };
            let frame = Frame { header, data: &data };
            let (first, second) = data.split_at(border.index(data.len() + 1));
            let bytes = header.encode([first, second]);
            prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
            prop_assert!(Frame::decode(&[&bytes[..], b"x"].concat()).is_err());
            prop_assert!(Frame::decode(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn garbage_is_no_frame_and_harms_nobody(bytes: Vec<u8>) {
            if let Ok(frame) = Frame::decode(&bytes) {
                prop_assert_eq!(frame.header.encode([frame.data, &[]]), bytes);
            }
        }
    }
}

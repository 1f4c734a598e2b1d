//! What goes over the cluster bus: the token that its receiver shall show here.
//!
//! The bus loses messages, repeats them where links are made anew, and brings those of other modules:
//! what is no greeting is none. One that comes late names a token that is refused, and the answer to
//! that is to ask for another.

use super::ids::{ProcessId, Token};

const MAGIC: &[u8; 4] = b"RG2\x01";
const LENGTH: usize = MAGIC.len() + 1 + 16 + 32;

/// A greeting of a node to another one.
#[derive(Clone, Copy, Debug)]
pub struct Hello {
    /// The process that greets.
    pub process: ProcessId,
    /// What the receiver shall show to it.
    pub token: Token,
    /// Whether the sender lacks the receiver's token, and asks for it.
    pub wants: bool,
}

impl Hello {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(MAGIC);
        bytes.push(u8::from(self.wants));
        bytes.extend_from_slice(&self.process.0);
        bytes.extend_from_slice(&self.token.0);
        bytes
    }

    /// What the bytes are, if they are a greeting.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (wants, rest) = rest.split_first()?;
        let (process, token) = rest.split_at_checked(16)?;
        Some(Self {
            process: ProcessId(process.try_into().ok()?),
            token: Token(token.try_into().ok()?),
            wants: match wants {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_greeting_is_read_as_it_was_written(process: [u8; 16], token: [u8; 32], wants: bool) {
            let hello = Hello { process: ProcessId(process), token: Token(token), wants };
            let bytes = hello.encode();
            let read = Hello::decode(&bytes).unwrap();
            prop_assert_eq!((read.process, read.wants), (hello.process, wants));
            prop_assert!(read.token.is(hello.token.shown().as_bytes()));
            for cut in 0..bytes.len() {
                prop_assert!(Hello::decode(&bytes[..cut]).is_none());
            }
            let longer = [&bytes[..], b"x"].concat();
            prop_assert!(Hello::decode(&longer).is_none());
        }

        #[test]
        fn what_others_send_is_no_greeting(bytes: Vec<u8>) {
            prop_assume!(!bytes.starts_with(MAGIC));
            prop_assert!(Hello::decode(&bytes).is_none());
        }
    }
}

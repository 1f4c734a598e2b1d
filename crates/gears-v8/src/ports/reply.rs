//! What a command answers, and what a function returns: built as a value, sent at the end. So a
//! command that fails half-way has sent nothing.

use std::borrow::Cow;

/// A reply, in the types of RESP3. Clients that speak RESP2 get the server's own translation.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK` and the like.
    Simple(Cow<'static, str>),
    /// An error: the text as it is, on one line.
    Error(String),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// An integer.
    Integer(i64),
    /// A double; a bulk string for RESP2 clients.
    Double(f64),
    /// True or false; an integer for RESP2 clients.
    Bool(bool),
    /// A whole number of any size, in decimal digits; a bulk string for RESP2 clients.
    BigNumber(String),
    /// A text with its format; a bulk string for RESP2 clients.
    Verbatim {
        /// Three characters, such as `txt`.
        format: [u8; 3],
        /// The text.
        text: Vec<u8>,
    },
    /// Nothing.
    Null,
    /// An array.
    Array(Vec<Reply>),
    /// A set; an array for RESP2 clients.
    Set(Vec<Reply>),
    /// A map; a flat array for RESP2 clients.
    Map(Vec<(Reply, Reply)>),
}

impl Reply {
    /// `+OK`
    pub const OK: Self = Self::Simple(Cow::Borrowed("OK"));

    /// An error.
    #[expect(clippy::needless_pass_by_value, reason = "errors are given away")]
    pub fn error(text: impl ToString) -> Self {
        Self::Error(text.to_string())
    }

    /// A bulk string of a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Bulk(text.into().into_bytes())
    }

    /// An integer, cut off at the largest one there is.
    pub fn count(number: impl TryInto<i64>) -> Self {
        Self::Integer(number.try_into().unwrap_or(i64::MAX))
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let parts = match self {
            Self::Simple(text) => text.len(),
            Self::Error(text) | Self::BigNumber(text) => text.capacity(),
            Self::Bulk(bytes) | Self::Verbatim { text: bytes, .. } => bytes.capacity(),
            Self::Integer(_) | Self::Double(_) | Self::Bool(_) | Self::Null => 0,
            Self::Array(replies) | Self::Set(replies) => replies.iter().map(Self::memory).sum(),
            Self::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| key.memory() + value.memory())
                .sum(),
        };
        parts.saturating_add(size_of::<Self>())
    }

    /// A map of named fields.
    #[must_use]
    pub fn record(fields: Vec<(&'static str, Reply)>) -> Self {
        let named = fields
            .into_iter()
            .map(|(name, value)| (Self::text(name), value));
        Self::Map(named.collect())
    }
}

//! Reading what the server answers: RESP3, as the server itself writes it.
//!
//! A [`Reader`] gives one item after the other; the items of an aggregate follow its head. Input
//! that is no RESP ends the reading, and whatever it is, nothing here panics.

/// One item of a reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RespItem<'a> {
    /// `+OK`
    Simple(&'a [u8]),
    /// An error: code and message.
    Error(&'a [u8]),
    /// An integer.
    Integer(i64),
    /// A double.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// A whole number of any size, in decimal digits.
    BigNumber(&'a [u8]),
    /// A string of any bytes.
    Bulk(&'a [u8]),
    /// A text with its format.
    Verbatim {
        /// Three characters.
        format: &'a [u8],
        /// The text.
        text: &'a [u8],
    },
    /// Nothing.
    Null,
    /// So many items follow.
    Array(usize),
    /// So many items follow.
    Set(usize),
    /// So many pairs of items follow.
    Map(usize),
}

/// Reads a reply from its bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.0.windows(2).position(|two| two == b"\r\n")?;
        let (line, rest) = self.0.split_at(end);
        self.0 = &rest[2..];
        Some(line)
    }

    /// A line that is a number. Nearly every reply has one: it is read as its end is looked for.
    fn number(&mut self) -> Option<i64> {
        let (is_negative, mut rest) = match self.0 {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let before = rest.len();
        let mut number: i64 = 0;
        while let [byte, behind @ ..] = rest
            && byte.is_ascii_digit()
        {
            // What does not fit is read below.
            number = number.wrapping_mul(10).wrapping_add(i64::from(byte & 0xf));
            rest = behind;
        }
        let digits = before - rest.len();
        if (1..=DIGITS_THAT_FIT).contains(&digits)
            && let [b'\r', b'\n', behind @ ..] = rest
        {
            self.0 = behind;
            return Some(if is_negative { -number } else { number });
        }
        std::str::from_utf8(self.line()?).ok()?.parse().ok()
    }

    /// A string whose length the line tells.
    fn blob(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.bytes(length)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (blob, rest) = self.0.split_at_checked(length)?;
        self.0 = rest.strip_prefix(b"\r\n")?;
        Some(blob)
    }

    fn aggregate(&mut self, make: impl FnOnce(usize) -> RespItem<'a>) -> Option<RespItem<'a>> {
        Some(usize::try_from(self.number()?).map_or(RespItem::Null, make))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = RespItem<'a>;

    fn next(&mut self) -> Option<RespItem<'a>> {
        let (kind, rest) = self.0.split_first()?;
        self.0 = rest;
        match kind {
            b':' => self.number().map(RespItem::Integer),
            b'$' => match self.number()? {
                // RESP2's form of nothing.
                -1 => Some(RespItem::Null),
                length => self
                    .bytes(usize::try_from(length).ok()?)
                    .map(RespItem::Bulk),
            },
            b'+' => self.line().map(RespItem::Simple),
            b'*' | b'>' => self.aggregate(RespItem::Array),
            b'%' => self.aggregate(RespItem::Map),
            b'~' => self.aggregate(RespItem::Set),
            b'_' => self.line().map(|_| RespItem::Null),
            b'-' => self.line().map(RespItem::Error),
            b'!' => self.blob().map(RespItem::Error),
            b',' => std::str::from_utf8(self.line()?)
                .ok()?
                .parse()
                .ok()
                .map(RespItem::Double),
            b'#' => self.line().map(|line| RespItem::Bool(line == b"t")),
            b'(' => self.line().map(RespItem::BigNumber),
            b'=' => {
                let (format, text) = self.blob()?.split_at_checked(4)?;
                Some(RespItem::Verbatim {
                    format: &format[..3],
                    text,
                })
            }
            b'|' => {
                // Attributes ride in front of what they describe; nothing here asks for them.
                for _ in 0..self.number()?.checked_mul(2)? {
                    skip(self, 0)?;
                }
                self.next()
            }
            _ => None,
        }
    }
}

/// Aggregates within aggregates that are read; the server itself makes a handful.
pub const DEPTH_MAX: usize = 128;

fn skip(reader: &mut Reader<'_>, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let items = match reader.next()? {
        RespItem::Array(items) | RespItem::Set(items) => items,
        RespItem::Map(pairs) => pairs.checked_mul(2)?,
        _ => 0,
    };
    for _ in 0..items {
        skip(reader, depth + 1)?;
    }
    Some(())
}

/// Digits of a number that surely fits.
const DIGITS_THAT_FIT: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(bytes: &[u8]) -> Vec<RespItem<'_>> {
        Reader::new(bytes).collect()
    }

    #[test]
    fn every_type_is_read() {
        for (bytes, item) in [
            (&b"+OK\r\n"[..], RespItem::Simple(b"OK")),
            (b"-ERR no\r\n", RespItem::Error(b"ERR no")),
            (b"!6\r\nERR no\r\n", RespItem::Error(b"ERR no")),
            (b":-7\r\n", RespItem::Integer(-7)),
            (b",-0.5\r\n", RespItem::Double(-0.5)),
            (b",-inf\r\n", RespItem::Double(f64::NEG_INFINITY)),
            (b"#t\r\n", RespItem::Bool(true)),
            (b"#f\r\n", RespItem::Bool(false)),
            (b"(123\r\n", RespItem::BigNumber(b"123")),
            (b"$3\r\na\r\n\r\n", RespItem::Bulk(b"a\r\n")),
            (b"$-1\r\n", RespItem::Null),
            (b"*-1\r\n", RespItem::Null),
            (b"_\r\n", RespItem::Null),
            (b"*2\r\n", RespItem::Array(2)),
            (b">2\r\n", RespItem::Array(2)),
            (b"~2\r\n", RespItem::Set(2)),
            (b"%2\r\n", RespItem::Map(2)),
            (
                b"=5\r\ntxt:x\r\n",
                RespItem::Verbatim {
                    format: b"txt",
                    text: b"x",
                },
            ),
        ] {
            assert_eq!(items(bytes), [item], "{}", String::from_utf8_lossy(bytes));
        }
        assert!(matches!(items(b",nan\r\n")[0], RespItem::Double(number) if number.is_nan()));
    }

    #[test]
    fn attributes_are_passed_over() {
        assert_eq!(
            items(b"|1\r\n+key\r\n*2\r\n:1\r\n:2\r\n:7\r\n"),
            [RespItem::Integer(7)]
        );
    }

    #[test]
    fn numbers_are_read_up_to_the_last_one_there_is() {
        for number in [
            0,
            -1,
            999_999_999_999_999_999,
            -999_999_999_999_999_999,
            1_000_000_000_000_000_000,
            i64::MAX,
            i64::MIN,
        ] {
            let bytes = format!(":{number}\r\n");
            assert_eq!(items(bytes.as_bytes()), [RespItem::Integer(number)]);
        }
        for no_number in [
            ":\r\n",
            ":-\r\n",
            ":1x\r\n",
            ":1",
            ":1\r",
            ":9223372036854775808\r\n",
            ":99999999999999999999\r\n",
        ] {
            assert_eq!(items(no_number.as_bytes()), [], "{no_number}");
        }
    }

    proptest! {
        #[test]
        fn what_is_no_resp_ends_the_reading(
            bytes in prop::collection::vec(prop::sample::select(b"+-:,#($!=*~%|_>0123456789\r\nab".to_vec()), 0..60),
        ) {
            prop_assert!(items(&bytes).len() <= bytes.len());
        }
    }
}

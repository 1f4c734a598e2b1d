//! Patterns as the server's commands take them: `*`, `?`, `[a-c]`, `[^a]`, `\` before what stands
//! for itself.

/// What one part of a pattern matches, and how long that part is.
fn one(pattern: &[u8], byte: u8) -> (bool, usize) {
    match pattern {
        [b'?', ..] => (true, 1),
        [b'\\', literal, ..] => (*literal == byte, 2),
        [b'[', rest @ ..] => {
            let (matches, length) = one_of(rest, byte);
            (matches, length + 1)
        }
        [literal, ..] => (*literal == byte, 1),
        [] => (false, 0),
    }
}

/// What stands behind a `[`. One that is not closed ends with the pattern.
fn one_of(set: &[u8], byte: u8) -> (bool, usize) {
    let is_negated = set.first() == Some(&b'^');
    let mut at = usize::from(is_negated);
    let mut is_in = false;
    loop {
        match &set[at..] {
            [] => return (is_in != is_negated, at),
            [b']', ..] => return (is_in != is_negated, at + 1),
            [b'\\', literal, ..] => {
                is_in |= *literal == byte;
                at += 2;
            }
            [first, b'-', last, ..] => {
                is_in |= (*first.min(last)..=*first.max(last)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                is_in |= *literal == byte;
                at += 1;
            }
        }
    }
}

/// Whether a text matches a pattern. Takes at most as many steps as the product of their lengths.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut in_pattern, mut in_text) = (0, 0);
    // Behind the last `*`, and how much of the text that has taken.
    let mut star = None;
    while in_text < text.len() {
        if pattern.get(in_pattern) == Some(&b'*') {
            in_pattern += 1;
            star = Some((in_pattern, in_text));
            continue;
        }
        let (matches, length) = one(&pattern[in_pattern..], text[in_text]);
        if matches {
            in_pattern += length;
            in_text += 1;
        } else if let Some((behind, taken)) = star {
            star = Some((behind, taken + 1));
            (in_pattern, in_text) = (behind, taken + 1);
        } else {
            return false;
        }
    }
    pattern[in_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &str, texts: &[&str]) -> bool {
        let mut texts = texts.iter();
        texts.all(|text| matches(pattern.as_bytes(), text.as_bytes()))
    }

    fn none(pattern: &str, texts: &[&str]) -> bool {
        let mut texts = texts.iter();
        !texts.any(|text| matches(pattern.as_bytes(), text.as_bytes()))
    }

    #[test]
    fn a_pattern_matches_what_the_servers_commands_match_with_it() {
        assert!(all("*", &["", "a", "abc"]) && all("a*c", &["ac", "abc", "abcbc"]));
        assert!(none("a*c", &["", "a", "acb", "bac"]) && all("**b**", &["b", "abc"]));
        assert!(all("a?c", &["abc", "a?c"]) && none("a?c", &["ac", "abbc"]));
        assert!(all("h[ae]llo", &["hallo", "hello"]) && none("h[ae]llo", &["hillo", "hllo"]));
        assert!(all("h[^e]llo", &["hallo", "hbllo"]) && none("h[^e]llo", &["hello"]));
        assert!(all("[a-c]x", &["ax", "cx"]) && none("[a-c]x", &["dx", "-x"]));
        assert!(all("[c-a]", &["b"]) && all(r"a\*c", &["a*c"]) && none(r"a\*c", &["abc"]));
        assert!(all(r"[\]]", &["]"]) && all("[ab", &["a", "b"]) && none("[ab", &["c"]));
        assert!(all("", &[""]) && none("", &["a"]) && none("abc", &["ab", "abcd"]));
        assert!(all(r"a\", &[r"a\"]) && none(r"a\", &["ab"]));
    }

    #[test]
    fn a_pattern_of_many_stars_is_matched_in_time() {
        let pattern = "a*".repeat(100) + "b";
        assert!(none(&pattern, &[&"a".repeat(10_000)]));
    }
}

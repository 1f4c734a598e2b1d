//! What went wrong, and where: a text that carries the stack of the script behind the message.
//!
//! Both travel and are kept as one, since nearly all that handles errors passes them on. Who shows
//! or compares an error takes [`message`]; [`stack`] is shown on its own, where there is one.

/// What is between message and stack: a control character that no stack has.
const BETWEEN: char = '\u{1f}';
/// What takes its place in a message.
const REPLACEMENT: &str = "\u{fffd}";
/// Bytes of a stack that are kept: each stream keeps its last error.
const STACK_MAX: usize = 1024;

/// A message, with as many of the topmost frames of a stack as are kept: one a line.
#[must_use]
pub fn join(message: String, stack: Option<&str>) -> String {
    let mut text = if message.contains(BETWEEN) {
        message.replace(BETWEEN, REPLACEMENT)
    } else {
        message
    };
    let Some(stack) = stack.filter(|stack| !stack.is_empty()) else {
        return text;
    };
    let begin = text.len();
    for frame in stack.lines().map(str::trim) {
        let length = text.len() - begin + frame.len();
        if length > STACK_MAX || frame.contains(BETWEEN) {
            break;
        }
        // Behind the first, as `error-verbosity` 2 separates them in replies.
        text.push(if text.len() == begin { BETWEEN } else { '|' });
        text.push_str(frame);
    }
    text
}

/// What went wrong.
#[must_use]
pub fn message(text: &str) -> &str {
    text.split_once(BETWEEN)
        .map_or(text, |(message, _)| message)
}

/// Where: the frames, the topmost first, separated by `|`.
#[must_use]
pub fn stack(text: &str) -> Option<&str> {
    text.split_once(BETWEEN).map(|(_, stack)| stack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_come_out_as_they_went_in() {
        let text = join("no".into(), Some("    at f (lib:3:1)\n    at lib:9:2"));
        assert_eq!(message(&text), "no");
        assert_eq!(stack(&text), Some("at f (lib:3:1)|at lib:9:2"));
        for none in [None, Some("")] {
            let text = join("no".into(), none);
            assert_eq!(
                (text.as_str(), message(&text), stack(&text)),
                ("no", "no", None)
            );
        }
    }

    #[test]
    fn a_message_cannot_be_taken_for_a_stack() {
        let text = join("a\u{1f}at root".into(), None);
        assert_eq!((message(&text), stack(&text)), ("a\u{fffd}at root", None));
    }

    #[test]
    fn of_a_deep_stack_the_topmost_frames_are_kept_whole() {
        let frames: Vec<_> = (0..1000)
            .map(|n| format!("    at f{n} (lib:{n}:1)"))
            .collect();
        let text = join("deep".into(), Some(&frames.join("\n")));
        let kept = stack(&text).expect("there is one");
        assert!(
            kept.len() <= STACK_MAX && kept.len() > STACK_MAX - 50,
            "{}",
            kept.len()
        );
        assert!(kept.starts_with("at f0 (lib:0:1)|at f1 (lib:1:1)|"));
        assert!(kept.ends_with(":1)"));
    }
}

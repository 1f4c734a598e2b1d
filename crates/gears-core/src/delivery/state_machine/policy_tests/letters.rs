//! Dead letters that cannot be written.

use super::*;
use crate::delivery::State;

fn given_up(name: &[u8]) -> Policy {
    Policy {
        max_attempts: Some(1),
        dead_letter: Some(name.into()),
        ..policy()
    }
}

/// How it stands with the consumer: its state, how many of its streams are blocked, and why.
fn standing(core: &mut Delivery, consumer: ConsumerKey) -> (State, usize, Option<String>) {
    let overview = core.overview(consumer).expect("it is there");
    let reason = overview.reason.as_deref().map(str::to_owned);
    (overview.state, overview.blocked_streams, reason)
}

/// Refuses the dead letter that is due.
fn refuse(core: &mut Delivery, error: &str) {
    let dead_letter = core.next_dead_letter().expect("it is due");
    let error = error.into();
    core.on(Event::DeadLetterRefused { dead_letter, error });
}

#[test]
fn a_stream_is_blocked_as_long_as_its_dead_letter_cannot_be_written() {
    let (mut core, consumer) = core(1, given_up(b"dead"), 1);
    let sub = fetch(&mut core, &[(1, "a")]);
    let number = batches(&mut core)[0].0;
    fail(&mut core, sub, number);
    refuse(&mut core, "no");
    let no = (State::Blocked, 1, Some("no".to_owned()));
    assert_eq!(standing(&mut core, consumer), no);
    assert_eq!(core.view(sub).state, State::Blocked);
    // Its owner may not have it either: it is one stream all the same.
    let error = "NOPERM".into();
    core.on(Event::Refused { sub, error });
    let both = (State::Blocked, 1, Some("NOPERM".to_owned()));
    assert_eq!(standing(&mut core, consumer), both);
    core.on(Event::Authorized(sub));
    assert_eq!(standing(&mut core, consumer), no);
    core.set_time(core.now_ms + 1000);
    let dead_letter = core.next_dead_letter().expect("it is due again");
    core.on(Event::DeadLetterWritten(dead_letter));
    assert_eq!(standing(&mut core, consumer), (State::Running, 0, None));
}

#[test]
fn a_dead_letter_that_waits_goes_where_new_code_has_it_go() {
    let (mut core, consumer) = core(1, given_up(b"dead"), 1);
    let sub = fetch(&mut core, &[(1, "a")]);
    let number = batches(&mut core)[0].0;
    fail(&mut core, sub, number);
    refuse(&mut core, "no");
    core.change_consumer(consumer, spec(1, given_up(b"other")));
    core.set_time(core.now_ms + 1000);
    let dead_letter = core.next_dead_letter().expect("it is due again");
    assert_eq!(*dead_letter.to, *b"other");
}

#[test]
fn nothing_is_against_a_stream_that_is_gone() {
    for event in [Event::Removed(KEY), Event::Flushed(None)] {
        let (mut core, consumer) = core(1, given_up(b"dead"), 1);
        let sub = fetch(&mut core, &[(1, "a")]);
        let number = batches(&mut core)[0].0;
        fail(&mut core, sub, number);
        refuse(&mut core, "no");
        core.on(event);
        assert_eq!(standing(&mut core, consumer), (State::Running, 0, None));
    }
}

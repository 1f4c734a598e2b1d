use super::*;

const BOUNDS: Bounds = Bounds {
    // Three of one library.
    calls: 6,
    arguments: 100,
    results: 100,
    confirm_above: 50,
};

const RUN: Verdict = Verdict::Run { is_told: false };

fn incoming() -> Incoming<u8, u8> {
    Incoming::new(BOUNDS)
}

/// With arguments of so many bytes.
fn request(attempt: u32, remaining_ms: u64, arguments: usize) -> Request {
    Request {
        id: 0,
        attempt,
        remaining_ms,
        library: "lib".into(),
        stamp: None,
        function: "f".into(),
        user: "u".into(),
        db: 0,
        flags: 0,
        key: None,
        script: None,
        arguments: vec![0; arguments].into(),
    }
}

fn taken(ids: &[u64], asked_again: &[u64]) -> Taken {
    Taken {
        ids: ids.to_vec(),
        asked_again: asked_again.to_vec(),
    }
}

fn ended(text: &[u8]) -> Verdict {
    Verdict::Ended(text.to_vec().into())
}

#[test]
fn a_call_that_comes_again_is_not_run_again() {
    let mut calls = incoming();
    let key = (1, 1, 7);
    assert_eq!(calls.on_request(0, &key, &request(1, 100, 10)), RUN);
    assert_eq!(
        calls.on_request(1, &key, &request(2, 99, 10)),
        Verdict::Runs
    );
    let message = |text: &[u8]| Payload::from(text.to_vec());
    assert_eq!(calls.end(&key, message(b"end")), Some(message(b"end")));
    assert_eq!(calls.end(&key, message(b"again")), None);
    assert_eq!(
        calls.on_request(2, &key, &request(3, 98, 10)),
        ended(b"end")
    );
    assert_eq!(calls.on_request(2, &(1, 2, 7), &request(1, 98, 10)), RUN);
    calls.on_taken(&1, &1, &taken(&[7], &[]));
    assert_eq!(calls.refuse(&(1, 2, 7)), Some(1));
    assert!(calls.is_empty());
    assert_eq!(calls.figures(), Figures::default());
}

#[test]
fn only_what_is_large_is_said_to_run_without_being_asked() {
    let mut calls = incoming();
    let mut ask = |number, attempt, arguments| {
        calls.on_request(0, &(1, 1, number), &request(attempt, 100, arguments))
    };
    assert_eq!(ask(1, 1, 49), RUN);
    assert_eq!(ask(2, 1, 51), Verdict::Run { is_told: true });
    assert_eq!(ask(1, 2, 49), Verdict::Runs, "that is said");
}

#[test]
fn what_may_have_been_asked_for_again_is_known_for_a_while_after_its_end_was_taken() {
    let mut calls = incoming();
    let key = (1, 1, 7);
    calls.on_request(0, &key, &request(1, 3_600_000, 10));
    calls.end(&key, vec![0; 5].into());
    calls.on_taken(&1, &1, &taken(&[], &[7]));
    let known = Figures {
        known: 1,
        ..Figures::default()
    };
    assert_eq!(calls.figures(), known);
    // That it was taken is said more than once, where its end is.
    calls.on_taken(&1, &1, &taken(&[7], &[]));
    let verdict = calls.on_request(0, &key, &request(2, 3_600_000, 10));
    assert_eq!(verdict, Verdict::Runs, "it does not run again");
    sweep_until(&mut calls, KNOWN_MS);
    assert!(calls.is_empty());
}

#[test]
fn a_call_that_is_late_is_refused_by_its_last_attempt() {
    let mut calls = incoming();
    let key = (1, 1, 7);
    calls.on_request(0, &key, &request(1, 100, 0));
    calls.on_request(0, &key, &request(3, 100, 0));
    calls.on_request(0, &key, &request(2, 100, 0));
    assert_eq!(calls.refuse(&key), Some(3));
    assert_eq!(calls.refuse(&key), None);
}

#[test]
fn ends_are_told_again_to_the_process_that_asked_and_to_no_other() {
    let mut calls = incoming();
    for process in [1, 2] {
        calls.on_request(0, &(1, process, 7), &request(1, 100, 0));
        calls.end(&(1, process, 7), vec![process].into());
    }
    calls.on_request(0, &(1, 2, 8), &request(1, 100, 0));
    assert_eq!(calls.on_peer_up(&1, &2), [Payload::from(vec![2])]);
    assert_eq!(calls.figures().results, 2);
    assert_eq!(calls.on_peer_inbound(&1, &2), [Payload::from(vec![2])]);
    assert_eq!(calls.figures().results, 1);
    assert_eq!(calls.on_peer_inbound(&1, &3), []);
    assert_eq!(
        calls.end(&(1, 2, 8), vec![8].into()),
        None,
        "its caller is gone"
    );
    let known = Figures {
        known: 3,
        ..Figures::default()
    };
    assert_eq!(calls.figures(), known, "what ran must not run again");
}

/// Goes on to that time, in steps.
fn sweep_until(calls: &mut Incoming<u8, u8>, now_ms: u64) {
    for at in (calls.looked_ms..now_ms).step_by(500) {
        calls.sweep(at);
    }
    calls.sweep(now_ms);
}

#[test]
fn a_refusal_that_found_no_connection_is_told_when_there_is_one() {
    let mut calls = incoming();
    let refused = |byte| Payload::from(vec![byte]);
    for (key, byte) in [((1, 1, 1), 1), ((1, 2, 2), 2), ((2, 1, 3), 3)] {
        assert_eq!(calls.on_request(0, &key, &request(1, 1000, 1)), RUN);
        calls.refuse(&key);
        calls.keep_refusal(key, refused(byte));
    }
    assert_eq!(calls.on_peer_inbound(&1, &2), [], "not yet");
    assert_eq!(
        calls.on_peer_up(&1, &2),
        [refused(2)],
        "the other process is gone"
    );
    assert_eq!(calls.on_peer_up(&1, &2), []);
    calls.on_peer_failed(&2, |_| refused(0));
    assert_eq!(calls.on_peer_up(&2, &1), []);
}

#[test]
fn once_a_calls_time_is_over_only_that_it_was_there_is_known_and_not_for_long() {
    let mut calls = incoming();
    calls.on_request(0, &(1, 1, 7), &request(1, 100, 10));
    calls.on_request(0, &(1, 1, 8), &request(1, 100, 20));
    calls.end(&(1, 1, 8), vec![0; 5].into());
    sweep_until(&mut calls, 100 + GRACE_MS - 1);
    let all = Figures {
        running: 1,
        arguments: 10,
        known: 2,
        results: 5,
    };
    assert_eq!(calls.figures(), all);
    sweep_until(&mut calls, 100 + GRACE_MS);
    let known = Figures {
        known: 2,
        ..Figures::default()
    };
    assert_eq!(calls.figures(), known);
    assert_eq!(
        calls.on_request(1500, &(1, 1, 7), &request(2, 1, 10)),
        Verdict::Runs
    );
    assert_eq!(calls.end(&(1, 1, 7), Payload::default()), None);
    sweep_until(&mut calls, 100 + KNOWN_MS - 1);
    assert_eq!(calls.figures(), known);
    sweep_until(&mut calls, 100 + KNOWN_MS);
    assert!(calls.is_empty());
}

#[test]
fn an_end_that_does_not_get_to_its_caller_is_another_one() {
    let mut calls = incoming();
    for (number, size) in [(7, 40), (8, 5)] {
        calls.on_request(0, &(1, 1, number), &request(1, 100, 0));
        calls.end(&(1, 1, number), vec![0; size].into());
    }
    let message = |id| vec![u8::try_from(id).unwrap()].into();
    calls.shorten(&2, |id, _| Some(message(id)));
    assert_eq!(calls.figures().results, 45);
    calls.shorten(&1, |id, size| (size > 5).then(|| message(id)));
    assert_eq!(calls.figures().results, 6);
    let told = [vec![7], vec![0; 5]].map(Payload::from);
    assert_eq!(calls.on_peer_up(&1, &1), told);
}

#[test]
fn what_has_no_time_limit_ends_with_the_node_that_asked_for_it() {
    let mut calls = incoming();
    let long = u64::from(u32::MAX);
    calls.on_request(0, &(1, 1, 7), &request(1, long, 10));
    calls.on_request(0, &(1, 1, 8), &request(1, long, 20));
    calls.on_request(0, &(1, 1, 9), &request(1, 100, 30));
    calls.end(&(1, 1, 7), vec![0; 50].into());
    assert_eq!(calls.nodes(), BTreeSet::from([1]));
    calls.on_peer_failed(&2, |_| unreachable!("it has asked for nothing"));
    calls.on_peer_failed(&1, |id| vec![u8::try_from(id).unwrap()].into());
    let all = Figures {
        running: 1,
        arguments: 30,
        known: 3,
        results: 2,
    };
    assert_eq!(calls.figures(), all);
    assert_eq!(calls.end(&(1, 1, 8), vec![0; 50].into()), None);
    let told = [7, 8].map(|id| Payload::from(vec![id]));
    assert_eq!(calls.on_peer_up(&1, &1), told, "it was not gone");
    assert_eq!(
        calls.on_peer_inbound(&1, &2),
        [],
        "another process waits for none"
    );
    sweep_until(&mut calls, KNOWN_MS - 1);
    assert_eq!(calls.figures().known, 2);
    sweep_until(&mut calls, KNOWN_MS + GRACE_MS);
    assert!(calls.is_empty());
    assert_eq!(calls.figures(), Figures::default());
}

#[test]
fn calls_of_a_node_that_has_left_are_forgotten_soon() {
    let mut calls = incoming();
    calls.on_request(0, &(1, 1, 7), &request(1, 3_600_000, 10));
    calls.end(&(1, 1, 7), vec![0; 50].into());
    calls.on_peer_left(&1);
    assert_eq!(calls.figures().results, 0);
    sweep_until(&mut calls, KNOWN_MS);
    assert!(calls.is_empty());
}

#[test]
fn a_process_that_was_stopped_knows_what_it_knew() {
    let mut calls = incoming();
    let key = (1, 1, 7);
    calls.on_request(0, &key, &request(1, 100, 10));
    calls.end(&key, Payload::default());
    calls.sweep(3_600_000);
    assert_ne!(calls.on_request(3_600_001, &key, &request(2, 100, 10)), RUN);
    sweep_until(&mut calls, 3_600_000 + 100 + KNOWN_MS);
    assert!(calls.is_empty());
}

#[test]
fn what_finds_no_place_is_refused_and_one_is_always_let_in() {
    let mut calls = incoming();
    assert_eq!(
        calls.on_request(0, &(1, 1, 1), &request(1, 100, 101)),
        Verdict::Run { is_told: true }
    );
    let full = calls.on_request(0, &(1, 1, 2), &request(1, 100, 1));
    assert!(matches!(full, Verdict::Full(why) if why.contains("memory")));
    assert!(calls.has_room_for(101));
    calls.end(&(1, 1, 1), vec![0; 60].into());
    assert!(calls.has_room_for(40) && !calls.has_room_for(41));
    for number in [2, 3] {
        assert_eq!(
            calls.on_request(0, &(1, 1, number), &request(1, 100, 50)),
            RUN
        );
    }
    let full = calls.on_request(0, &(1, 1, 4), &request(1, 100, 0));
    assert!(matches!(full, Verdict::Full(why) if why.contains("too many")));
    let of_another = Request {
        library: "other".into(),
        ..request(1, 100, 0)
    };
    let verdict = calls.on_request(0, &(1, 1, 4), &of_another);
    assert_eq!(verdict, RUN);
}

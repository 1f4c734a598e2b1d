use super::super::call::Shard;
use super::super::message::Message;
use super::*;
use bytes::Bytes;

use crate::cluster::Payload;

type Calls = Outgoing<u8, u8>;

/// A way to node 1, process 1, or to none.
struct Way {
    to: Option<(u8, u8)>,
    is_full: bool,
    is_too_large: bool,
    sent: Vec<Message>,
}

impl Way {
    fn to(to: Option<(u8, u8)>) -> Self {
        Self {
            to,
            is_full: false,
            is_too_large: false,
            sent: Vec::new(),
        }
    }
}

impl Wire<u8, u8> for Way {
    fn route(
        &self,
        _: &Destination<u8>,
        _: Option<&[u8]>,
    ) -> Result<(u8, u8), (Option<u8>, String)> {
        self.to
            .ok_or_else(|| (None, "nobody has the slot".to_owned()))
    }

    fn room_for(&self, _: &u8, _: usize) -> Result<(), (Refusal, String)> {
        if self.is_too_large {
            return Err((Refusal::ForGood, "it is too large".into()));
        }
        if self.is_full {
            return Err((Refusal::ForNow, "the queue is full".into()));
        }
        Ok(())
    }

    fn send(&mut self, to: &u8, message: Payload) -> Result<(), (Refusal, String)> {
        self.room_for(to, message.len())?;
        self.sent.push(Message::decode(message).unwrap());
        Ok(())
    }
}

fn request(arguments: &[u8]) -> Request {
    Request {
        id: 0,
        attempt: 0,
        remaining_ms: 0,
        library: "lib".into(),
        function: "f".into(),
        user: "default".into(),
        db: 0,
        flags: 0,
        key: None,
        script: None,
        stamp: None,
        arguments: arguments.to_vec().into(),
    }
}

fn begin(calls: &mut Calls, timeout_ms: u64) -> u64 {
    let destination = Destination::Key;
    calls
        .begin(0, destination, request(b"1234"), Times::of(timeout_ms))
        .unwrap()
}

fn run(calls: &mut Calls, now_ms: u64, way: &mut Way) {
    while calls.step(now_ms, way) {}
}

#[test]
fn a_call_is_sent_once_and_its_result_is_its_end() {
    let (mut calls, mut way) = (Calls::new(0, 100), Way::to(Some((1, 1))));
    let id = begin(&mut calls, 500);
    run(&mut calls, 3, &mut way);
    let sent = Request {
        id,
        attempt: 1,
        remaining_ms: 497,
        ..request(b"1234")
    };
    assert_eq!(way.sent, [Message::Request(sent)]);
    assert_eq!(calls.next_ms(), Some(500));
    calls.on_accepted(&1, &1, (id, 1));
    let result = Bytes::from_static(b"r");
    calls.on_ended(&2, &1, id, Ended::Done(result.clone()));
    calls.on_ended(&1, &2, id, Ended::Done(result.clone()));
    assert_eq!(calls.take_ended(), []);
    calls.on_ended(&1, &1, id, Ended::Done(result.clone()));
    assert_eq!(calls.take_ended(), [(id, CallEnd::Done { on: 1, result })]);
    assert_eq!((calls.len(), calls.bytes, calls.next_ms()), (0, 0, None));
}

#[test]
fn what_has_not_run_is_tried_until_its_time_is_over() {
    let (mut calls, mut way) = (Calls::new(0, 100), Way::to(None));
    let id = begin(&mut calls, 100);
    run(&mut calls, 0, &mut way);
    assert_eq!(calls.next_ms(), Some(10));
    way = Way::to(Some((1, 1)));
    way.is_full = true;
    run(&mut calls, 10, &mut way);
    way.is_full = false;
    run(&mut calls, 30, &mut way);
    assert_eq!(way.sent.len(), 1);
    calls.on_refused(35, (&1, &1), (id, 1), Refusal::ForNow, "it loads".into());
    assert_eq!(calls.next_ms(), Some(45));
    way.to = None;
    run(&mut calls, 45, &mut way);
    run(&mut calls, 100, &mut way);
    let why = "nobody has the slot, for 100 ms".to_owned();
    assert_eq!(
        calls.take_ended(),
        [(id, CallEnd::NotSent { on: None, why })]
    );
}

#[test]
fn what_is_refused_for_good_has_not_run() {
    let (mut calls, mut way) = (Calls::new(0, 100), Way::to(Some((1, 1))));
    let id = begin(&mut calls, 100);
    run(&mut calls, 0, &mut way);
    calls.on_refused(5, (&1, &1), (id, 1), Refusal::ForGood, "NOPERM".into());
    let (on, why) = (Some(1), "NOPERM".to_owned());
    assert_eq!(calls.take_ended(), [(id, CallEnd::NotSent { on, why })]);
}

#[test]
fn what_was_sent_may_have_run_when_its_time_is_over() {
    let (mut calls, mut way) = (Calls::new(0, 100), Way::to(Some((1, 1))));
    let id = begin(&mut calls, 100);
    run(&mut calls, 0, &mut way);
    run(&mut calls, 99, &mut way);
    assert_eq!(calls.take_ended(), []);
    run(&mut calls, 100, &mut way);
    assert_eq!(
        calls.take_ended(),
        [(id, CallEnd::Timeout { on: 1, ms: 100 })]
    );
}

#[test]
fn the_same_process_is_asked_again_and_what_another_one_had_is_lost() {
    let (mut calls, mut way) = (Calls::new(0, 100), Way::to(Some((1, 1))));
    let ids = [(); 3].map(|()| begin(&mut calls, 100));
    run(&mut calls, 0, &mut way);
    calls.on_accepted(&1, &1, (ids[0], 1));
    calls.on_undelivered(1, &1, ids[0], "gone".into());
    calls.on_undelivered(1, &1, ids[2], "gone".into());
    way.sent.clear();
    calls.on_peer_up(2, &1, &1);
    run(&mut calls, 2, &mut way);
    let asked: Vec<_> = way.sent.iter().filter_map(Message::id_of_request).collect();
    assert_eq!(asked, [ids[1]], "the first was accepted, the last waits");
    calls.on_peer_up(3, &1, &2);
    let mut lost: Vec<_> = calls.take_ended().into_iter().map(|(id, _)| id).collect();
    lost.sort_unstable();
    assert_eq!(lost, ids[..2]);
    calls.on_peer_gone(&1, "it failed");
    assert_eq!((calls.len(), calls.take_ended().len()), (1, 0));
}

impl Message {
    fn id_of_request(&self) -> Option<u64> {
        match self {
            Self::Request(request) => Some(request.id),
            _ => None,
        }
    }
}

#[test]
fn calls_on_their_way_are_bounded() {
    let mut calls = Calls::new(0, 7);
    begin(&mut calls, 100);
    let refused = calls.begin(
        0,
        Destination::Shard(Shard::of(1)),
        request(b"1234"),
        Times::of(100),
    );
    assert_eq!(refused, Err(NotAccepted::TooLarge));
    assert!(
        calls
            .begin(
                0,
                Destination::Shard(Shard::of(1)),
                request(b"123"),
                Times::of(100)
            )
            .is_ok()
    );
}

#[test]
fn what_was_refused_before_it_was_asked_for_again_is_not_taken_for_the_answer_to_that() {
    let (mut calls, mut way) = (Calls::new(0, 100), Way::to(Some((1, 1))));
    let id = begin(&mut calls, 100);
    run(&mut calls, 0, &mut way);
    // The connection was lost and is there again, before the refusal of the first attempt is.
    calls.on_peer_up(1, &1, &1);
    run(&mut calls, 1, &mut way);
    calls.on_refused(2, (&1, &1), (id, 1), Refusal::ForNow, "it loads".into());
    calls.on_refused(2, (&1, &1), (id, 1), Refusal::ForGood, "NOPERM".into());
    run(&mut calls, 50, &mut way);
    assert_eq!(way.sent.len(), 2, "the second one may run there by now");
    calls.on_refused(51, (&1, &1), (id, 2), Refusal::ForNow, "it loads".into());
    run(&mut calls, 61, &mut way);
    assert_eq!(way.sent.len(), 3);
}

#[test]
fn what_can_never_be_sent_is_not_tried_again() {
    let (mut calls, mut way) = (Calls::new(0, 100), Way::to(Some((1, 1))));
    way.is_too_large = true;
    let id = begin(&mut calls, 100);
    run(&mut calls, 0, &mut way);
    let (on, why) = (Some(1), "it is too large".to_owned());
    assert_eq!(calls.take_ended(), [(id, CallEnd::NotSent { on, why })]);
}

//! Batches of async consumers that are dispatched together.

use super::*;

/// The batch that is dispatched next, and those that go with it: what they hold.
fn together(core: &mut Delivery) -> Vec<Vec<u64>> {
    let Some(Dispatch::Deliver { sub, batch, .. }) = core.next_dispatch(false) else {
        panic!("a batch is due");
    };
    let mut batches = vec![batch];
    core.add_batches(sub, &mut batches);
    batches.iter().map(seqs).collect()
}

#[test]
fn batches_go_together_as_far_as_the_window_has_room() {
    // None of it runs ahead of the window.
    let policy = Policy {
        scope: Scope::Consumer,
        ..policy()
    };
    let (mut core, _) = core(3, policy, 5);
    fetch(
        &mut core,
        &[(1, ""), (2, ""), (3, ""), (4, ""), (5, "")][..4],
    );
    assert_eq!(together(&mut core), [[1], [2], [3]]);
    assert!(!matches!(
        core.next_dispatch(false),
        Some(Dispatch::Deliver { .. })
    ));
}

#[test]
fn a_sync_callback_gets_each_batch_by_itself() {
    let mut core = Delivery::new(true);
    core.add_consumer(ConsumerSpec {
        mode: Mode::Sync,
        ..spec(3, policy())
    });
    (0..2).for_each(|_| core.on(Event::Appended(KEY)));
    fetch(&mut core, &[(1, ""), (2, "")]);
    assert_eq!(together(&mut core), [[1]]);
}

#[test]
fn while_another_stream_waits_batches_that_go_together_have_no_more_than_a_share() {
    for others in [0, 1] {
        let (mut core, _) = core(100, policy(), 0);
        let name = &b"s:2"[..];
        (0..40).for_each(|_| core.on(Event::Appended(KEY)));
        let entries: Vec<_> = (1..=40).map(|seq| (seq, "")).collect();
        fetch(&mut core, &entries);
        (0..others).for_each(|_| core.on(Event::Appended(KeyRef { db: 0, name })));
        let most = if others > 0 { SHARE } else { 40 };
        assert_eq!(together(&mut core).len(), most, "{others} others");
    }
}

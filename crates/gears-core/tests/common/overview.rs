//! What the core shows of a consumer as a whole is what it shows of its streams.

use gears_core::delivery::{ConsumerKey, Delivery, State};

pub(crate) fn check_overview(core: &mut Delivery, consumer: ConsumerKey) {
    let own = core.consumer_state_of(consumer);
    let (mut streams, mut in_flight, mut finished) = (0, 0, 0);
    let (mut states, mut aborted, mut is_failing) = (Vec::new(), None, false);
    for view in core.streams_of(consumer) {
        streams += 1;
        in_flight += view.in_flight().len();
        finished += view.stats.finished;
        is_failing |= view.stats.failing;
        states.push(view.state);
        aborted = aborted.or_else(|| view.delivery_state().aborted.clone());
    }
    let is_refused = core.refusal().is_some();
    let overview = core.overview(consumer).expect("the consumer exists");
    assert_eq!(overview.streams, streams);
    assert_eq!(overview.in_flight, in_flight);
    assert_eq!(overview.is_failing, is_failing);
    assert!(overview.totals.finished >= finished);
    assert_eq!(overview.aborted, own.aborted.clone().or(aborted));
    let worst = if own.aborted.is_some() {
        State::Aborted
    } else if own.paused {
        State::Paused
    } else if own.until_ms > 0 {
        State::Waiting
    } else if states.contains(&State::Aborted) {
        State::Aborted
    } else if states.contains(&State::Waiting) {
        State::Waiting
    } else if is_refused {
        State::Refused
    } else {
        State::Running
    };
    assert_eq!(overview.state, worst);
    let is_held = worst != State::Running || states.iter().any(|state| *state != State::Running);
    assert_eq!(overview.is_held, is_held);
}

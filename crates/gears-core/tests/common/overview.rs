//! What the core shows of a consumer as a whole is what it shows of its streams.

use gears_core::delivery::{Choice, ConsumerKey, Counted, Delivery, EntryId, State, StreamView};

pub(crate) fn check_overview(core: &mut Delivery, consumer: ConsumerKey) {
    let own = core.consumer_state_of(consumer);
    let (mut streams, mut in_flight, mut finished) = (0, 0, 0);
    let (mut states, mut aborted, mut is_failing) = (Vec::new(), None, false);
    let mut blocked = 0;
    for view in core.streams_of(consumer) {
        streams += 1;
        in_flight += view.in_flight().len();
        finished += view.stats.finished;
        is_failing |= view.stats.failing;
        states.push(view.state);
        let is_blocked = view.state == State::Blocked;
        assert_eq!(view.blocked().is_some(), is_blocked, "{:?}", view.state);
        blocked += usize::from(is_blocked);
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
    let worst = match worst {
        State::Running | State::Waiting if blocked > 0 && is_refused => State::Refused,
        State::Running | State::Waiting if blocked > 0 => State::Blocked,
        worst => worst,
    };
    assert_eq!(overview.state, worst);
    assert_eq!(overview.blocked_streams, blocked);
    let is_held = worst != State::Running || states.iter().any(|state| *state != State::Running);
    assert_eq!(overview.is_held, is_held);
}

/// What pages show is what there is, in order.
pub(crate) fn check_pages(core: &mut Delivery, consumer: ConsumerKey) {
    let named = |view: &StreamView<'_>| (view.db, view.name.to_vec(), view.state);
    let all: Vec<_> = core.streams_of(consumer).map(|view| named(&view)).collect();
    let unfinished = core.streams_of(consumer);
    let unfinished = unfinished.filter(|view| view.unacknowledged() > 0);
    let unfinished: Vec<_> = unfinished.map(|view| named(&view)).collect();
    let mut shown = Vec::new();
    let mut place = 0;
    loop {
        let page = core.page(consumer, Choice::Before(place), 2, |_| true, || true);
        assert!(page.rows.len() <= 2);
        shown.extend(page.rows.iter().map(|row| named(&row.stream)));
        place = page.next;
        if place == 0 {
            break;
        }
    }
    assert_eq!(shown, all);
    for state in [State::Waiting, State::Paused, State::Aborted] {
        let page = core.page(
            consumer,
            Choice::Held(state, 0),
            usize::MAX,
            |_| true,
            || true,
        );
        let held: Vec<_> = page.rows.iter().map(|row| named(&row.stream)).collect();
        let wanted = all.iter().filter(|(_, _, one)| *one == state);
        assert_eq!(held, wanted.cloned().collect::<Vec<_>>());
    }
    let page = core.page(consumer, Choice::Behind, usize::MAX, |_| true, || true);
    let since: Vec<_> = page.rows.iter().map(|row| row.behind_since_ms).collect();
    assert!(since.is_sorted() && !since.contains(&None));
    let behind: Vec<_> = page.rows.iter().map(|row| named(&row.stream)).collect();
    assert!(unfinished.iter().all(|one| behind.contains(one)));
}

/// A backlog that is said to be counted is. `ids` gives those of the entries of a stream. Where some
/// were deleted and the core was not told, it may be said to be more.
pub(crate) fn check_backlog(
    core: &mut Delivery,
    consumer: ConsumerKey,
    ids: impl Fn(i32, &[u8]) -> Vec<EntryId>,
    is_told_all: bool,
) {
    let (mut backlog, mut is_start_known) = (0, true);
    for view in core.streams_of(consumer) {
        let ids = ids(view.db, view.name).into_iter();
        let unread = ids.filter(|id| *id > view.read()).count();
        backlog += (view.unacknowledged() + unread) as u64;
        is_start_known &= view.is_start_resolved();
    }
    let found = core.overview(consumer).expect("it exists").backlog;
    if found.is_exact && is_start_known {
        let is_right = found.entries == backlog || (found.entries > backlog && !is_told_all);
        assert!(is_right, "{found:?}, and there are {backlog}");
    }
}

/// Somebody looks at the backlog, and counts what nobody has, at most so many streams of it.
pub(crate) fn count_backlog(
    core: &mut Delivery,
    consumer: ConsumerKey,
    most: usize,
    ids: impl Fn(i32, &[u8]) -> Vec<EntryId>,
) {
    for request in core.uncounted(consumer, most) {
        let mut ids = ids(request.db, &request.name);
        ids.retain(|id| *id > request.after);
        let found = Counted {
            count: ids.len() as u64,
            is_exact: true,
            first: ids.first().copied(),
        };
        core.counted(&request, found);
    }
}

use super::*;

fn id(seq: u64) -> EntryId {
    EntryId::new(1, seq)
}

fn cursor(read: std::ops::RangeInclusive<u64>) -> Cursor {
    let mut cursor = Cursor::default();
    let entries: Vec<_> = read.map(|seq| (id(seq), 10)).collect();
    cursor.note_read(&entries);
    cursor
}

fn checkpoint(position: u64, pending: &[u64]) -> Checkpoint {
    Checkpoint {
        position: id(position),
        pending: pending.iter().map(|seq| id(*seq)).collect(),
        delivery_state: DeliveryState::default(),
    }
}

#[test]
fn finishing_out_of_order_never_moves_the_bound_past_an_unfinished_entry() {
    let mut cursor = cursor(1..=3);
    cursor.note_started(id(3));
    assert!(cursor.note_finished(id(2)));
    assert!(cursor.note_finished(id(3)));
    assert_eq!(cursor.trim_bound(), TrimBound::Below(id(1)));
    assert_eq!(cursor.in_flight().collect::<Vec<_>>(), [id(1)]);
    assert!(cursor.note_finished(id(1)));
    assert_eq!(cursor.trim_bound(), TrimBound::Below(id(4)));
}

#[test]
fn an_entry_is_finished_once() {
    let mut cursor = cursor(1..=1);
    assert!(cursor.note_finished(id(1)));
    assert!(!cursor.note_finished(id(1)));
    assert!(!cursor.note_finished(id(9)));
    assert_eq!(cursor.unacknowledged_bytes(), 0);
}

#[test]
fn the_bound_behind_the_last_possible_id_is_everything() {
    let mut cursor = Cursor::default();
    cursor.note_read(&[(EntryId::MAX, 1)]);
    assert_eq!(cursor.trim_bound(), TrimBound::Below(EntryId::MAX));
    assert!(cursor.note_finished(EntryId::MAX));
    assert_eq!(cursor.trim_bound(), TrimBound::Everything);
}

#[test]
fn waiting_entries_can_be_put_back_and_started_ones_stay() {
    let mut cursor = cursor(1..=5);
    cursor.note_started(id(2));
    assert!(cursor.has_waiting());
    cursor.put_back_waiting();
    assert!(!cursor.has_waiting());
    assert_eq!(cursor.read(), id(2));
    assert_eq!(cursor.unacknowledged(), 2);
    assert_eq!(cursor.unacknowledged_bytes(), 20);
    cursor.note_read(&[(id(3), 10)]);
    assert_eq!(cursor.unacknowledged(), 3);
}

#[test]
fn what_nobody_wanted_before_entries_that_are_put_back_is_not_read_again() {
    let mut cursor = cursor(1..=1);
    cursor.note_skipped(id(2));
    cursor.note_started(id(1));
    assert_eq!(cursor.checkpoint_up_to(EntryId::MAX), checkpoint(2, &[1]));
    cursor.note_read(&[(id(3), 10)]);
    cursor.note_skipped(id(4));
    cursor.note_read(&[(id(5), 10)]);
    cursor.put_back_waiting();
    assert_eq!((cursor.read(), cursor.unacknowledged()), (id(2), 1));
    cursor.note_skipped(id(3));
    cursor.note_read(&[(id(5), 10)]);
    cursor.put_back_waiting();
    assert_eq!(cursor.read(), id(3));
}

#[test]
fn ids_above_the_one_that_was_set_back_to_can_be_read_again() {
    let mut cursor = cursor(1..=5);
    cursor.note_started(id(4));
    cursor.rewind(id(2));
    assert_eq!((cursor.read(), cursor.started()), (id(2), id(2)));
    assert_eq!(
        (cursor.unacknowledged(), cursor.unacknowledged_bytes()),
        (2, 20)
    );
    assert!(!cursor.note_finished(id(3)));
    cursor.note_read(&[(id(3), 1)]);
    assert_eq!(cursor.unacknowledged(), 3);
}

#[test]
fn what_is_lost_is_redelivered_before_what_is_behind_and_counts_as_not_started_until_it_is() {
    let mut cursor = cursor(1..=4);
    cursor.note_started(id(3));
    assert!(cursor.note_finished(id(1)));
    assert!(cursor.lose(id(2)));
    assert!(!cursor.lose(id(2)) && !cursor.lose(id(9)));
    assert_eq!(cursor.trim_bound(), TrimBound::Below(id(2)));
    assert_eq!(
        cursor.checkpoint_up_to(EntryId::MAX),
        checkpoint(3, &[2, 3])
    );
    assert_eq!(cursor.in_flight().collect::<Vec<_>>(), [id(3)]);
    assert_eq!(cursor.reach(), Reach::Only(id(2)));
    assert!(cursor.note_read(&[(id(2), 10)]));
    assert_eq!(cursor.reach(), Reach::Behind(id(4)));
    assert_eq!((cursor.in_flight_count(), cursor.kept_up_to(id(3))), (1, 1));
    assert_eq!(cursor.redeliveries().collect::<Vec<_>>(), [id(2)]);
    assert_eq!(
        cursor.checkpoint_up_to(EntryId::MAX),
        checkpoint(3, &[2, 3])
    );
    cursor.note_started(id(2));
    assert_eq!((cursor.in_flight_count(), cursor.kept_up_to(id(3))), (2, 1));
    assert!(cursor.is_lost(id(2)) && !cursor.is_lost(id(3)));
    cursor.forget_losses();
    assert_eq!(cursor.kept_up_to(id(3)), 2);
    assert!(cursor.note_finished(id(2)) && cursor.note_finished(id(3)));
    assert_eq!(cursor.checkpoint_up_to(EntryId::MAX), checkpoint(3, &[]));
}

#[test]
fn what_is_lost_and_gone_from_the_stream_is_done() {
    let mut cursor = cursor(1..=2);
    cursor.note_started(id(2));
    assert!(cursor.lose(id(1)));
    assert!(cursor.note_read(&[]));
    assert_eq!(cursor.checkpoint_up_to(EntryId::MAX), checkpoint(2, &[2]));
    assert_eq!(cursor.trim_bound(), TrimBound::Below(id(2)));
}

#[test]
fn ids_that_do_not_ascend_are_refused() {
    let mut cursor = cursor(1..=5);
    cursor.note_read(&[(id(5), 1), (id(4), 1)]);
    assert_eq!(cursor.unacknowledged(), 5);
}

#[test]
fn a_checkpoint_names_what_was_started_and_not_finished_and_nothing_that_only_waits() {
    let mut cursor = cursor(1..=6);
    cursor.note_started(id(4));
    assert!(cursor.note_finished(id(1)));
    assert!(cursor.note_finished(id(3)));
    assert_eq!(
        cursor.checkpoint_up_to(EntryId::MAX),
        checkpoint(4, &[2, 4])
    );
}

#[test]
fn what_was_pending_at_a_checkpoint_is_read_again_one_by_one_and_then_what_is_behind() {
    let mut cursor = Cursor::resume(&checkpoint(4, &[2, 4]));
    assert_eq!(cursor.position_up_to(EntryId::MAX), id(4));
    assert_eq!(cursor.trim_bound(), TrimBound::Below(id(2)));
    assert_eq!(cursor.reach(), Reach::Only(id(2)));
    assert!(cursor.note_read(&[(id(2), 1)]));
    assert_eq!(cursor.reach(), Reach::Only(id(4)));
    assert!(cursor.note_read(&[]), "4 was deleted");
    assert_eq!(cursor.reach(), Reach::Behind(id(4)));
    assert_eq!(cursor.checkpoint_up_to(EntryId::MAX), checkpoint(4, &[2]));
    cursor.note_read(&[(id(5), 1)]);
    assert!(cursor.note_finished(id(2)));
    assert_eq!(cursor.checkpoint_up_to(EntryId::MAX), checkpoint(4, &[]));
    assert!(cursor.note_finished(id(5)));
    assert_eq!(cursor.checkpoint_up_to(EntryId::MAX), checkpoint(5, &[]));
}

#[test]
fn what_was_to_be_redelivered_and_is_put_back_is_still_to_be_redelivered_and_nothing_finished_is() {
    let mut cursor = Cursor::resume(&checkpoint(9, &[2, 5, 7]));
    cursor.note_read(&[(id(2), 1)]);
    cursor.note_read(&[(id(5), 1)]);
    cursor.note_started(id(2));
    let redelivered: Vec<_> = cursor.redeliveries().collect();
    assert_eq!(redelivered, [id(5), id(7)]);
    cursor.put_back_waiting();
    assert_eq!(cursor.reach(), Reach::Only(id(5)));
    assert_eq!((cursor.read(), cursor.unacknowledged_bytes()), (id(9), 1));
    assert_eq!(
        cursor.checkpoint_up_to(EntryId::MAX),
        checkpoint(9, &[2, 5, 7])
    );
}

#[test]
fn setting_the_last_id_back_forgets_what_was_to_be_redelivered_above_it() {
    let mut cursor = Cursor::resume(&checkpoint(9, &[2, 5, 7]));
    cursor.rewind(id(5));
    assert_eq!(
        cursor.checkpoint_up_to(EntryId::MAX),
        checkpoint(5, &[2, 5])
    );
}

#[test]
fn a_checkpoint_that_is_out_of_order_does_no_harm() {
    let cursor = Cursor::resume(&checkpoint(4, &[3, 2, 9, 3, 4]));
    assert_eq!(
        cursor.checkpoint_up_to(EntryId::MAX),
        checkpoint(4, &[3, 4])
    );
}

#[test]
fn the_position_before_what_never_began_is_an_id_that_was_there() {
    let mut cursor = Cursor::default();
    cursor.note_read(&[(EntryId::new(1, 1), 10), (EntryId::new(5, 0), 10)]);
    cursor.note_started(EntryId::new(5, 0));
    assert!(cursor.note_finished(EntryId::new(1, 1)));
    let begun = EntryId::new(5, 0).before();
    assert_eq!(cursor.position_up_to(begun), EntryId::new(1, 1));
    assert_eq!(cursor.position_up_to(EntryId::MAX), EntryId::new(5, 0));
    let first = Cursor::position_up_to(&cursor, EntryId::ZERO);
    assert_eq!(first, EntryId::ZERO);
}

//! One whole entry, from the XADD's event to the trim: what the core decides and a script does.

use gears_core::delivery::{ConsumerSpec, Dispatch, EntryId, Event, Mode, RecordBatch};

use super::Step;
use super::core::Core;
use super::script::{Consumer, add_entry};

/// The reader's part: these entries, as it hands them on.
fn batch_of(entries: &[(EntryId, usize)]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for (id, _) in entries {
        add_entry(&mut batch, *id, 1);
    }
    batch
}

/// An entry of each tick, for a sync consumer that trims.
pub(super) fn sync(callback: &str) -> Step {
    let spec = ConsumerSpec::new(b"stream:", 1, true, Mode::Sync);
    let mut core = Core::new(1, &spec);
    let consumer = Consumer::new(callback);
    Box::new(move || {
        let before = core.add(1);
        while let Some(dispatch) = core.delivery.next_dispatch(false) {
            let Dispatch::Run { sub, .. } = dispatch else {
                panic!("{dispatch:?}");
            };
            assert!(core.delivery.read_request(sub).is_some(), "room for one");
            let entries = core.read(sub, before);
            core.started(sub, entries[0].0);
            consumer.call(&batch_of(&entries), &mut |id| core.finished(sub, id));
            core.delivery.on(Event::Yielded(sub));
        }
        assert_eq!(core.end_tick(), (1, 1));
    })
}

/// So many entries of each tick, for an async consumer that trims.
pub(super) fn asynchronous(callback: &str, entries: u64) -> Step {
    let spec = ConsumerSpec::new(b"stream:", 50, true, Mode::Async);
    let mut core = Core::new(1, &spec);
    let consumer = Consumer::new(callback);
    Box::new(move || {
        let before = core.add(entries);
        while let Some(dispatch) = core.delivery.next_dispatch(false) {
            let Dispatch::Read(request) = dispatch else {
                panic!("{dispatch:?}");
            };
            let entries = core.read(request.sub, before);
            if let Some((last, _)) = entries.last() {
                core.started(request.sub, *last);
            }
            consumer.call(&batch_of(&entries), &mut |id| {
                core.finished(request.sub, id);
            });
        }
        assert_eq!(core.end_tick(), (1, 1));
    })
}

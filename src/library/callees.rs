//! Functions as calls find them.
//!
//! A call names its library and its function, and clients mostly call the same few: those that were
//! called last are kept with what a call needs of them, until any library changes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::executor::LibraryExecutor;
use gears_v8::ports::{Function, RunAs};

use super::registry::{LibraryStatus, Registry};

/// How many are kept.
const KEPT: usize = 4;

/// A function that may be called, and where.
#[derive(Debug)]
pub(crate) struct Callee {
    /// The library's name.
    pub(crate) library: String,
    /// The function's name.
    name: String,
    /// Where the library runs.
    pub(crate) executor: Arc<LibraryExecutor>,
    /// The function.
    pub(crate) function: Arc<Function>,
    /// The library's owner, where the function acts as that user.
    pub(crate) owner: Option<Arc<str>>,
    /// Whether it is paused.
    pub(crate) is_paused: bool,
}

impl Callee {
    fn is(&self, library: &[u8], function: &[u8]) -> bool {
        self.name.as_bytes() == function && self.library.as_bytes() == library
    }

    /// Looks a function up.
    ///
    /// # Errors
    /// Why it cannot be called.
    fn look_up(library: &[u8], function: &[u8], registry: &Registry) -> Result<Self, String> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "Couldn't parse as UTF-8 string");
        let (name, function_name) = (text(library)?, text(function)?);
        let library = registry
            .get(name)
            .ok_or_else(|| format!("Unknown library {name}"))?;
        let executor = match &library.status {
            LibraryStatus::Live(executor) => executor,
            LibraryStatus::Quarantined { error } => {
                return Err(format!("Err the library is in quarantine: {error}"));
            }
        };
        let is_paused = library.is_paused_function(function_name);
        let function = library
            .functions
            .get(function_name)
            .ok_or_else(|| format!("Unknown function {function_name}"))?;
        Ok(Self {
            library: name.to_owned(),
            name: function_name.to_owned(),
            executor: Arc::clone(executor),
            function: Arc::clone(function),
            owner: (function.run_as == RunAs::Owner).then(|| Arc::clone(&library.user)),
            is_paused,
        })
    }
}

/// Those that were called last.
#[derive(Default)]
pub(super) struct Callees {
    kept: RefCell<[Option<Rc<Callee>>; KEPT]>,
    /// The place of the next one that is not among them.
    next: Cell<usize>,
}

impl Callees {
    /// The function of that library, which the registry has.
    ///
    /// # Errors
    /// Why it cannot be called.
    pub(super) fn find(
        &self,
        library: &[u8],
        function: &[u8],
        registry: &RefCell<Registry>,
    ) -> Result<Rc<Callee>, String> {
        let mut kept = self.kept.borrow_mut();
        let mut known = kept.iter().flatten();
        if let Some(callee) = known.find(|one| one.is(library, function)) {
            return Ok(Rc::clone(callee));
        }
        let found = Rc::new(Callee::look_up(library, function, &registry.borrow())?);
        let place = self.next.get();
        self.next.set((place + 1) % KEPT);
        kept[place] = Some(Rc::clone(&found));
        Ok(found)
    }

    /// Forgets all: a library is about to change.
    pub(super) fn forget(&self) {
        self.kept.take();
    }
}

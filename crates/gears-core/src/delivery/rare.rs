//! State that most subscriptions do not have most of the time.

use std::ops::{Deref, DerefMut};

/// What can be absent, which means the same as its default.
pub(super) trait Absent: Default + 'static {
    /// What is read where there is none.
    const ABSENT: &'static Self;

    /// Whether it might as well be absent.
    fn is_absent(&self) -> bool;
}

/// A value that takes no memory but a pointer's as long as nobody has changed it. Changing it makes
/// it; [`Rare::tidy`] gives it up again.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare<T>(Option<Box<T>>);

impl<T: Absent> Rare<T> {
    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Gives the memory back where nothing is kept in it.
    pub(super) fn tidy(&mut self) {
        if self.0.as_ref().is_some_and(|value| value.is_absent()) {
            self.0 = None;
        }
    }
}

impl<T: Absent> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((!value.is_absent()).then(|| Box::new(value)))
    }
}

impl<T: Absent> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::ABSENT)
    }
}

impl<T: Absent> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

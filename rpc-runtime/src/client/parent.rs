//! The call under service that makes another one, which is called off with it.

use std::sync::Arc;

use super::whereabouts::Whereabouts;
use crate::context::CallContext;

/// The call that made this one, and what it does to this one when it is cancelled.
#[derive(Debug, Default)]
pub(super) struct Parent(Option<(CallContext, u64)>);

impl Parent {
    /// Has `parent` call `cancel` when it is cancelled, or now if it was a moment ago. One whose
    /// handler has returned calls nothing off any more.
    pub(super) fn enter(
        parent: Option<CallContext>,
        cancel: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self(parent.and_then(|parent| {
            let number = parent.register_cancel(Box::new(cancel))?;
            Some((parent, number))
        }))
    }

    /// Whether nothing calls this one off.
    pub(super) const fn is_nobody(&self) -> bool {
        self.0.is_none()
    }

    /// As [`Parent::enter`], for a call that moves.
    pub(super) fn enter_moving(
        parent: Option<CallContext>,
        whereabouts: &Arc<Whereabouts>,
    ) -> Self {
        let child = Arc::clone(whereabouts);
        Self::enter(parent, move || child.cancel())
    }

    /// Follows a call that begins to move.
    pub(super) fn moved(mut self, whereabouts: &Arc<Whereabouts>) -> Self {
        let parent = self.0.take().map(|(parent, number)| {
            parent.forget_cancel(number);
            parent
        });
        Self::enter_moving(parent, whereabouts)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        if let Some((parent, number)) = self.0.take() {
            parent.forget_cancel(number);
        }
    }
}

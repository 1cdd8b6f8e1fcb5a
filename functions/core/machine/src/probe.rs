//! The seam by which a test of one state looks into it: no real step has a probe.

use std::cell::RefCell;

use fluxus_schema::TaskToken;
use serde_json::{Value, json};

use crate::branch::{Failure, MapItem};
use crate::context;
use crate::definition::Then;
use crate::test_state::InspectionData;

/// Looks into one state while it runs. The state's step ends where the state is left.
pub(crate) struct Probe {
    context: Value,
    /// Whether the context object is the one that the test gave: then it holds no more than that.
    is_given: bool,
    seen: RefCell<Seen>,
}

/// What a probe has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// The stages that the state's data went through.
    pub(crate) data: InspectionData,
    /// Why the state failed, before its retriers and catchers were asked.
    pub(crate) failure: Option<Failure>,
    /// Where it was left for.
    pub(crate) then: Option<Then>,
}

impl Probe {
    /// A probe of a state whose expressions read `context` as `$$` and `$states.context`.
    pub(crate) fn new(context: Value, is_given: bool) -> Self {
        Self { context, is_given, seen: RefCell::default() }
    }

    pub(crate) fn inspect(&self, show: impl FnOnce(&mut InspectionData)) {
        show(&mut self.seen.borrow_mut().data);
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        self.seen.borrow_mut().failure = Some(failure.clone());
    }

    pub(crate) fn left(&self, then: Then) {
        self.seen.borrow_mut().then = Some(then);
    }

    /// The context object, while a Map makes `item` or a task has `token`.
    pub(crate) fn context_object(
        &self,
        item: Option<&MapItem>,
        token: Option<&TaskToken>,
    ) -> Value {
        let mut object = self.context.clone();
        let parts = [
            ("Map", item.map(context::map_item)),
            ("Task", token.filter(|_| !self.is_given).map(|token| json!({ "Token": token }))),
        ];
        if let Some(members) = object.as_object_mut() {
            for (name, part) in parts {
                members.extend(part.map(|part| (name.to_owned(), part)));
            }
        }
        object
    }

    pub(crate) fn into_seen(self) -> Seen {
        self.seen.into_inner()
    }
}

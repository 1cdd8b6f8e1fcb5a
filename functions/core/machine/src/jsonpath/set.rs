//! Putting a value at a reference path.

use serde_json::{Map, Value};

use super::syntax::Segment;
use super::{Path, PathFailure};

pub(super) fn set(path: &Path, root: &mut Value, value: Value) -> Result<(), PathFailure> {
    if !fits(&path.segments, root) {
        let input = root.to_string();
        return Err(PathFailure::CannotApply { path: path.as_str().to_owned(), input });
    }
    place(&path.segments, root, value);
    Ok(())
}

/// Whether the path can be applied; asked first so that a failure leaves the document unchanged.
fn fits(segments: &[Segment], root: &Value) -> bool {
    let mut here = Some(root);
    for segment in segments {
        here = match (segment, here) {
            (Segment::Name(name), Some(Value::Object(members))) => members.get(&**name),
            (Segment::Name(_), None) => None,
            (Segment::Index(index), Some(Value::Array(items))) => {
                match usize::try_from(*index).ok().and_then(|index| items.get(index)) {
                    Some(item) => Some(item),
                    None => return false,
                }
            }
            _ => return false,
        };
    }
    true
}

/// A path that does not fit changes nothing; [`fits`] has ruled that out.
fn place(segments: &[Segment], root: &mut Value, value: Value) {
    let Some((first, rest)) = segments.split_first() else {
        *root = value;
        return;
    };
    match (first, root) {
        (Segment::Name(name), Value::Object(members)) => {
            let empty = || Value::Object(Map::new());
            place(rest, members.entry(&**name).or_insert_with(empty), value);
        }
        (Segment::Index(index), Value::Array(items)) => {
            if let Some(item) = usize::try_from(*index).ok().and_then(|at| items.get_mut(at)) {
                place(rest, item, value);
            }
        }
        _ => {}
    }
}

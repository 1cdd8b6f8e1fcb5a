//! Evaluating a JSONPath.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::java;
use super::syntax::{Condition, Segment, quoted};
use super::{MAX_SCAN_DEPTH, MAX_VISITS, Path, PathFailure, filter};

/// A path whose every step names one value.
pub(super) fn definite<'a>(path: &Path, root: &'a Value) -> Result<Cow<'a, Value>, PathFailure> {
    definite_segments(&path.segments, root)
}

pub(super) fn definite_segments<'a>(
    segments: &[Segment],
    root: &'a Value,
) -> Result<Cow<'a, Value>, PathFailure> {
    let mut here = root;
    for (at, segment) in segments.iter().enumerate() {
        let before = || canonical(&segments[..at]);
        let after = || canonical(&segments[..=at]);
        here = match segment {
            Segment::Name(name) => match here {
                Value::Object(members) => match members.get(&**name) {
                    Some(member) => member,
                    None if at + 1 == segments.len() => {
                        return Err(PathFailure::NoResults(after()));
                    }
                    None => return Err(PathFailure::MissingProperty(after())),
                },
                _ => {
                    let property = format!("'{name}'");
                    return Err(PathFailure::NotAnObject { property, path: before() });
                }
            },
            Segment::Names(names) => return pick(names, here, before).map(Cow::Owned),
            _ => element(&segments[at..], here, before, after)?,
        };
    }
    Ok(Cow::Borrowed(here))
}

/// The canonical form of a path's start: `$['a'][0]`.
fn canonical(segments: &[Segment]) -> String {
    format!("${}", steps(segments))
}

/// The canonical form of some steps: `['a'][0]`.
fn steps(segments: &[Segment]) -> String {
    segments.iter().map(Segment::to_string).collect()
}

/// The object of those of the named members that are there.
fn pick(names: &[Box<str>], here: &Value, path: impl Fn() -> String) -> Result<Value, PathFailure> {
    let Value::Object(members) = here else {
        return Err(PathFailure::NotAnObject { property: quoted(names), path: path() });
    };
    let found = names.iter().filter_map(|name| members.get_key_value(&**name));
    Ok(Value::Object(
        found.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>(),
    ))
}

/// What the first of the steps, an index, selects.
fn element<'a>(
    segments: &[Segment],
    here: &'a Value,
    before: impl Fn() -> String,
    after: impl Fn() -> String,
) -> Result<&'a Value, PathFailure> {
    let items = items(segments, here, before)?;
    let index = match segments.first() {
        Some(Segment::Index(index)) => usize::try_from(*index).ok(),
        Some(Segment::FromEnd(back)) => items.len().checked_sub(*back as usize),
        _ => None,
    };
    index.and_then(|index| items.get(index)).ok_or_else(|| PathFailure::IndexOutOfBounds(after()))
}

/// The array that the first of the steps selects from.
fn items<'a>(
    segments: &[Segment],
    here: &'a Value,
    before: impl Fn() -> String,
) -> Result<&'a [Value], PathFailure> {
    match here {
        Value::Array(items) => Ok(items),
        Value::Null => Err(PathFailure::Null(before())),
        _ => Err(PathFailure::NotAnArray {
            selector: steps(segments),
            context: java::to_string(here),
        }),
    }
}

/// A path that may find any number of values.
pub(super) fn indefinite(path: &Path, root: &Value) -> Result<Value, PathFailure> {
    let definite = path.segments.iter().rev().take_while(|segment| segment.is_definite()).count();
    let definite_from = path.segments.len() - definite;
    let mut walk = Walk { path, definite_from, root, visits: 0, found: Vec::new() };
    walk.step(0, root, &At::Root)?;
    Ok(Value::Array(walk.found.into_iter().map(Cow::into_owned).collect()))
}

/// Where an evaluation stands; a list on the stack, printed only when it fails.
enum At<'p> {
    Root,
    Member(&'p At<'p>, &'p str),
    Element(&'p At<'p>, usize),
}

impl At<'_> {
    fn text(&self) -> String {
        match self {
            Self::Root => "$".to_owned(),
            Self::Member(parent, name) => format!("{}['{name}']", parent.text()),
            Self::Element(parent, index) => format!("{}[{index}]", parent.text()),
        }
    }
}

struct Walk<'p, 'a> {
    path: &'p Path,
    /// The step from which on all are definite.
    definite_from: usize,
    root: &'a Value,
    visits: usize,
    found: Vec<Cow<'a, Value>>,
}

impl<'a> Walk<'_, 'a> {
    /// Takes step `number` of the path, and all after it, from the value `here`.
    fn step(&mut self, number: usize, here: &'a Value, at: &At<'_>) -> Result<(), PathFailure> {
        self.visit()?;
        let segments = &self.path.segments[number..];
        let Some(segment) = segments.first() else {
            self.found.push(Cow::Borrowed(here));
            return Ok(());
        };
        match segment {
            Segment::Name(name) => match here {
                Value::Object(members) => match members.get(&**name) {
                    Some(member) => self.step(number + 1, member, &At::Member(at, name)),
                    None if segments.len() == 1 => {
                        Err(PathFailure::NoResults(At::Member(at, name).text()))
                    }
                    // Next to a step that may find many, a missing member is passed over.
                    None if number <= self.definite_from => Ok(()),
                    None => Err(PathFailure::MissingProperty(At::Member(at, name).text())),
                },
                _ => {
                    let property = format!("'{name}'");
                    Err(PathFailure::NotAnObject { property, path: at.text() })
                }
            },
            Segment::Names(names) => {
                let picked = pick(names, here, || at.text())?;
                self.found.push(Cow::Owned(picked));
                Ok(())
            }
            Segment::Index(index) => self.elements(number, [*index], here, at),
            Segment::FromEnd(back) => {
                let length = items(segments, here, || at.text())?.len();
                let index = i64::try_from(length).unwrap_or(i64::MAX) - i64::from(*back);
                self.elements(number, [index], here, at)
            }
            Segment::Indexes(indexes) => self.elements(number, indexes.iter().copied(), here, at),
            Segment::Slice { from, to } => {
                let length = items(segments, here, || at.text())?.len();
                let range = slice(*from, *to, i64::try_from(length).unwrap_or(i64::MAX));
                self.elements(number, range, here, at)
            }
            Segment::Wildcard => self.wildcard(number + 1, here, at),
            Segment::Scan => self.scan(number + 1, here, at, 0),
            Segment::Filter(condition) => self.filter(number, condition, here, at),
        }
    }

    fn elements(
        &mut self,
        number: usize,
        indexes: impl IntoIterator<Item = i64>,
        here: &'a Value,
        at: &At<'_>,
    ) -> Result<(), PathFailure> {
        let items = items(&self.path.segments[number..], here, || at.text())?;
        for index in indexes {
            let Some(place) = usize::try_from(index).ok().filter(|place| *place < items.len())
            else {
                let path = format!("{}[{index}]", at.text());
                return Err(PathFailure::IndexOutOfBounds(path));
            };
            self.step(number + 1, &items[place], &At::Element(at, place))?;
        }
        Ok(())
    }

    fn filter(
        &mut self,
        number: usize,
        condition: &Condition,
        here: &'a Value,
        at: &At<'_>,
    ) -> Result<(), PathFailure> {
        match here {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.visit()?;
                    if filter::holds(condition, item, self.root)? {
                        self.step(number + 1, item, &At::Element(at, index))?;
                    }
                }
                Ok(())
            }
            Value::Object(_) => {
                if filter::holds(condition, here, self.root)? {
                    self.step(number + 1, here, at)?;
                }
                Ok(())
            }
            _ => Err(PathFailure::Primitive {
                selector: steps(&self.path.segments[number..]),
                context: java::to_string(here),
            }),
        }
    }

    /// Elements of an array that lack what the rest asks for are skipped; members of an object are
    /// not: so it is in the service.
    fn wildcard(&mut self, next: usize, here: &'a Value, at: &At<'_>) -> Result<(), PathFailure> {
        match here {
            Value::Object(members) => {
                for (name, member) in members {
                    self.step(next, member, &At::Member(at, name))?;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    match self.step(next, item, &At::Element(at, index)) {
                        Err(failure) if !failure.is_not_found() => return Err(failure),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The steps from `next` on, wherever the first of them finds something, outer values first.
    fn scan(
        &mut self,
        next: usize,
        here: &'a Value,
        at: &At<'_>,
        depth: usize,
    ) -> Result<(), PathFailure> {
        if depth > MAX_SCAN_DEPTH {
            return Err(self.too_much(MAX_SCAN_DEPTH));
        }
        self.visit()?;
        if self.path.segments.get(next).is_some_and(|segment| segment.fits(here)) {
            self.step(next, here, at)?;
        }
        match here {
            Value::Object(members) => {
                for (name, member) in members {
                    self.scan(next, member, &At::Member(at, name), depth + 1)?;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.scan(next, item, &At::Element(at, index), depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit(&mut self) -> Result<(), PathFailure> {
        self.visits += 1;
        if self.visits > MAX_VISITS { Err(self.too_much(MAX_VISITS)) } else { Ok(()) }
    }

    fn too_much(&self, limit: usize) -> PathFailure {
        PathFailure::TooMuch { path: self.path.as_str().to_owned(), limit }
    }
}

/// The indexes of a slice. A negative start of a two-sided slice stays out of bounds, as in the
/// service, except in an empty array; a one-sided slice is cut to the array.
fn slice(from: Option<i64>, to: Option<i64>, length: i64) -> std::ops::Range<i64> {
    if length == 0 {
        return 0..0;
    }
    match (from, to) {
        (Some(from), Some(to)) => from..to.min(length),
        (Some(from), None) if from < 0 => from.saturating_add(length).max(0)..length,
        (Some(from), None) => from..length,
        (None, Some(to)) if to < 0 => 0..to.saturating_add(length),
        (None, to) => 0..to.unwrap_or(length).min(length),
    }
}

impl Segment {
    /// Whether the step finds something in the value, for `..`.
    fn fits(&self, here: &Value) -> bool {
        match (self, here) {
            (Self::Name(name), Value::Object(members)) => members.contains_key(&**name),
            (Self::Names(names), Value::Object(members)) => {
                names.iter().all(|name| members.contains_key(&**name))
            }
            (Self::Wildcard, Value::Object(_) | Value::Array(_)) => true,
            (Self::Index(index), Value::Array(items)) => {
                usize::try_from(*index).is_ok_and(|index| index < items.len())
            }
            (Self::FromEnd(back), Value::Array(items)) => *back as usize <= items.len(),
            (Self::Indexes(_) | Self::Slice { .. } | Self::Filter(_), Value::Array(_)) => true,
            _ => false,
        }
    }
}

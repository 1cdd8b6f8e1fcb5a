//! Names that may have been meant.

/// Most names that are looked through. In a definition of thousands of states a wrong name is told
/// without a guess, so that checking stays linear.
const MAX_NAMES: usize = 500;

/// The name that needs the fewest changes, if they are few.
pub(super) fn nearest<'a>(
    names: impl ExactSizeIterator<Item = &'a str>,
    name: &str,
) -> Option<&'a str> {
    if names.len() > MAX_NAMES {
        return None;
    }
    let near = names.map(|near| (distance(near, name), near)).min()?;
    (near.0 <= name.len().div_ceil(3)).then_some(near.1)
}

/// How many characters must be put in, left out or replaced to make one text of the other; case
/// does not count.
pub(super) fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

//! CSV: each row becomes an object of texts, named by the headers. Fields past the headers are
//! dropped, missing ones are empty.

use fluxus_schema::items::{Delimiter, HeaderLocation, ReaderConfig};
use serde_json::{Map, Value};

use super::{Page, Unreadable, Window, too_large, without_mark};

/// Reads into the page; whether the source ended.
pub(super) fn read(
    config: &ReaderConfig,
    window: Window<'_>,
    page: &mut Page,
) -> Result<bool, Unreadable> {
    let (bytes, mark) = without_mark(window, &page.position);
    let start = page.position.offset + mark as u64;
    let delimiter = config.csv_delimiter.unwrap_or(Delimiter::Comma).byte();
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    if page.position.headers.is_none() && config.csv_header_location == Some(HeaderLocation::Given)
    {
        page.position.headers = Some(distinct(config.csv_headers.clone().unwrap_or_default())?);
    }
    let mut row = csv::StringRecord::new();
    loop {
        let before = rows.position().clone();
        let found = rows.read_record(&mut row).map_err(|error| {
            Unreadable(format!("Row {} is no CSV: {error}", page.position.items + 1))
        })?;
        let end = rows.position().byte();
        // A row that goes up to the end of the window may go on behind it.
        let is_whole = window.is_last || end < bytes.len() as u64;
        match (found, is_whole) {
            (false, _) => return Ok(window.is_last),
            (true, false) if page.items.is_empty() && before.byte() == 0 => {
                return Err(too_large(window));
            }
            (true, false) => return Ok(false),
            (true, true) => {}
        }
        let Some(headers) = &page.position.headers else {
            page.position.headers = Some(distinct(row.iter().map(str::to_owned).collect())?);
            page.position.offset = start + end;
            continue;
        };
        if !page.has_room() {
            return Ok(false);
        }
        let fields = row.iter().chain(std::iter::repeat(""));
        let item: Map<_, _> = headers
            .iter()
            .zip(fields)
            .map(|(name, field)| (name.clone(), Value::from(field)))
            .collect();
        if !page.take(Value::Object(item), start + end) {
            return Ok(false);
        }
    }
}

fn distinct(headers: Vec<String>) -> Result<Vec<String>, Unreadable> {
    let mut sorted = headers.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Unreadable("CSV headers cannot contain duplicates.".to_owned()));
    }
    Ok(headers)
}

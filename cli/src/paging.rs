//! Lists that come in pages: one after the other, printed as one document.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Call, ClientError, Document};
use crate::exit::Usage;
use crate::output::{Printer, StdoutFailed, note};

/// The pages of one list, in order.
pub struct Pages<F> {
    call: F,
    cursor: Option<String>,
    one: bool,
    ended: bool,
}

/// What paging needs to know of a page.
#[derive(Deserialize)]
struct Cursor {
    next_cursor: Option<String>,
}

impl<'a, F: Fn() -> Result<Call<'a>, Usage>> Pages<F> {
    /// The pages that `call` gives, from `cursor` on.
    pub const fn new(call: F, cursor: Option<String>) -> Self {
        Self { call, cursor, one: false, ended: false }
    }

    /// Stops after the first page.
    #[must_use]
    pub fn only_one(self) -> Self {
        Self { one: true, ..self }
    }

    /// The next page; none after the last.
    ///
    /// # Errors
    /// Where the server cannot be reached or refuses.
    pub async fn next(&mut self) -> anyhow::Result<Option<Document>> {
        if self.ended {
            return Ok(None);
        }
        let call = (self.call)()?.query_opt("cursor", self.cursor.as_deref());
        let page = call.send().await?;
        let Cursor { next_cursor } = page.read()?;
        // A server that gives the same cursor again would keep us here for ever.
        self.ended = self.one || next_cursor.is_none() || next_cursor == self.cursor;
        self.cursor = next_cursor;
        Ok(Some(page))
    }

    /// Tells on stderr that there is more, and how to get it.
    pub fn say_where_to_go_on(&self) {
        if let (true, Some(cursor)) = (self.one, &self.cursor) {
            note(&format!("There is more: go on with --cursor {cursor}"));
        }
    }
}

/// Prints one page as it came, or several as one document: the entries under `field` are passed on
/// byte by byte as they come, so that a long list needs no memory.
///
/// # Errors
/// Where the server cannot be reached or refuses, or stdout cannot be written.
pub async fn print_merged<'a, F: Fn() -> Result<Call<'a>, Usage>>(
    pages: &mut Pages<F>,
    field: &str,
    printer: Printer,
) -> anyhow::Result<()> {
    let Some(first) = pages.next().await? else { return Ok(()) };
    if pages.ended {
        return printer.raw(&first.bytes);
    }
    let mut out = std::io::stdout();
    write!(out, "{{\"{field}\":[").map_err(StdoutFailed)?;
    let mut page = Some(first);
    let mut begun = false;
    while let Some(document) = page {
        for entry in entries(&document, field)? {
            let comma = if begun { "," } else { "" };
            write!(out, "{comma}{entry}").map_err(StdoutFailed)?;
            begun = true;
        }
        page = pages.next().await?;
    }
    writeln!(out, "]}}").map_err(StdoutFailed)?;
    Ok(out.flush().map_err(StdoutFailed)?)
}

fn entries(document: &Document, field: &str) -> Result<Vec<Box<RawValue>>, ClientError> {
    let mut fields: BTreeMap<String, Box<RawValue>> = document.read()?;
    let Some(list) = fields.remove(field) else { return Ok(Vec::new()) };
    document.part(&list)
}

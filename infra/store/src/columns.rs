//! Reading rows: every column is checked, and a bad one is reported with the row's key.

use std::error::Error;
use std::str::FromStr;
use std::time::SystemTime;

use fluxus_postgres::Row;
use fluxus_postgres::types::FromSql;
use fluxus_schema::limits::MAX_PRIORITY;
use fluxus_schema::{ClaimId, HybridTime, Timestamp};
use uuid::Uuid;

use crate::error::StoreError;
use crate::instant;

/// One row of a table, read by column name.
pub(crate) struct Columns<'a> {
    row: &'a Row,
    table: &'static str,
    /// The columns that make up the key, for messages.
    key: &'static [&'static str],
}

impl<'a> Columns<'a> {
    pub(crate) fn new(row: &'a Row, table: &'static str, key: &'static [&'static str]) -> Self {
        Self { row, table, key }
    }

    /// A column as the driver reads it.
    pub(crate) fn get<T: FromSql<'a>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|source| self.corrupt(column, source))
    }

    /// A text column as a type of ours.
    pub(crate) fn parse<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: Into<Box<dyn Error + Send + Sync>>,
    {
        self.get::<&str>(column)?.parse().map_err(|source: T::Err| self.corrupt(column, source))
    }

    /// A text column that may be null.
    pub(crate) fn parse_option<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: Into<Box<dyn Error + Send + Sync>>,
    {
        let text = self.get::<Option<&str>>(column)?.map(str::parse);
        text.transpose().map_err(|source: T::Err| self.corrupt(column, source))
    }

    /// A column that holds JSON as text.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?).map_err(|source| self.corrupt(column, source))
    }

    pub(crate) fn claim_id(&self, column: &'static str) -> Result<ClaimId, StoreError> {
        Ok(ClaimId(self.get::<Uuid>(column)?))
    }

    /// A number that is never negative.
    pub(crate) fn unsigned(&self, column: &'static str) -> Result<u32, StoreError> {
        let number: i32 = self.get(column)?;
        u32::try_from(number).map_err(|source| self.corrupt(column, source))
    }

    /// A priority.
    pub(crate) fn priority(&self, column: &'static str) -> Result<u8, StoreError> {
        let number: i16 = self.get(column)?;
        let is_one = number <= MAX_PRIORITY;
        let priority = u8::try_from(number).ok().filter(|_| is_one);
        priority.ok_or_else(|| self.corrupt(column, format!("{number} is not a priority")))
    }

    /// A count.
    pub(crate) fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|source| self.corrupt(column, source))
    }

    pub(crate) fn timestamp(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        Ok(instant::timestamp(self.get::<SystemTime>(column)?))
    }

    pub(crate) fn timestamp_option(
        &self,
        column: &'static str,
    ) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<SystemTime>>(column)?.map(instant::timestamp))
    }

    pub(crate) fn hybrid(&self, column: &'static str) -> Result<HybridTime, StoreError> {
        Ok(instant::hybrid(self.get::<SystemTime>(column)?))
    }

    /// The error that says this column is bad.
    pub(crate) fn corrupt(
        &self,
        column: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        let part = |name: &&str| {
            let id = self.row.try_get::<_, Uuid>(name).map(|id| id.to_string());
            let number = || self.row.try_get::<_, i32>(name).map(|number| number.to_string());
            id.or_else(|_| self.row.try_get(name)).or_else(|_| number()).unwrap_or_default()
        };
        let key = self.key.iter().map(part).collect::<Vec<_>>().join(" ");
        StoreError::Corrupt { table: self.table, key, column, source: source.into() }
    }
}

/// A number of ours as an `integer`; none of those stored comes near the end of the range.
pub(crate) fn integer(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A limit as Postgres takes it.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Text as Postgres takes it: U+0000, which it cannot store, is shown as U+FFFD. Only for words
/// that come from outside unchecked, such as a failed worker's last message.
pub(crate) fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

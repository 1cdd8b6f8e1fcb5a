//! Large bodies in a table of their own: what is large in a message is stored once, however many
//! messages carry it, and the message's row refers to it ([`fluxus_schema::payload`]).
//!
//! A batch without large bodies costs no statement more. One with large bodies costs one more to
//! send, and one more to receive. A body goes a minute after the last message that needed it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, DatabaseError, Param, Row, Statement, Transaction};
use fluxus_schema::payload::{self, Payload, PayloadHash, Payloads};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::send;
use crate::{DeadLetter, Outgoing, QueueError, Receipt, Received};

/// What the row of a message begins with that is in parts; its length is in `bodies.sql`.
const OPENING: &str = "{\"fluxus:payloads\":";

/// A message's row that is in parts.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    /// All parts, those that other parts refer to included.
    #[serde(rename = "fluxus:payloads")]
    payloads: Vec<String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// Messages in parts.
#[derive(Debug)]
struct Apart {
    rows: Vec<Outgoing>,
    parts: BTreeMap<PayloadHash, Payload>,
}

/// Messages as they are written: what is large in them is in parts.
#[derive(Debug)]
pub(super) struct Written<'m> {
    messages: Cow<'m, [Outgoing]>,
    apart: Option<Apart>,
}

impl<'m> Written<'m> {
    /// Checks that the messages can be written.
    pub(super) fn new(messages: impl Into<Cow<'m, [Outgoing]>>) -> Result<Self, QueueError> {
        let messages = messages.into();
        messages.iter().try_for_each(Outgoing::check)?;
        let apart = apart(&messages);
        Ok(Self { messages, apart })
    }

    /// What was given.
    pub(super) fn messages(&self) -> &[Outgoing] {
        &self.messages
    }

    /// The rows, and what puts their parts there before.
    fn rows(&self) -> (Option<Statement<'_>>, &[Outgoing]) {
        match &self.apart {
            None => (None, &self.messages),
            Some(Apart { rows, parts }) => (putting(parts), rows),
        }
    }

    /// What writes them; the last statement returns those that are handed over. None for no messages.
    pub(super) fn sending(&self, hidden: Option<&[Option<Duration>]>) -> Vec<Statement<'_>> {
        let (parts, rows) = self.rows();
        let rows = (!rows.is_empty()).then(|| send::sending(rows, hidden));
        parts.into_iter().chain(rows).collect()
    }

    /// What writes them as answers and deletes what they answer.
    fn answering(&self, answered: &[Receipt]) -> Vec<Statement<'_>> {
        let (parts, rows) = self.rows();
        parts.into_iter().chain([send::answering(rows, answered)]).collect()
    }
}

/// Takes messages apart where one of them is large.
fn apart(messages: &[Outgoing]) -> Option<Apart> {
    let is_plain = |message: &Outgoing| {
        message.body.len() <= payload::INLINE_BYTES && !message.body.starts_with(OPENING)
    };
    if messages.iter().all(is_plain) {
        return None;
    }
    let mut parts = BTreeMap::new();
    let rows = messages.iter().map(|message| match is_plain(message) {
        true => message.clone(),
        false => Outgoing { body: envelope(&message.body, &mut parts), ..message.clone() },
    });
    let rows = rows.collect();
    Some(Apart { rows, parts })
}

/// The row of a large message. What is no JSON, or looks like such a row, is one part as a whole.
fn envelope(body: &str, parts: &mut BTreeMap<PayloadHash, Payload>) -> String {
    let is_json =
        |(left, _): &(String, Vec<Payload>)| serde_json::from_str::<&RawValue>(left).is_ok();
    let (left, own) = payload::take_apart(body).filter(is_json).unwrap_or_else(|| {
        let (left, part) = payload::whole(body);
        (left, vec![part])
    });
    let Ok(left) = serde_json::from_str::<&RawValue>(&left) else { return body.to_owned() };
    let payloads = own.iter().map(|one| one.hash.to_string()).collect();
    let text = serde_json::to_string(&Envelope { payloads, body: left });
    parts.extend(own.into_iter().map(|one| (one.hash, one)));
    text.unwrap_or_else(|_| body.to_owned())
}

/// Sends messages.
pub(super) async fn send(database: &Database, messages: &[Outgoing]) -> Result<(), QueueError> {
    let written = Written::new(messages)?;
    let done = run(database, &written.sending(None)).await;
    done.map_err(QueueError::database("send messages"))
}

/// Sends answers and deletes what they answer.
pub(super) async fn answer(
    database: &Database,
    answers: &[Outgoing],
    answered: &[Receipt],
) -> Result<(), QueueError> {
    let written = Written::new(answers)?;
    let done = run(database, &written.answering(answered)).await;
    done.map_err(QueueError::database("answer messages"))
}

/// Runs statements, in one transaction where there are several.
async fn run(database: &Database, statements: &[Statement<'_>]) -> Result<(), DatabaseError> {
    if statements.is_empty() {
        return Ok(());
    }
    let mut session = database.session().await?;
    if let [only] = statements {
        session.query(only.sql(), &only.params()).await?;
        return Ok(());
    }
    session.begin().await?.commit_with(statements).await.map(|_rows| ())
}

/// In the order of their names, so that no two of these wait for each other.
fn putting(parts: &BTreeMap<PayloadHash, Payload>) -> Option<Statement<'_>> {
    const PUT: &str = "
        -- put bodies
        INSERT INTO fluxus_queue.body (sha256, body, refers, used_at)
        SELECT sha256, body, refers, statement_timestamp()
          FROM unnest($1::text[], $2::text[], $3::boolean[]) AS part (sha256, body, refers)
            ON CONFLICT (sha256) DO UPDATE SET used_at = excluded.used_at";
    if parts.is_empty() {
        return None;
    }
    let names: Vec<_> = parts.keys().map(ToString::to_string).collect();
    let bodies: Vec<_> = parts.values().map(|part| part.text.as_str()).collect();
    let refers: Vec<_> = parts.values().map(|part| !part.refers_to.is_empty()).collect();
    Some(
        Statement::new(PUT)
            .with(names, Type::TEXT_ARRAY)
            .with(bodies, Type::TEXT_ARRAY)
            .with(refers, Type::BOOL_ARRAY),
    )
}

const GET: &str = "
    -- get bodies
    SELECT sha256, body, refers FROM fluxus_queue.body WHERE sha256 = ANY ($1)";

/// Something with a body as its row has it.
pub(super) trait Carrier {
    /// The body.
    fn body(&mut self) -> &mut String;
}

impl Carrier for Received {
    fn body(&mut self) -> &mut String {
        &mut self.body
    }
}

impl Carrier for DeadLetter {
    fn body(&mut self) -> &mut String {
        &mut self.body
    }
}

/// Puts bodies together that were received.
pub(super) async fn resolve<C: Carrier>(
    database: &Database,
    mut carriers: Vec<C>,
) -> Result<Vec<C>, QueueError> {
    let names = names(&mut carriers);
    if !names.is_empty() {
        let run = async {
            let params: [Param<'_>; 1] = [(&names, Type::TEXT_ARRAY)];
            database.session().await?.query(GET, &params).await
        };
        restore(&mut carriers, &run.await.map_err(QueueError::database("get bodies"))?)?;
    }
    Ok(carriers)
}

/// The same in a transaction.
pub(super) async fn resolve_in(
    tx: &Transaction<'_>,
    mut carriers: Vec<Received>,
) -> Result<Vec<Received>, QueueError> {
    let names = names(&mut carriers);
    if !names.is_empty() {
        let got = tx.query(GET, &[(&names, Type::TEXT_ARRAY)]).await;
        restore(&mut carriers, &got.map_err(QueueError::database("get bodies"))?)?;
    }
    Ok(carriers)
}

/// The parts that these need.
fn names<C: Carrier>(carriers: &mut [C]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for carrier in carriers {
        if let Some(envelope) = opened(carrier.body()) {
            names.extend(envelope.payloads);
        }
    }
    names.into_iter().collect()
}

fn opened(body: &str) -> Option<Envelope<'_>> {
    body.starts_with(OPENING).then(|| serde_json::from_str(body).ok()).flatten()
}

/// A body whose parts are gone is left as it is: somebody else dealt with the message and deleted
/// it meanwhile. Otherwise whoever handles it cannot read it, and it dies in the end.
fn restore<C: Carrier>(carriers: &mut [C], rows: &[Row]) -> Result<(), QueueError> {
    let mut at_hand = Payloads::default();
    for row in rows {
        let name: &str = row.get("sha256");
        let hash: PayloadHash = name.parse().map_err(|_| QueueError::InvalidBody)?;
        at_hand.add(hash, row.get::<_, &str>("body"), row.get("refers"));
    }
    for carrier in carriers {
        let Some(envelope) = opened(carrier.body()) else { continue };
        match at_hand.restore(envelope.body.get()) {
            Ok(whole) => {
                let whole = whole.into_owned();
                *carrier.body() = whole;
            }
            Err(missing) => tracing::warn!(%missing, "a message's body is gone"),
        }
    }
    Ok(())
}

/// Deletes bodies that no message needs and none did for a minute. Returns how many.
///
/// A send that needs one again has moved its time within its own transaction: the delete waits for
/// it and looks again.
pub(super) async fn purge(database: &Database) -> Result<u64, QueueError> {
    const PURGE: &str = "
        -- purge bodies
        WITH old AS MATERIALIZED (
            SELECT sha256 FROM fluxus_queue.body
             WHERE used_at < statement_timestamp() - interval '1 minute'
        ), needed AS (
            SELECT json_array_elements_text(body::json -> 'fluxus:payloads') AS sha256
              FROM fluxus_queue.message
             WHERE left(body, 19) = '{\"fluxus:payloads\":' AND EXISTS (SELECT FROM old)
             UNION ALL
            SELECT json_array_elements_text(body::json -> 'fluxus:payloads')
              FROM fluxus_queue.dead_letter
             WHERE left(body, 19) = '{\"fluxus:payloads\":' AND EXISTS (SELECT FROM old)
        )
        DELETE FROM fluxus_queue.body
         WHERE sha256 IN (SELECT sha256 FROM old)
           AND sha256 NOT IN (SELECT sha256 FROM needed)
           AND used_at < statement_timestamp() - interval '1 minute'";
    let run = async { database.session().await?.execute(PURGE, &[]).await };
    run.await.map_err(QueueError::database("purge bodies"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueName;

    fn message(body: String) -> Outgoing {
        Outgoing::new(QueueName::new("q").expect("a name"), body)
    }

    #[test]
    fn small_messages_stay_whole() {
        assert!(apart(&[message("{}".to_owned())]).is_none());
    }

    #[test]
    fn messages_share_what_is_large_in_them() {
        let list = "x".repeat(payload::INLINE_BYTES);
        let messages = [1, 2].map(|n| message(format!(r#"{{"token":{n},"input":["{list}"]}}"#)));
        let Apart { rows, parts } = apart(&messages).expect("is large");
        assert_eq!((rows.len(), parts.len()), (2, 1));
        assert!(rows.iter().all(|row| row.body.len() < 500 && row.body.starts_with(OPENING)));
    }

    #[test]
    fn a_body_that_looks_like_an_envelope_is_put_into_one() {
        let like = r#"{"fluxus:payloads":[],"body":1}"#.to_owned();
        let Apart { rows, .. } = apart(&[message(like.clone())]).expect("is odd");
        let row = opened(&rows[0].body).expect("an envelope");
        assert_eq!(row.payloads, [PayloadHash::of(&like).to_string()]);
        assert_eq!(payload::references(row.body.get()).count(), 1);
    }
}

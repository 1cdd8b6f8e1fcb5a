//! Large bodies in a table of their own: what is large in a message is stored once, however many
//! messages carry it, and the message's row refers to it ([`fluxus_schema::payload`]).
//!
//! A batch without large bodies costs no statement more. One with large bodies costs one more to
//! send, and one more to receive. A body goes a minute after the last message that needed it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fluxus_postgres::types::Type;
use fluxus_postgres::{Database, DatabaseError, Param, Row, Transaction};
use fluxus_schema::payload::{self, Payload, PayloadHash, Payloads};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::hand_over::Row as HandedRow;
use super::{send, state};
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
struct Apart {
    rows: Vec<Outgoing>,
    parts: BTreeMap<PayloadHash, Payload>,
}

/// Takes messages apart where one of them is large.
fn apart(messages: &[Outgoing]) -> Result<Option<Apart>, QueueError> {
    let is_plain = |message: &Outgoing| {
        message.body.len() <= payload::INLINE_BYTES && !message.body.starts_with(OPENING)
    };
    if messages.iter().all(is_plain) {
        return Ok(None);
    }
    messages.iter().try_for_each(Outgoing::check)?;
    let mut parts = BTreeMap::new();
    let rows = messages.iter().map(|message| match is_plain(message) {
        true => message.clone(),
        false => Outgoing { body: envelope(&message.body, &mut parts), ..message.clone() },
    });
    let rows = rows.collect();
    Ok(Some(Apart { rows, parts }))
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

/// [`send::send`], with what is large in parts.
pub(super) async fn send(database: &Database, messages: &[Outgoing]) -> Result<(), QueueError> {
    let Some(Apart { rows, parts }) = apart(messages)? else {
        return send::send(database, messages).await;
    };
    const ACTION: &str = "send messages";
    let mut session = database.session().await.map_err(QueueError::database(ACTION))?;
    let tx = session.begin().await.map_err(QueueError::database(ACTION))?;
    put(&tx, &parts).await.map_err(QueueError::database(ACTION))?;
    send::send_in(&tx, &rows, None).await?;
    tx.commit().await.map_err(QueueError::database(ACTION))
}

/// [`send::send_in`], with what is large in parts.
pub(super) async fn send_in(
    tx: &Transaction<'_>,
    messages: &[Outgoing],
    hidden: Option<&[Option<Duration>]>,
) -> Result<Vec<HandedRow>, QueueError> {
    let Some(Apart { rows, parts }) = apart(messages)? else {
        return send::send_in(tx, messages, hidden).await;
    };
    put(tx, &parts).await.map_err(QueueError::database("send messages"))?;
    send::send_in(tx, &rows, hidden).await
}

/// [`send::answer`], with what is large in parts.
pub(super) async fn answer(
    database: &Database,
    answers: &[Outgoing],
    answered: &[Receipt],
) -> Result<(), QueueError> {
    let Some(Apart { rows, parts }) = apart(answers)? else {
        return send::answer(database, answers, answered).await;
    };
    const ACTION: &str = "send answers";
    let mut session = database.session().await.map_err(QueueError::database(ACTION))?;
    let tx = session.begin().await.map_err(QueueError::database(ACTION))?;
    put(&tx, &parts).await.map_err(QueueError::database(ACTION))?;
    send::send_in(&tx, &rows, None).await?;
    state::delete_in(&tx, answered).await?;
    tx.commit().await.map_err(QueueError::database(ACTION))
}

/// In the order of their names, so that no two of these wait for each other.
async fn put(
    tx: &Transaction<'_>,
    parts: &BTreeMap<PayloadHash, Payload>,
) -> Result<(), DatabaseError> {
    const PUT: &str = "
        -- put bodies
        INSERT INTO fluxus_queue.body (sha256, body, refers, used_at)
        SELECT sha256, body, refers, statement_timestamp()
          FROM unnest($1::text[], $2::text[], $3::boolean[]) AS part (sha256, body, refers)
            ON CONFLICT (sha256) DO UPDATE SET used_at = excluded.used_at";
    if parts.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = parts.keys().map(ToString::to_string).collect();
    let bodies: Vec<_> = parts.values().map(|part| part.text.as_str()).collect();
    let refers: Vec<_> = parts.values().map(|part| !part.refers_to.is_empty()).collect();
    let params: [Param<'_>; 3] =
        [(&names, Type::TEXT_ARRAY), (&bodies, Type::TEXT_ARRAY), (&refers, Type::BOOL_ARRAY)];
    tx.execute(PUT, &params).await.map(|_rows| ())
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
        assert!(apart(&[message("{}".to_owned())]).expect("fits").is_none());
    }

    #[test]
    fn messages_share_what_is_large_in_them() {
        let list = "x".repeat(payload::INLINE_BYTES);
        let messages = [1, 2].map(|n| message(format!(r#"{{"token":{n},"input":["{list}"]}}"#)));
        let Apart { rows, parts } = apart(&messages).expect("fits").expect("is large");
        assert_eq!((rows.len(), parts.len()), (2, 1));
        assert!(rows.iter().all(|row| row.body.len() < 500 && row.body.starts_with(OPENING)));
    }

    #[test]
    fn a_body_that_looks_like_an_envelope_is_put_into_one() {
        let like = r#"{"fluxus:payloads":[],"body":1}"#.to_owned();
        let Apart { rows, .. } = apart(&[message(like.clone())]).expect("fits").expect("is odd");
        let row = opened(&rows[0].body).expect("an envelope");
        assert_eq!(row.payloads, [PayloadHash::of(&like).to_string()]);
        assert_eq!(payload::references(row.body.get()).count(), 1);
    }
}

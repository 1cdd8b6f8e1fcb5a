//! The tables themselves refuse what the types would not allow.

use fluxus_postgres::SqlState;
use fluxus_schema::{BranchId, ClaimStatus};
use fluxus_store::{BranchKey, Changes, StoreError, branch, claim};

use crate::sample::{Done, end, running, save, store, tenant};

#[tokio::test]
async fn wrong_rows_are_refused() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    let session = store.session().await?;
    let wrong = [
        "UPDATE claim SET status = 'DONE'",
        "UPDATE claim SET status = 'SUCCEEDED', output = '1'",
        "UPDATE claim SET ended_at = now()",
        "UPDATE claim SET status = 'SUCCEEDED', ended_at = now()",
        "UPDATE claim SET status = 'FAILED', ended_at = now(), output = '1'",
        "UPDATE claim SET recipe = NULL",
        "UPDATE claim SET status = 'RECEIVED'",
        "UPDATE branch SET failed = true",
        "UPDATE branch SET status = 'PENDING', unserved = 'c'",
        "UPDATE branch SET parent = '/'",
        "UPDATE branch SET branch_id = 'x'",
        "UPDATE branch SET branch_id = '/1.0'",
        "INSERT INTO outbox (tenant, claim_id, queue, body, delay_ms, created_at)
         SELECT tenant, claim_id, 'q', 'b', -1, now() FROM claim",
        "INSERT INTO idempotency VALUES ('t', 'a', 'DONE', NULL, now(), now())",
        "INSERT INTO idempotency VALUES ('t', 'a', 'STARTED', '1', now(), now())",
        "INSERT INTO fluxling (tenant, name, manifest, enabled, registered_at, error_rate)
         VALUES ('t', 'f', '{}', true, now(), 2)",
        "INSERT INTO recipe VALUES ('t', 'r', -1)",
    ];
    for sql in wrong {
        let error = session.batch(sql).await.expect_err(sql);
        assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{sql}: {error:?}");
    }
    let tables = "SELECT table_name::text FROM information_schema.tables AS t
                   WHERE table_schema = 'public' AND table_name <> 'fluxus_migration'
                     AND NOT EXISTS (SELECT FROM information_schema.columns AS c
                          WHERE c.table_name = t.table_name AND c.column_name = 'tenant')";
    assert!(session.query(tables, &[]).await?.is_empty(), "every table has its tenant");
    let claim = store.claim(&tenant(), id).await?.expect("there");
    assert_eq!(claim.status, ClaimStatus::Running, "nothing of all that was done");
    Ok(())
}

/// What a single column may hold is checked by the types that read it.
#[tokio::test]
async fn wrong_values_are_found_when_they_are_read() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    let root = BranchKey { claim_id: id, branch_id: BranchId::root() };
    let mut session = store.session().await?;
    for (column, wrong) in [
        ("priority", "UPDATE claim SET priority = 10"),
        ("attributes", "UPDATE claim SET attributes = '[]'"),
        ("seed", "UPDATE claim SET seed = 'short'"),
        ("origin", "UPDATE claim SET origin = '[]'"),
        ("status", "UPDATE branch SET status = 'DONE'"),
        ("revision", "UPDATE branch SET revision = -1"),
    ] {
        let tx = session.begin().await?;
        tx.batch(wrong).await?;
        let read = async {
            claim::find(&tx, &tenant(), &[id]).await?;
            branch::lock(&tx, std::slice::from_ref(&root), &[]).await
        };
        let error = read.await.expect_err(wrong);
        assert!(error.to_string().contains(&format!("column {column} is corrupt")), "{error}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_success_needs_an_output_and_a_failure_must_not_have_one() -> Done {
    let store = store().await;
    let ids = running(&store, 2).await?;
    for (id, status, output) in [
        (ids[0], ClaimStatus::Succeeded, None),
        (ids[1], ClaimStatus::Failed, Some("1".to_owned())),
    ] {
        let end = vec![fluxus_store::End { output, ..end(id, status, false) }];
        let error =
            save(&store, &Changes { end, ..Changes::default() }).await.expect_err("refused");
        let error = error.downcast::<StoreError>()?;
        assert!(!error.is_transient(), "{error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_corrupt_row_is_named_by_its_key() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    store.session().await?.batch("UPDATE claim SET claim_type = 'not a type'").await?;
    let error = store.claim(&tenant(), id).await.expect_err("corrupt");
    assert_eq!(
        error.to_string(),
        format!("claim `{id}` cannot be read: its column claim_type is corrupt")
    );
    Ok(())
}

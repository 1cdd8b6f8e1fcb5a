//! Databases, claims and branches to test with.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

use fluxus_postgres::{Database, Options};
use fluxus_schema::{BranchId, ClaimId, ClaimStatus, HybridTime, NewClaim, Tenant, Timestamp};
use fluxus_store::{
    BranchKey, BranchRow, BranchStatus, Changes, End, HistoryRow, Intake, MIGRATIONS, Start, Store,
};
use fluxus_test_support::{TestDatabase, template_name};
use serde_json::json;

pub type Done = anyhow::Result<()>;

/// A store in a database of its own, which goes when this is dropped.
pub struct TestStore {
    store: Store,
    _database: TestDatabase,
}

impl Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

/// A migrated store.
pub async fn store() -> TestStore {
    store_with(Options { max_connections: 8, ..Options::default() }).await
}

pub async fn store_with(options: Options) -> TestStore {
    let texts: Vec<_> = MIGRATIONS.iter().map(|(_, sql)| *sql).collect();
    let migrate = async |url: String| {
        let database = Database::connect(&url, Options::default()).await?;
        Store::new(database).migrate().await?;
        Ok(())
    };
    let database = TestDatabase::new(&template_name("store", &texts), migrate).await;
    let connected = Database::connect(database.url(), options).await;
    TestStore { store: Store::new(connected.expect("connects")), _database: database }
}

pub fn tenant() -> Tenant {
    Tenant::default()
}

/// The 23rd of November 2026, and so many milliseconds.
pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_795_392_000_000 + ms)
}

pub fn hybrid(ms: i64) -> HybridTime {
    HybridTime::default().next(at(ms))
}

pub fn new_claim(claim_type: &str) -> NewClaim {
    serde_json::from_value(json!({ "type": claim_type, "body": { "a": [1, "é\u{0}"] } }))
        .expect("a claim")
}

/// A claim that comes in at `at(ms)`, under an id that no other test claim has.
pub fn intake(ms: i64, claim: NewClaim) -> Intake {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut random = [0; 10];
    random[..4].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Intake {
        claim_id: ClaimId::new(at(ms), &random),
        tenant: tenant(),
        claim,
        seed: *b"0123456789abcdef",
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        origin: None,
        received_at: at(ms),
    }
}

pub async fn insert(
    store: &Store,
    intakes: &[Intake],
) -> anyhow::Result<Vec<fluxus_store::Inserted>> {
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let inserted = fluxus_store::claim::insert(&tx, intakes).await?;
    tx.commit().await?;
    Ok(inserted)
}

pub async fn save(store: &Store, changes: &Changes) -> anyhow::Result<()> {
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    fluxus_store::changes::save(&tx, changes).await?;
    tx.commit().await?;
    Ok(())
}

/// Claims whose recipe `r` version 1 began, each with its root branch at revision 0.
pub async fn running(store: &Store, how_many: usize) -> anyhow::Result<Vec<ClaimId>> {
    let intakes: Vec<_> =
        (0..how_many).map(|n| intake(i64::try_from(n).unwrap(), new_claim("t"))).collect();
    insert(store, &intakes).await?;
    let ids: Vec<_> = intakes.iter().map(|intake| intake.claim_id).collect();
    let changes = Changes {
        start: ids.iter().map(|id| start(*id)).collect(),
        insert: ids.iter().map(|id| root(*id)).collect(),
        ..Changes::default()
    };
    save(store, &changes).await?;
    Ok(ids)
}

pub fn start(claim_id: ClaimId) -> Start {
    let recipe = "r".parse().expect("a name");
    Start { claim_id, recipe, recipe_version: 1, started_at: at(1) }
}

pub fn end(claim_id: ClaimId, status: ClaimStatus, delete_branches: bool) -> End {
    let succeeded = status == ClaimStatus::Succeeded;
    End {
        claim_id,
        status,
        output: succeeded.then(|| r#"{"done":true}"#.to_owned()),
        error: (!succeeded).then(|| "E".to_owned()),
        cause: (!succeeded).then(|| "because\0".to_owned()),
        ended_at: at(9),
        delete_branches,
    }
}

pub fn root(claim_id: ClaimId) -> BranchRow {
    BranchRow {
        claim_id,
        branch_id: BranchId::root(),
        tenant: tenant(),
        parent: None,
        parent_revision: 0,
        position: 0,
        revision: 0,
        status: BranchStatus::Open,
        failed: false,
        state: r#"{"state":"A"}"#.to_owned(),
        unserved: None,
        changed_at: hybrid(1),
    }
}

/// The child with this index that `parent` started at its revision.
pub fn child(parent: &BranchRow, index: usize, status: BranchStatus) -> BranchRow {
    BranchRow {
        branch_id: parent.branch_id.child(parent.revision, index),
        parent: Some(parent.branch_id.clone()),
        parent_revision: parent.revision,
        position: u32::try_from(index).expect("small"),
        revision: 0,
        status,
        ..parent.clone()
    }
}

/// The branch after one more step.
pub fn stepped(row: &BranchRow) -> BranchRow {
    let changed_at = row.changed_at.next(at(2));
    BranchRow { revision: row.revision + 1, changed_at, ..row.clone() }
}

pub fn key(row: &BranchRow) -> BranchKey {
    row.key()
}

pub fn record(row: &BranchRow, part: u32, kinds: &[&str]) -> HistoryRow {
    let events: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    HistoryRow {
        claim_id: row.claim_id,
        tenant: row.tenant.clone(),
        branch_id: row.branch_id.clone(),
        revision: row.revision,
        part,
        at: row.changed_at,
        events: json!(events).to_string(),
    }
}

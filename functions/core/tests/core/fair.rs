//! Whose claims go first where more waits than one batch takes.

use std::time::Instant;

use fluxus_queue::{Outgoing, QueueName};
use fluxus_schema::message::{CoreMessage, TaskMessage};
use fluxus_schema::recipe::PutRecipe;
use fluxus_schema::{ClaimId, NewClaim, Tenant};
use fluxus_store::claim::Intake;
use fluxus_store::{Message, claim};
use serde_json::json;

use crate::world::{Footing, World, core_queue, machine, now, succeeded, task};

/// Claims that wait: many batches. `FLUXUS_FAIR_BACKLOG=100000` says otherwise, to measure.
fn backlog_size() -> usize {
    const MANY_BATCHES: usize = 2_000;
    let asked = std::env::var("FLUXUS_FAIR_BACKLOG").ok();
    asked.map_or(MANY_BATCHES, |text| text.parse().expect("FLUXUS_FAIR_BACKLOG is a number"))
}

/// Messages in one batch of the core, and of the fluxling.
const BATCH: usize = 50;

/// Tasks of each claim.
const TASKS: usize = 2;

/// Rounds in which a claim ends that never waits for others: one to begin, one for each answer, and
/// one in which the first receive finds that there is more than one group.
const AT_ONCE: usize = 1 + TASKS + 1;

struct Office {
    world: World,
}

impl Office {
    async fn open(tenants: &[&str]) -> Self {
        let world = World::new(Footing::Joined, &["work"]).await;
        let states =
            json!({ "A": task(json!({ "Next": "B" })), "B": task(json!({ "End": true })) });
        for tenant in tenants {
            let put = PutRecipe {
                definition: machine(states.clone()),
                claim_types: vec!["order".parse().unwrap()],
            };
            let (tenant, name) = (tenant.parse().unwrap(), "order".parse().unwrap());
            world.store.put_recipe(&tenant, &name, &put, now()).await.unwrap();
        }
        Self { world }
    }

    async fn submit_backlog(&self, tenant: &str, priority: u8) -> Vec<ClaimId> {
        const AT_A_TIME: usize = 2_000;
        let mut all = Vec::new();
        while all.len() < backlog_size() {
            all.extend(self.submit(tenant, priority, AT_A_TIME).await);
        }
        all
    }

    /// Takes claims in as the API does.
    async fn submit(&self, tenant: &str, priority: u8, count: usize) -> Vec<ClaimId> {
        let tenant: Tenant = tenant.parse().unwrap();
        let intake = |_| Intake {
            claim_id: ClaimId::new(now(), &rand::random()),
            tenant: tenant.clone(),
            claim: serde_json::from_value::<NewClaim>(
                json!({ "type": "order", "body": {}, "priority": priority }),
            )
            .unwrap(),
            seed: rand::random(),
            traceparent: None,
            origin: None,
            received_at: now(),
        };
        let intakes: Vec<Intake> = (0..count).map(intake).collect();
        let message = |intake: &Intake| {
            let claim_id = intake.claim_id;
            let body = serde_json::to_string(&CoreMessage::ClaimSubmitted { claim_id }).unwrap();
            let outgoing = Outgoing::new(core_queue(), body).in_group(tenant.as_str());
            let outgoing = outgoing.with_priority(priority).yielding();
            Message { claim_id, tenant: tenant.clone(), outgoing }
        };
        let mut session = self.world.store.session().await.unwrap();
        let tx = session.begin().await.unwrap();
        claim::insert(&tx, &intakes).await.unwrap();
        let messages = intakes.iter().map(message).collect();
        let enqueued = self.world.outbound.enqueue(&tx, messages, now()).await.unwrap();
        tx.commit().await.unwrap();
        drop(session);
        self.world.outbound.committed(enqueued).await;
        intakes.iter().map(|intake| intake.claim_id).collect()
    }

    /// One batch of the core, and one of the fluxling.
    async fn round(&self) {
        let batch = self.world.receive(&core_queue(), BATCH).await;
        assert_eq!(self.world.handle(batch).await.failed, vec![]);
        let work = QueueName::new("work").unwrap();
        let received = self.world.receive(&work, BATCH).await;
        let answer = |task: TaskMessage| {
            let body = serde_json::to_string(&succeeded(&task.token, json!({}))).unwrap();
            let outgoing = Outgoing::new(core_queue(), body).in_group(task.tenant.as_str());
            outgoing.with_priority(task.priority)
        };
        let answers =
            received.iter().map(|message| answer(serde_json::from_str(&message.body).unwrap()));
        let receipts: Vec<_> = received.iter().map(|message| message.receipt.clone()).collect();
        self.world.queue.answer(&work, answers.collect(), &receipts).await.unwrap();
    }

    async fn ended(&self, claims: &[ClaimId]) -> usize {
        self.world.store.ended(claims).await.unwrap().len()
    }

    /// Rounds until all these have ended.
    async fn rounds_until_ended(&self, claims: &[ClaimId]) -> usize {
        for round in 1..=backlog_size() {
            self.round().await;
            if self.ended(claims).await == claims.len() {
                return round;
            }
        }
        panic!("the claims hang");
    }
}

#[tokio::test]
async fn a_backlog_of_one_tenant_delays_no_other() {
    let office = Office::open(&["large", "small"]).await;
    let backlog = office.submit_backlog("large", 9).await;
    // Also where the other was at work for a while.
    for _ in 0..3 {
        let single = office.submit("small", 0, 1).await;
        let began = Instant::now();
        let rounds = office.rounds_until_ended(&single).await;
        println!("{rounds} batches behind {} claims, in {:?}", backlog.len(), began.elapsed());
        assert!(rounds <= AT_ONCE, "{rounds} batches until a single claim ended");
    }
    let left = backlog.len() - office.ended(&backlog).await;
    assert!(left > backlog.len() / 2, "the others still wait: {left}");
}

#[tokio::test]
async fn a_higher_priority_overtakes_the_tenants_own_backlog() {
    let office = Office::open(&["acme"]).await;
    let backlog = office.submit_backlog("acme", 1).await;
    office.round().await;
    let urgent = office.submit("acme", 2, 1).await;
    let rounds = office.rounds_until_ended(&urgent).await;
    assert!(rounds <= AT_ONCE, "{rounds} batches until an urgent claim ended");
    assert!(office.ended(&backlog).await < backlog.len() / 2, "the others still wait");
}

#[tokio::test]
async fn what_has_begun_goes_on_before_what_has_not() {
    let office = Office::open(&["acme"]).await;
    let backlog = office.submit_backlog("acme", 0).await;
    let first = &backlog[..BATCH];
    let rounds = office.rounds_until_ended(first).await;
    assert!(rounds <= AT_ONCE, "{rounds} batches until those that began first had ended");
    assert_eq!(office.ended(&backlog).await, BATCH, "and no others");
}

//! Claims: taking them in once, finding and listing them.

use fluxus_schema::{ClaimId, ClaimStatus, TaskToken, Tenant};
use fluxus_store::{ClaimFilter, Inserted, Intake, claim};

use crate::sample::{Done, at, end, insert, intake, new_claim, running, save, store, tenant};

#[tokio::test]
async fn a_claim_reads_back_as_it_came_in() -> Done {
    let store = store().await;
    let mut given = intake(5, new_claim("order.placed"));
    given.claim.subject = Some("customer 7".to_owned());
    given.claim.attributes = [("region".to_owned(), "eu".to_owned())].into();
    given.claim.deadline = Some(at(1000));
    given.claim.priority = 9;
    insert(&store, std::slice::from_ref(&given)).await?;
    let claim = store.claim(&tenant(), given.claim_id).await?.expect("found");
    assert_eq!(claim.status, ClaimStatus::Received);
    assert_eq!(claim.body, given.claim.body);
    assert_eq!(claim.attributes, given.claim.attributes);
    assert_eq!((claim.subject, claim.deadline), (given.claim.subject, given.claim.deadline));
    assert_eq!((claim.priority, claim.received_at), (9, at(5)));
    let rows = claim::find(&store.session().await?, &tenant(), &[given.claim_id]).await?;
    assert_eq!((rows[0].seed, &rows[0].traceparent), (given.seed, &given.traceparent));
    assert_eq!(store.claim(&"other".parse()?, given.claim_id).await?, None, "another's claim");
    Ok(())
}

#[tokio::test]
async fn a_known_key_gives_the_claim_that_has_it() -> Done {
    let store = store().await;
    let keyed = |ms, key: &str| {
        let mut intake = intake(ms, new_claim("t"));
        intake.claim.idempotency_key = Some(key.to_owned());
        intake
    };
    let (first, twin, other) = (keyed(1, "k"), keyed(2, "k"), keyed(3, "l"));
    let mut elsewhere = keyed(4, "k");
    elsewhere.tenant = "other".parse::<Tenant>()?;
    let batch = [first.clone(), twin.clone(), other.clone(), elsewhere.clone()];
    let answer =
        |claim_id, duplicate| Inserted { claim_id, status: ClaimStatus::Received, duplicate };
    assert_eq!(
        insert(&store, &batch).await?,
        [
            answer(first.claim_id, false),
            answer(first.claim_id, true),
            answer(other.claim_id, false),
            answer(elsewhere.claim_id, false),
        ]
    );
    // Again, in another order: all are known, the twin's id was never used.
    let again = insert(&store, &[twin, elsewhere.clone(), other.clone()]).await?;
    assert_eq!(
        again,
        [
            answer(first.claim_id, true),
            answer(elsewhere.claim_id, true),
            answer(other.claim_id, true),
        ]
    );
    let ended = fluxus_store::Changes {
        end: vec![end(first.claim_id, ClaimStatus::Aborted, false)],
        ..Default::default()
    };
    save(&store, &ended).await?;
    let after = insert(&store, &[keyed(9, "k")]).await?;
    assert_eq!(after[0].status, ClaimStatus::Aborted, "where it stands now");
    Ok(())
}

#[tokio::test]
async fn a_known_id_is_a_duplicate_too() -> Done {
    let store = store().await;
    let given = intake(1, new_claim("t"));
    let answers = insert(&store, &[given.clone(), given.clone()]).await?;
    assert_eq!(answers.iter().map(|a| a.duplicate).collect::<Vec<_>>(), [false, true]);
    assert!(insert(&store, std::slice::from_ref(&given)).await?[0].duplicate);
    let mut stolen = given;
    stolen.tenant = "other".parse()?;
    assert!(insert(&store, &[stolen]).await.is_err(), "another tenant's claim is not shown");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_makes_the_claim() -> Done {
    let store = store().await;
    let batch = |n: i64| {
        let keyed = |key: i64| {
            let mut intake = intake(n, new_claim("t"));
            intake.claim.idempotency_key = Some(format!("k{key}"));
            intake
        };
        // Each batch has the keys in another order: none may wait for each other for ever.
        (0..20).map(|k| keyed((k * (2 * n + 1)) % 20)).collect::<Vec<_>>()
    };
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (store, batch) = (fluxus_store::Store::clone(&store), batch(n));
        tasks.spawn(async move {
            let answers = insert(&store, &batch).await.expect("inserts");
            batch
                .into_iter()
                .map(|intake| intake.claim.idempotency_key)
                .zip(answers)
                .collect::<Vec<_>>()
        });
    }
    let answers: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(answers.iter().filter(|(_, answer)| !answer.duplicate).count(), 20);
    let ids: std::collections::HashSet<_> =
        answers.iter().map(|(key, answer)| (key, answer.claim_id)).collect();
    assert_eq!(ids.len(), 20, "one id for each key");
    Ok(())
}

#[tokio::test]
async fn a_batch_costs_one_statement_and_one_more_if_some_are_known() -> Done {
    let store = store().await;
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let mut batch: Vec<_> = (0..500).map(|ms| intake(ms, new_claim("t"))).collect();
    claim::insert(&tx, &batch).await?;
    assert_eq!(tx.statements(), 1);
    batch.push(intake(501, new_claim("t")));
    claim::insert(&tx, &batch).await?;
    assert_eq!(tx.statements(), 3);
    assert_eq!(claim::insert(&tx, &[]).await?, []);
    Ok(())
}

#[tokio::test]
async fn only_received_claims_are_locked_for_evaluation() -> Done {
    let store = store().await;
    let ran = running(&store, 1).await?[0];
    let given = intake(1, new_claim("t"));
    insert(&store, std::slice::from_ref(&given)).await?;
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let locked = claim::lock_received(&tx, &[ran, given.claim_id]).await?;
    assert_eq!(locked.iter().map(|row| row.claim_id).collect::<Vec<_>>(), [given.claim_id]);
    Ok(())
}

#[tokio::test]
async fn who_waits_gets_the_claims_that_ended() -> Done {
    let store = store().await;
    let ids = running(&store, 2).await?;
    let changes = fluxus_store::Changes {
        end: vec![end(ids[1], ClaimStatus::Succeeded, true)],
        ..Default::default()
    };
    save(&store, &changes).await?;
    let ended = store.ended(&ids).await?;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].output, Some(serde_json::json!({ "done": true })));
    assert_eq!(ended[0].ended_at, Some(at(9)));
    Ok(())
}

#[tokio::test]
async fn a_list_is_narrowed_by_every_field() -> Done {
    let store = store().await;
    let batch: Vec<_> = (0..6)
        .map(|n| {
            let mut intake = intake(n * 10, new_claim(["a", "b"][usize::from(n % 2 == 1)]));
            intake.claim.subject = (n < 3).then(|| "s".to_owned());
            intake.claim.attributes = [("n".to_owned(), n.to_string())].into();
            intake
        })
        .collect();
    insert(&store, &batch).await?;
    let id = |n: usize| batch[n].claim_id;
    let changes = fluxus_store::Changes {
        start: vec![crate::sample::start(id(0)), crate::sample::start(id(1))],
        end: vec![end(id(1), ClaimStatus::Failed, false), end(id(2), ClaimStatus::Rejected, false)],
        ..Default::default()
    };
    save(&store, &changes).await?;
    let all = ClaimFilter { limit: 10, ..ClaimFilter::default() };
    let check = async |filter: ClaimFilter, expected: &[usize]| -> Done {
        let listed: Vec<ClaimId> =
            store.list_claims(&filter).await?.iter().map(|claim| claim.claim_id).collect();
        let expected: Vec<_> = expected.iter().map(|n| id(*n)).collect();
        assert_eq!(listed, expected, "{filter:?}");
        Ok(())
    };
    let one = |status| vec![status];
    check(all.clone(), &[5, 4, 3, 2, 1, 0]).await?;
    check(ClaimFilter { limit: 2, ..all.clone() }, &[5, 4]).await?;
    check(ClaimFilter { limit: 2, before: Some(id(4)), ..all.clone() }, &[3, 2]).await?;
    check(ClaimFilter { claim_type: Some("b".parse()?), ..all.clone() }, &[5, 3, 1]).await?;
    check(ClaimFilter { subject: Some("s".to_owned()), ..all.clone() }, &[2, 1, 0]).await?;
    check(ClaimFilter { recipe: Some("r".parse()?), ..all.clone() }, &[1, 0]).await?;
    check(ClaimFilter { status: one(ClaimStatus::Running), ..all.clone() }, &[0]).await?;
    let ended = vec![ClaimStatus::Rejected, ClaimStatus::Failed];
    check(ClaimFilter { status: ended, ..all.clone() }, &[2, 1]).await?;
    let mixed = vec![ClaimStatus::Received, ClaimStatus::Failed];
    check(ClaimFilter { status: mixed, ..all.clone() }, &[5, 4, 3, 1]).await?;
    let (from, to) = (Some(at(20)), Some(at(40)));
    check(ClaimFilter { received_from: from, received_to: to, ..all.clone() }, &[3, 2]).await?;
    let before = Some(id(3));
    check(ClaimFilter { before, received_to: to, ..all.clone() }, &[2, 1, 0]).await?;
    let attributes = [("n".to_owned(), "4".to_owned())].into();
    check(ClaimFilter { attributes, ..all.clone() }, &[4]).await?;
    check(ClaimFilter { tenant: "other".parse()?, ..all }, &[]).await?;
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_claim_is_told_once() -> Done {
    let store = store().await;
    let id = running(&store, 1).await?[0];
    let waiter = |token: &str, as_json| claim::Waiter {
        claim_id: id,
        token: TaskToken::from_text(token),
        tenant: tenant(),
        as_json,
    };
    let both = [waiter("a", true), waiter("b", false)];
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let held = claim::hold(&tx, &[id]).await?;
    assert_eq!((held.len(), held[0].status), (1, ClaimStatus::Running));
    claim::wait(&tx, &both).await?;
    claim::wait(&tx, &both[..1]).await?;
    let mut taken = claim::take_waiters(&tx, &[id]).await?;
    taken.sort_by(|a, b| a.token.cmp(&b.token));
    assert_eq!(taken, both);
    assert_eq!(claim::take_waiters(&tx, &[id]).await?, []);
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn a_claim_that_a_recipe_started_says_by_whom() -> Done {
    let store = store().await;
    let parent = running(&store, 1).await?[0];
    let origin = claim::Origin {
        parent,
        recipe: "r".parse()?,
        version: 2,
        name: Some("n".to_owned()),
        depth: 3,
    };
    let child = Intake { origin: Some(origin.clone()), ..intake(9, new_claim("t")) };
    insert(&store, std::slice::from_ref(&child)).await?;
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let rows = claim::lock_received(&tx, &[child.claim_id]).await?;
    assert_eq!(rows[0].origin, Some(origin));
    tx.commit().await?;
    let claim = store.claim(&tenant(), child.claim_id).await?.expect("there");
    assert_eq!(claim.parent, Some(parent));
    let of = |parent| ClaimFilter { parent: Some(parent), limit: 9, ..ClaimFilter::default() };
    assert_eq!(store.list_claims(&of(parent)).await?, [claim]);
    assert_eq!(store.list_claims(&of(child.claim_id)).await?, []);
    Ok(())
}

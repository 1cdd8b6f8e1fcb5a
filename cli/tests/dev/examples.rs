//! Each example ends as its README says, over HTTP, in the real process.

use serde_json::{Value, json};

use crate::client::{Client, callback, claim, endpoint};
use crate::process::Dev;
use crate::{expect_sound, store};

/// How a claim ended, in a few words.
fn end(claim: &Value) -> (&str, Option<&str>) {
    (claim["status"].as_str().expect("a status"), claim["error"].as_str())
}

#[tokio::test]
async fn orders_are_fulfilled_or_undone_in_reverse() {
    let database = fluxus_test_support::database().await;
    let dev = Dev::on(database.url(), &[]).await;
    let client = Client::new(dev.url());
    let order = |pointer: &str, value: Value| {
        claim("order-saga", |claim| {
            claim["body"]["flaky"] = json!(false);
            *claim.pointer_mut(pointer).expect(pointer) = value;
        })
    };

    let fulfilled = json!({
        "order": "1001",
        "reservation": {"reservation_id": "r-1001", "pieces": 5},
        "payment": {"payment_id": "p-1001", "charged": "129.90 EUR"},
        "shipment": {"carrier": "Post NO", "tracking": "NO-1001"},
    });
    let flaky = client.fulfil(&claim("order-saga", |_| {})).await;
    assert_eq!((end(&flaky), &flaky["output"]), (("SUCCEEDED", None), &fulfilled));
    let again = "Check, IsValid, Reserve, Reserve: Shop.Busy, Charge, Ship, Summarise, Fulfilled";
    assert_eq!(client.path(&flaky).await, again);
    let smooth = client.fulfil(&order("/body/flaky", json!(false))).await;
    assert_eq!((end(&smooth), &smooth["output"]), (("SUCCEEDED", None), &fulfilled));
    let at_once = "Check, IsValid, Reserve, Charge, Ship, Summarise, Fulfilled";
    assert_eq!(client.path(&smooth).await, at_once);

    for (pointer, value, error, path) in [
        (
            "/body/card",
            "declined",
            "Shop.CardDeclined",
            "Charge, Charge: Shop.CardDeclined, Release, OrderCancelled",
        ),
        (
            "/body/address/country",
            "XX",
            "Shop.NoCarrier",
            "Charge, Ship, Ship: Shop.NoCarrier, Refund, Release, OrderCancelled",
        ),
    ] {
        let undone = client.fulfil(&order(pointer, json!(value))).await;
        assert_eq!(end(&undone), ("FAILED", Some("OrderCancelled")), "{undone}");
        let cause: Value =
            serde_json::from_str(undone["cause"].as_str().expect("a cause")).unwrap();
        assert_eq!(cause["Error"], error);
        assert_eq!(client.path(&undone).await, format!("Check, IsValid, Reserve, {path}"));
    }
    let rejected = client.fulfil(&order("/body/amount", json!(-1))).await;
    assert_eq!(end(&rejected), ("REJECTED", Some("Fluxus.InvalidBody")));
    assert_eq!(client.path(&rejected).await, "");
    expect_sound(&store(database.url()).await).await;
}

#[tokio::test]
async fn documents_are_sorted() {
    let database = fluxus_test_support::database().await;
    let dev = Dev::on(database.url(), &[]).await;
    let client = Client::new(dev.url());
    let sorted = client.fulfil(&claim("document-intake", |_| {})).await;
    assert_eq!(end(&sorted), ("SUCCEEDED", None), "{sorted}");
    let output = &sorted["output"];
    let names = |list: &str, pointer: &str| -> Vec<Value> {
        let entries = output[list].as_array().expect(list).iter();
        entries.map(|entry| entry.pointer(pointer).expect(pointer).clone()).collect()
    };
    assert_eq!((&output["sender"], &output["documents"]), (&json!("supplier-7"), &json!(4)));
    assert_eq!(names("accepted", "/name"), ["a.pdf", "c.jpg"]);
    assert_eq!(names("rejected", "/document/name"), ["b.pdf", "d.pdf"]);
    // The documents are looked at side by side, so only the counts are certain in between.
    let path = client.path(&sorted).await;
    let visits = |state: &str| path.split(", ").filter(|visited| *visited == state).count();
    assert!(
        path.starts_with("EachDocument, Kind, ") && path.ends_with("Sort, AnyAccepted, TakenIn")
    );
    let states = ["Kind", "CheckInvoice", "CheckReceipt", "UnknownKind", "Accepted", "Rejected"];
    assert_eq!(states.map(visits), [4, 2, 1, 1, 2, 2], "{path}");

    let nothing = claim("document-intake", |claim| {
        claim["body"]["documents"] = json!([{"kind": "letter", "name": "d.pdf"}]);
    });
    let nothing = client.fulfil(&nothing).await;
    assert_eq!(end(&nothing), ("FAILED", Some("NothingAccepted")));
    expect_sound(&store(database.url()).await).await;
}

#[tokio::test]
async fn expenses_wait_for_a_person() {
    let database = fluxus_test_support::database().await;
    let dev = Dev::on(database.url(), &[]).await;
    let client = Client::new(dev.url());
    for (approved, expected, last) in [
        (true, ("SUCCEEDED", None), "Approved"),
        (false, ("FAILED", Some("ExpenseRefused")), "Refused"),
    ] {
        let key = format!("expense-{approved}");
        let submitted = client.try_submit(&claim("approval", |_| {}), &key).await;
        let (id, _) = submitted.expect("an answer");
        let token = client.until(&format!("claims/{id}/explain"), callback).await;
        let decision = json!({"approved": approved, "by": "ines"});
        let answer = json!({"output": decision});
        let succeed = format!("tasks/{token}/succeed");
        assert_eq!(client.try_post(&succeed, &answer).await, Some(202));
        let ended = |claim: &Value| claim["ended_at"].is_string().then(|| claim.clone());
        let ended = client.until(&format!("claims/{id}"), ended).await;
        assert_eq!(end(&ended), expected, "{ended}");
        let path = format!("HowMuch, AskApprover, WhatWasDecided, {last}");
        assert_eq!(client.path(&ended).await, path);
        if approved {
            assert_eq!(ended["output"]["decision"], decision);
        }
        let late = client.try_post(&succeed, &answer).await.expect("an answer");
        assert!(late >= 400, "answered twice: {late}");
    }
    let over = |amount: u32| claim("approval", |claim| claim["body"]["amount"] = json!(amount));
    let small = client.fulfil(&over(12)).await;
    assert_eq!(end(&small), ("SUCCEEDED", None), "{small}");
    assert_eq!(small["output"]["decision"], json!({"approved": true, "by": "the rules"}));
    assert_eq!(client.path(&small).await, "HowMuch, SmallEnough, Approved");
    let large = client.fulfil(&over(20_000)).await;
    assert_eq!(end(&large), ("FAILED", Some("ExpenseTooLarge")));
    expect_sound(&store(database.url()).await).await;
}

#[tokio::test]
async fn endpoints_are_asked() {
    let endpoint = endpoint().await;
    let database = fluxus_test_support::database().await;
    let dev = Dev::on(database.url(), &["--http-allow", &endpoint]).await;
    let client = Client::new(dev.url());
    let check = async |url: String| {
        client.fulfil(&claim("http-check", |claim| claim["body"]["url"] = json!(url))).await
    };
    let url = format!("http://{endpoint}/200");
    let healthy = check(url.clone()).await;
    let output = json!({"url": url, "healthy": true, "status": 200});
    assert_eq!((end(&healthy), &healthy["output"]), (("SUCCEEDED", None), &output));
    assert_eq!(client.path(&healthy).await, "Ask, HowWasIt, Healthy");
    let odd = check(format!("http://{endpoint}/404")).await;
    assert_eq!((end(&odd), &odd["output"]["healthy"]), (("SUCCEEDED", None), &json!(false)));
    let unhealthy = check(format!("http://{endpoint}/503")).await;
    assert_eq!(end(&unhealthy), ("FAILED", Some("EndpointUnhealthy")), "{unhealthy}");
    // Anything else on this machine may not be asked.
    let refused = check("http://127.0.0.1:9/".to_owned()).await;
    assert_eq!(end(&refused), ("FAILED", Some("EndpointDown")), "{refused}");
    expect_sound(&store(database.url()).await).await;
}

//! The examples, as their READMEs tell them, through REST alone.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use fluxus_local::System;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use support::{Client, claim, database, options};

#[tokio::test]
async fn an_order_is_fulfilled_or_undone_in_reverse() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);

    let fulfilled = client.fulfil(&claim("order-saga", |_| {})).await;
    assert_eq!(fulfilled["status"], "SUCCEEDED", "{fulfilled}");
    assert_eq!(
        fulfilled["output"],
        json!({
            "order": "1001",
            "reservation": {"reservation_id": "r-1001", "pieces": 5},
            "payment": {"payment_id": "p-1001", "charged": "129.90 EUR"},
            "shipment": {"carrier": "Post NO", "tracking": "NO-1001"},
        })
    );
    let id = fulfilled["claim_id"].as_str().expect("an id");
    assert_eq!(
        client.path(id).await,
        [
            "Check",
            "IsValid",
            "Reserve",
            "Reserve: Shop.Busy",
            "Charge",
            "Ship",
            "Summarise",
            "Fulfilled"
        ]
    );

    let undone = async |pointer: &str, value: &str| {
        let claim = claim("order-saga", |claim| {
            claim["body"]["flaky"] = json!(false);
            *claim.pointer_mut(pointer).expect(pointer) = json!(value);
        });
        let claim = client.fulfil(&claim).await;
        assert_eq!(claim["status"], "FAILED", "{claim}");
        let path = client.path(claim["claim_id"].as_str().expect("an id")).await;
        let error = claim["error"].as_str().expect("an error").to_owned();
        (error, claim["cause"].as_str().expect("a cause").to_owned(), path[2..].join(", "))
    };
    let (error, cause, path) = undone("/body/card", "declined").await;
    assert_eq!(error, "OrderCancelled");
    assert!(cause.contains("Shop.CardDeclined"), "{cause}");
    assert_eq!(path, "Reserve, Charge, Charge: Shop.CardDeclined, Release, OrderCancelled");
    let (_, cause, path) = undone("/body/address/country", "XX").await;
    assert!(cause.contains("Shop.NoCarrier"), "{cause}");
    let refunded = "Reserve, Charge, Ship, Ship: Shop.NoCarrier, Refund, Release, OrderCancelled";
    assert_eq!(path, refunded);
    let (_, cause, path) = undone("/body/items/0/sku", "ZZ-1").await;
    assert!(cause.contains("Shop.SoldOut"), "{cause}");
    assert_eq!(path, "Reserve, Reserve: Shop.SoldOut, OrderCancelled");

    let invalid = claim("order-saga", |claim| claim["body"]["items"][0]["quantity"] = json!(99));
    let invalid = client.fulfil(&invalid).await;
    assert_eq!(invalid["error"], "OrderInvalid", "{invalid}");
    let rejected = claim("order-saga", |claim| claim["body"]["amount"] = json!(-1));
    let rejected = client.fulfil(&rejected).await;
    assert_eq!(rejected["status"], "REJECTED", "{rejected}");
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn each_order_of_a_batch_is_an_execution() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);
    let batch = client.fulfil(&claim("order-batch", |_| {})).await;
    assert_eq!(batch["status"], "SUCCEEDED", "{batch}");
    assert_eq!(
        batch["output"]["orders"],
        json!([
            {"execution": "order-2001", "tracking": "NO-2001"},
            {"execution": "order-2002", "error": "OrderCancelled"},
        ])
    );
    let again = client.fulfil(&claim("order-batch", |_| {})).await;
    let errors = again["output"]["orders"].as_array().expect("orders").iter();
    let errors: Vec<_> = errors.map(|order| order["error"].as_str().expect("an error")).collect();
    assert_eq!(errors, ["StepFunctions.ExecutionAlreadyExistsException"; 2]);
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn documents_are_sorted() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let claim = Client::new(&system).fulfil(&claim("document-intake", |_| {})).await;
    assert_eq!(claim["status"], "SUCCEEDED", "{claim}");
    let names = |list: &str, pointer: &str| {
        let entries = claim["output"][list].as_array().expect(list).iter();
        entries.map(|entry| entry.pointer(pointer).expect(pointer).clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("accepted", "/name"), ["a.pdf", "c.jpg"]);
    assert_eq!(names("rejected", "/document/name"), ["b.pdf", "d.pdf"]);
    let faults = &claim["output"]["rejected"][0]["why"]["faults"];
    let places: Vec<_> = faults.as_array().expect("faults").iter().map(|f| &f["pointer"]).collect();
    assert!(places.contains(&&json!("/total")) && places.contains(&&json!("/due")), "{faults}");
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn an_expense_waits_for_a_person() {
    let database = database().await;
    let system = System::start(options(&database)).await.expect("starts");
    let client = Client::new(&system);
    let decide = async |decision: Value| {
        let id = client.submit(&claim("approval", |_| {})).await;
        let explain = format!("claims/{id}/explain");
        let callback = |told: &Value| {
            let waiting = told["waiting"][0]["for"].as_object()?;
            let token = waiting.get("token")?.as_str()?.to_owned();
            (waiting["kind"] == "callback").then_some(token)
        };
        let token = client.until(&explain, callback).await;
        let succeed = format!("tasks/{token}/succeed");
        assert_eq!(client.post(&succeed, &json!({"output": decision})).await, 202);
        let ended = client.ended(&id).await;
        assert!(client.post(&succeed, &json!({"output": decision})).await >= 400, "answered twice");
        ended
    };
    let approved = decide(json!({"approved": true, "by": "ines"})).await;
    assert_eq!(approved["status"], "SUCCEEDED", "{approved}");
    assert_eq!(approved["output"]["decision"], json!({"approved": true, "by": "ines"}));
    let refused = decide(json!({"approved": false, "by": "ines"})).await;
    assert_eq!(refused["error"], "ExpenseRefused", "{refused}");

    let over = |amount: u32| claim("approval", |claim| claim["body"]["amount"] = json!(amount));
    let small = client.fulfil(&over(12)).await;
    assert_eq!(small["output"]["decision"]["by"], "the rules");
    let large = client.fulfil(&over(20_000)).await;
    assert_eq!(large["error"], "ExpenseTooLarge");
    system.shutdown().await.expect("stops");
}

#[tokio::test]
async fn an_endpoint_is_asked() {
    let endpoint = serve_http().await;
    let database = database().await;
    let mut options = options(&database);
    options.http_allow = vec![endpoint.parse().expect("an endpoint")];
    let system = System::start(options).await.expect("starts");
    let client = Client::new(&system);
    let check = async |url: String| {
        client.fulfil(&claim("http-check", |claim| claim["body"]["url"] = json!(url))).await
    };
    let healthy = check(format!("http://{endpoint}/ok")).await;
    assert_eq!(healthy["status"], "SUCCEEDED", "{healthy}");
    assert_eq!(
        (&healthy["output"]["healthy"], &healthy["output"]["status"]),
        (&json!(true), &json!(200))
    );
    // The system itself may be asked; anything else on this machine may not.
    let own = check(format!("{}/healthz", system.url())).await;
    assert_eq!(own["output"]["healthy"], true, "{own}");
    let refused = check("http://127.0.0.1:9/".to_owned()).await;
    assert_eq!(refused["error"], "EndpointDown");
    assert!(refused["cause"].as_str().expect("a cause").contains("Http.AddressRefused"));
    system.shutdown().await.expect("stops");
}

/// Answers every request with 200, one after the other; gives its address.
async fn serve_http() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _request = stream.read(&mut head).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                          content-length: 11\r\nconnection: close\r\n\r\n{\"ok\":true}";
            let _sent = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

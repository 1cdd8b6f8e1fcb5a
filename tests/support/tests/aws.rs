//! The server of AWS's interfaces: shared, ready, and gone after its last user.

#![cfg(feature = "aws")]
#![allow(clippy::expect_used)]

use std::net::TcpStream;
use std::sync::Arc;

use fluxus_test_support::aws::aws;

#[tokio::test]
async fn one_server_for_all_and_none_after_the_last() {
    let (one, two) = tokio::join!(aws(), aws());
    assert!(Arc::ptr_eq(&one, &two));
    let url = one.create_queue("orders", 5).await.expect("a queue");
    assert_eq!(url, format!("{}orders", one.queue_url_prefix("")));
    one.create_table("record", "token", "expires_at").await.expect("a table");
    one.create_bucket("bodies").await.expect("a bucket");

    let address = one.url().strip_prefix("http://").expect("an address").to_owned();
    drop(one);
    assert!(TcpStream::connect(&address).is_ok(), "somebody has it");
    drop(two);
    assert!(TcpStream::connect(&address).is_err(), "nobody has it");
}

//! The demo: reserves, charges and ships, and undoes it; asks for approvals.
//!
//! Nothing is bought. Its answers follow from the input alone, so that a demonstration goes the
//! same way each time:
//!
//! | input | what happens |
//! | --- | --- |
//! | `"flaky": true` | `shop.reserve` fails as `Shop.Busy` at the first attempt |
//! | an item whose `sku` begins with `ZZ-` | `shop.reserve` fails as `Shop.SoldOut` |
//! | `"card": "declined"` | `shop.charge` fails as `Shop.CardDeclined` |
//! | `"country": "XX"` in the address | `shop.ship` fails as `Shop.NoCarrier` |

use fluxling::{Fluxling, Task, TaskError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Error names that its tasks fail with.
pub mod error_name {
    /// Too much to do just now: try again.
    pub const BUSY: &str = "Shop.Busy";
    /// There is none left.
    pub const SOLD_OUT: &str = "Shop.SoldOut";
    /// The bank says no.
    pub const CARD_DECLINED: &str = "Shop.CardDeclined";
    /// Nobody delivers there.
    pub const NO_CARRIER: &str = "Shop.NoCarrier";
}

/// The fluxling.
pub fn fluxling() -> Fluxling {
    Fluxling::new("shop")
        .version(env!("CARGO_PKG_VERSION"))
        .description("A demo: sells, ships and refunds nothing at all.")
        .capability("shop.reserve", reserve)
        .capability("shop.charge", charge)
        .capability("shop.ship", ship)
        .capability("shop.refund", refund)
        .capability("shop.release", release)
        .capability("approvals.request", request_approval)
}

/// Input of `shop.reserve`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Reserve {
    /// The order's number.
    order: String,
    /// What was ordered.
    items: Vec<Item>,
    /// Whether to be busy at the first attempt.
    #[serde(default)]
    flaky: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Item {
    sku: String,
    quantity: u32,
}

/// Output of `shop.reserve`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Reservation {
    /// Names it.
    reservation_id: String,
    /// How many pieces were set aside.
    #[serde(default)]
    pieces: u32,
}

async fn reserve(task: Task<Reserve>) -> Result<Reservation, TaskError> {
    let Reserve { order, items, flaky } = &task.input;
    if *flaky && task.attempt() == 0 {
        return Err(TaskError::retryable(error_name::BUSY, "everybody is at lunch, try again"));
    }
    if let Some(item) = items.iter().find(|item| item.sku.starts_with("ZZ-")) {
        let cause = format!("there is no {} left", item.sku);
        return Err(TaskError::fatal(error_name::SOLD_OUT, cause));
    }
    let pieces = items.iter().map(|item| item.quantity).fold(0, u32::saturating_add);
    Ok(Reservation { reservation_id: format!("r-{order}"), pieces })
}

/// Input of `shop.charge`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Charge {
    /// The order's number.
    order: String,
    /// The card to charge.
    card: String,
    /// How much.
    amount: f64,
    /// Of what.
    currency: String,
}

/// Output of `shop.charge`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Payment {
    /// Names it.
    payment_id: String,
    /// What was charged.
    #[serde(default)]
    charged: String,
}

async fn charge(task: Task<Charge>) -> Result<Payment, TaskError> {
    let Charge { order, card, amount, currency } = &task.input;
    if card == "declined" {
        return Err(TaskError::fatal(error_name::CARD_DECLINED, "the bank refuses the card"));
    }
    Ok(Payment { payment_id: format!("p-{order}"), charged: format!("{amount:.2} {currency}") })
}

/// Input of `shop.ship`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Ship {
    /// The order's number.
    order: String,
    /// Where to.
    address: Address,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Address {
    country: String,
}

/// Output of `shop.ship`.
#[derive(Debug, Serialize, JsonSchema)]
struct Shipment {
    /// Who carries it.
    carrier: String,
    /// Names it there.
    tracking: String,
}

async fn ship(task: Task<Ship>) -> Result<Shipment, TaskError> {
    let Ship { order, address: Address { country } } = &task.input;
    if country == "XX" {
        return Err(TaskError::fatal(error_name::NO_CARRIER, "nobody ships to XX"));
    }
    Ok(Shipment { carrier: format!("Post {country}"), tracking: format!("{country}-{order}") })
}

/// Input of `shop.refund`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Refund {
    /// What to give back.
    payment: Payment,
}

/// Output of `shop.refund`.
#[derive(Debug, Serialize, JsonSchema)]
struct Refunded {
    /// Whether it is done.
    refunded: bool,
    /// The payment.
    payment_id: String,
}

async fn refund(task: Task<Refund>) -> Result<Refunded, TaskError> {
    Ok(Refunded { refunded: true, payment_id: task.input.payment.payment_id })
}

/// Input of `shop.release`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Release {
    /// What to put back on the shelf.
    reservation: Reservation,
}

/// Output of `shop.release`.
#[derive(Debug, Serialize, JsonSchema)]
struct Released {
    /// Whether it is done.
    released: bool,
    /// The reservation.
    reservation_id: String,
}

async fn release(task: Task<Release>) -> Result<Released, TaskError> {
    let reservation_id = task.input.reservation.reservation_id;
    Ok(Released { released: true, reservation_id })
}

/// Input of `approvals.request`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Approval {
    /// The task token that the decision comes back with. A real one would go into a link.
    #[expect(dead_code, reason = "nobody is really asked")]
    token: String,
    /// Who asks.
    employee: String,
    /// For how much.
    amount: f64,
    /// Of what.
    currency: String,
    /// What for.
    #[serde(default)]
    purpose: String,
}

/// Output of `approvals.request`: what was asked of whom.
#[derive(Debug, Serialize, JsonSchema)]
struct Asked {
    /// Who decides.
    approver: String,
    /// What they read.
    question: String,
}

/// A real one would send a mail or a chat message; here the token is for whoever looks at the
/// claim (`fluxus claim explain`).
async fn request_approval(task: Task<Approval>) -> Result<Asked, TaskError> {
    let Approval { employee, amount, currency, purpose, .. } = &task.input;
    let question = format!("May {employee} spend {amount:.2} {currency} on {purpose}?");
    Ok(Asked { approver: format!("the lead of {employee}"), question })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order() -> Value {
        let claim: Value =
            serde_json::from_str(include_str!("../../../examples/order-saga/claim.json"))
                .expect("a claim");
        claim["body"].clone()
    }

    async fn call(capability: &str, input: Value) -> Result<Value, String> {
        let called = fluxling().call(capability, input).await;
        called.map_err(|error| error.name().to_owned())
    }

    #[tokio::test]
    async fn a_busy_shop_is_busy_at_the_first_attempt_only() {
        // `call` makes a first attempt; the scenarios see the second.
        assert_eq!(call("shop.reserve", order()).await, Err(error_name::BUSY.to_owned()));
        let mut patient = order();
        patient["flaky"] = json!(false);
        let reservation = json!({"reservation_id": "r-1001", "pieces": 5});
        assert_eq!(call("shop.reserve", patient).await, Ok(reservation));
    }

    #[tokio::test]
    async fn what_fails_follows_from_the_input() {
        let with = |pointer: &str, value: Value| {
            let mut order = order();
            order["flaky"] = json!(false);
            *order.pointer_mut(pointer).expect(pointer) = value;
            order
        };
        for (capability, pointer, value, error) in [
            ("shop.reserve", "/items/0/sku", "ZZ-1", error_name::SOLD_OUT),
            ("shop.charge", "/card", "declined", error_name::CARD_DECLINED),
            ("shop.ship", "/address/country", "XX", error_name::NO_CARRIER),
        ] {
            let answer = call(capability, with(pointer, json!(value))).await;
            assert_eq!(answer, Err(error.to_owned()), "{capability}");
        }
    }

    #[tokio::test]
    async fn what_was_done_can_be_undone() {
        let mut order = order();
        order["flaky"] = json!(false);
        order["reservation"] = call("shop.reserve", order.clone()).await.expect("reserved");
        order["payment"] = call("shop.charge", order.clone()).await.expect("charged");
        let shipped = call("shop.ship", order.clone()).await.expect("shipped");
        assert_eq!(shipped, json!({"carrier": "Post NO", "tracking": "NO-1001"}));
        let refunded = call("shop.refund", order.clone()).await.expect("refunded");
        assert_eq!(refunded, json!({"refunded": true, "payment_id": "p-1001"}));
        let released = call("shop.release", order).await.expect("released");
        assert_eq!(released, json!({"released": true, "reservation_id": "r-1001"}));
    }
}

//! `claims.verify`: is a signed token genuine, valid now, from whom and for whom it should be?

use fluxling::TaskError;
use fluxus_schema::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jws::{self, Keys, MALFORMED, Verified};

/// The token's time is over.
pub const EXPIRED: &str = "Claims.Expired";
/// The token's time has not come, or it says that it was issued in the future.
pub const NOT_YET_VALID: &str = "Claims.NotYetValid";
/// The token is not from whom it should be.
pub const WRONG_ISSUER: &str = "Claims.WrongIssuer";
/// The token is not for whom it should be.
pub const WRONG_AUDIENCE: &str = "Claims.WrongAudience";

/// How far clocks may differ where a task does not say.
const DEFAULT_LEEWAY_S: u32 = 60;

/// What to check.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A JSON Web Token, signed with EdDSA (Ed25519).
    pub token: String,
    /// The issuer's public keys: a JWK Set, or a single JWK.
    pub keys: Keys,
    /// What `iss` must be.
    #[serde(default)]
    pub issuer: Option<String>,
    /// What `aud` must be or hold.
    #[serde(default)]
    pub audience: Option<String>,
    /// How far the issuer's clock may differ from ours, in seconds.
    #[serde(default = "default_leeway_s")]
    pub leeway_s: u32,
}

fn default_leeway_s() -> u32 {
    DEFAULT_LEEWAY_S
}

/// What a token that holds says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// Its claims.
    pub claims: Map<String, Value>,
    /// Its header.
    pub header: Map<String, Value>,
}

/// Checks a token as of `now`: first the signature, then what it says.
///
/// Source: RFC 7519, section 4.1 (`iss`, `aud`, `exp`, `nbf`, `iat`).
///
/// # Errors
/// Those of [`jws::check`]; [`EXPIRED`], [`NOT_YET_VALID`], [`WRONG_ISSUER`], [`WRONG_AUDIENCE`];
/// [`MALFORMED`] where a claim is not of its type.
pub fn verify(input: &Input, now: Timestamp) -> Result<Output, TaskError> {
    let Verified { header, payload } = jws::check(&input.token, &input.keys)?;
    let claims: Map<String, Value> = serde_json::from_slice(&payload)
        .map_err(|error| TaskError::fatal(MALFORMED, format!("the claims: {error}")))?;
    check_times(&claims, now, input.leeway_s)?;
    if let Some(wanted) = &input.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(wanted)
    {
        let cause = format!("`iss` is {}, not `{wanted}`", shown(claims.get("iss")));
        return Err(TaskError::fatal(WRONG_ISSUER, cause));
    }
    if let Some(wanted) = &input.audience
        && !is_for(claims.get("aud"), wanted)
    {
        let cause = format!("`aud` is {}, not `{wanted}`", shown(claims.get("aud")));
        return Err(TaskError::fatal(WRONG_AUDIENCE, cause));
    }
    Ok(Output { claims, header })
}

fn check_times(
    claims: &Map<String, Value>,
    now: Timestamp,
    leeway_s: u32,
) -> Result<(), TaskError> {
    let (now, leeway) = (now.as_millis() as f64 / 1_000.0, f64::from(leeway_s));
    if let Some(exp) = time(claims, "exp")?
        && now >= exp + leeway
    {
        let cause = format!("it expired {:.0} s ago", now - exp);
        return Err(TaskError::fatal(EXPIRED, cause));
    }
    for name in ["nbf", "iat"] {
        if let Some(from) = time(claims, name)?
            && now + leeway < from
        {
            let cause = format!("`{name}` is {:.0} s from now", from - now);
            return Err(TaskError::fatal(NOT_YET_VALID, cause));
        }
    }
    Ok(())
}

/// A point in time, in seconds since 1970; it may have a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, TaskError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let malformed = || TaskError::fatal(MALFORMED, format!("`{name}` is {value}, not a number"));
    value.as_f64().map(Some).ok_or_else(malformed)
}

fn is_for(audience: Option<&Value>, wanted: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(wanted)),
        _ => false,
    }
}

fn shown(claim: Option<&Value>) -> String {
    claim.map_or_else(|| "missing".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ed25519_dalek::{Signer, SigningKey};
    use fluxling::Clock;
    use serde_json::json;

    const NOW_S: i64 = 1_800_000_000;

    fn sign(kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({"typ": "JWT", "alg": "EdDSA"});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = SigningKey::from_bytes(&[7; 32]).sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn key(kid: &str, seed: u8) -> Value {
        let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
        let x = URL_SAFE_NO_PAD.encode(key.to_bytes());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig"})
    }

    async fn run(claims: Value, mut extra: Value) -> Result<Value, TaskError> {
        let clock = Clock::new(|| Timestamp::from_millis(NOW_S * 1_000));
        extra["token"] = json!(sign(Some("b"), &claims));
        extra["keys"] = json!({"keys": [key("a", 6), key("b", 7)]});
        crate::fluxling(crate::ClaimsConfig { clock }).call("claims.verify", extra).await
    }

    async fn error(claims: Value, extra: Value) -> String {
        run(claims, extra).await.expect_err("does not hold").name().to_owned()
    }

    #[tokio::test]
    async fn a_token_that_holds_tells_its_claims() {
        let claims = json!({"iss": "bank", "aud": ["shop", "till"], "sub": "ada",
            "exp": NOW_S + 10, "nbf": NOW_S - 1, "iat": NOW_S as f64 - 0.5});
        let output = run(claims.clone(), json!({"issuer": "bank", "audience": "till"})).await;
        let header = json!({"typ": "JWT", "alg": "EdDSA", "kid": "b"});
        assert_eq!(output, Ok(json!({"claims": claims, "header": header})));
    }

    #[tokio::test]
    async fn times_are_judged_with_leeway() {
        let strict = || json!({"leeway_s": 0});
        assert_eq!(error(json!({"exp": NOW_S}), strict()).await, EXPIRED);
        assert!(run(json!({"exp": NOW_S + 1}), strict()).await.is_ok());
        assert!(run(json!({"exp": NOW_S - 59}), json!({})).await.is_ok());
        assert_eq!(error(json!({"exp": NOW_S - 60}), json!({})).await, EXPIRED);
        for name in ["nbf", "iat"] {
            assert_eq!(error(json!({name: NOW_S + 1}), strict()).await, NOT_YET_VALID);
            assert!(run(json!({name: NOW_S + 60}), json!({})).await.is_ok());
            assert_eq!(error(json!({name: NOW_S + 61}), json!({})).await, NOT_YET_VALID);
        }
        assert_eq!(error(json!({"exp": "tomorrow"}), json!({})).await, MALFORMED);
        assert_eq!(error(json!({"exp": null}), json!({})).await, MALFORMED);
    }

    #[tokio::test]
    async fn issuer_and_audience_must_be_those_asked_for() {
        for claims in [json!({}), json!({"iss": "thief"}), json!({"iss": ["bank"]})] {
            assert_eq!(error(claims, json!({"issuer": "bank"})).await, WRONG_ISSUER);
        }
        for claims in [json!({}), json!({"aud": "shops"}), json!({"aud": ["a", 1]})] {
            assert_eq!(error(claims, json!({"audience": "shop"})).await, WRONG_AUDIENCE);
        }
        assert!(run(json!({"aud": "shop"}), json!({"audience": "shop"})).await.is_ok());
    }

    #[tokio::test]
    async fn only_the_named_key_is_tried_and_claims_are_an_object() {
        assert_eq!(error(json!([1]), json!({})).await, MALFORMED);
        let fluxling = crate::fluxling(crate::ClaimsConfig::default());
        let mut input = json!({"token": sign(Some("a"), &json!({})), "keys": key("b", 7)});
        let unknown = fluxling.call("claims.verify", input.clone()).await.expect_err("unknown");
        assert_eq!(unknown.name(), jws::UNKNOWN_KEY);
        input["keys"] = key("a", 6);
        let bad = fluxling.call("claims.verify", input.clone()).await.expect_err("bad");
        assert_eq!(bad.name(), jws::BAD_SIGNATURE);
        input["token"] = json!(sign(None, &json!({})));
        input["keys"] = json!({"keys": [key("a", 6), key("b", 7)]});
        assert!(
            fluxling.call("claims.verify", input).await.is_ok(),
            "without a name, all are tried"
        );
    }
}

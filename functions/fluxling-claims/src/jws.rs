//! Compact JSON Web Signatures with Ed25519 keys.
//!
//! Only `EdDSA` is accepted, whatever the header says: an algorithm chosen by the sender (`none`, a
//! MAC keyed with a public key) is the classic hole. Source: RFC 7515 (JWS), RFC 7517 (JWK), RFC 8037
//! (Ed25519 in both).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{PUBLIC_KEY_LENGTH, SIGNATURE_LENGTH, Signature, VerifyingKey};
use fluxling::TaskError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The token is not a compact JWS, or not of the form that this check needs.
pub const MALFORMED: &str = "Claims.Malformed";
/// The token is signed by something else than EdDSA, or not at all.
pub const UNSUPPORTED_ALGORITHM: &str = "Claims.UnsupportedAlgorithm";
/// No key is given that could have signed the token.
pub const UNKNOWN_KEY: &str = "Claims.UnknownKey";
/// A key cannot be read.
pub const INVALID_KEY: &str = "Claims.InvalidKey";
/// The signature is not that of the keys.
pub const BAD_SIGNATURE: &str = "Claims.BadSignature";

/// Most keys in a set: each may have to be tried.
const MAX_KEYS: usize = 100;

/// A JWK Set, or a single JWK.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Keys {
    /// A JWK Set.
    Set {
        /// Its keys. Those of other kinds are passed over.
        keys: Vec<Jwk>,
    },
    /// A single key.
    One(Jwk),
}

/// A JSON Web Key, as far as it matters here.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Jwk {
    /// `OKP` for Ed25519.
    kty: String,
    /// `Ed25519`.
    #[serde(default)]
    crv: String,
    /// The public key, in base64url.
    #[serde(default)]
    x: String,
    /// Its name.
    #[serde(default)]
    kid: Option<String>,
    /// `sig`, if it says what it is for.
    #[serde(default, rename = "use")]
    usage: Option<String>,
    /// `EdDSA`, if it says by what.
    #[serde(default)]
    alg: Option<String>,
}

/// A token whose signature holds.
#[derive(Debug)]
pub struct Verified {
    /// Its header.
    pub header: Map<String, Value>,
    /// What is signed.
    pub payload: Vec<u8>,
}

/// Checks a token's form, algorithm and signature.
///
/// # Errors
/// [`MALFORMED`], [`UNSUPPORTED_ALGORITHM`], [`UNKNOWN_KEY`], [`INVALID_KEY`], [`BAD_SIGNATURE`].
pub fn check(token: &str, keys: &Keys) -> Result<Verified, TaskError> {
    let malformed = |cause: &str| TaskError::fatal(MALFORMED, cause);
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(malformed("a compact JWS has three parts, separated by dots"));
    };
    let signed = &token[..header.len() + 1 + payload.len()];
    let decode = |part: &str, name: &str| {
        let decoded = URL_SAFE_NO_PAD.decode(part);
        decoded.map_err(|error| TaskError::fatal(MALFORMED, format!("the {name}: {error}")))
    };
    let header: Map<String, Value> = serde_json::from_slice(&decode(header, "header")?)
        .map_err(|error| TaskError::fatal(MALFORMED, format!("the header: {error}")))?;
    match header.get("alg").and_then(Value::as_str) {
        Some("EdDSA") => {}
        alg => {
            let cause = format!("`alg` is `{}`; only `EdDSA` is accepted", alg.unwrap_or_default());
            return Err(TaskError::fatal(UNSUPPORTED_ALGORITHM, cause));
        }
    }
    // RFC 7515, 4.1.11: extensions that must be understood. None are.
    if header.contains_key("crit") {
        return Err(malformed("the header has `crit`, and no extension is supported"));
    }
    let payload = decode(payload, "payload")?;
    let signature = decode(signature, "signature")?;
    let signature: [u8; SIGNATURE_LENGTH] =
        signature.try_into().map_err(|_| malformed("an Ed25519 signature has 64 bytes"))?;
    let signature = Signature::from_bytes(&signature);

    let kid = header.get("kid").and_then(Value::as_str);
    for key in candidates(keys, kid)? {
        if key.verify_strict(signed.as_bytes(), &signature).is_ok() {
            return Ok(Verified { header, payload });
        }
    }
    Err(TaskError::fatal(BAD_SIGNATURE, "the signature is not that of any key given"))
}

/// The keys that may have signed: those named `kid`, or without a name; all if none is asked for.
fn candidates(keys: &Keys, kid: Option<&str>) -> Result<Vec<VerifyingKey>, TaskError> {
    let keys = match keys {
        Keys::Set { keys } => keys.as_slice(),
        Keys::One(key) => std::slice::from_ref(key),
    };
    if keys.len() > MAX_KEYS {
        let cause = format!("the set has {} keys, past MAX_KEYS = {MAX_KEYS}", keys.len());
        return Err(TaskError::fatal(INVALID_KEY, cause));
    }
    let fits = |key: &&Jwk| {
        let named = match (kid, key.kid.as_deref()) {
            (Some(wanted), Some(name)) => wanted == name,
            (None, _) | (_, None) => true,
        };
        named && key.is_for_ed25519_signatures()
    };
    let found: Vec<_> = keys.iter().filter(fits).map(Jwk::public).collect::<Result<_, _>>()?;
    if found.is_empty() {
        let cause = match kid {
            Some(kid) => format!("no Ed25519 key named `{kid}` is given"),
            None => "no Ed25519 key is given".to_owned(),
        };
        return Err(TaskError::fatal(UNKNOWN_KEY, cause));
    }
    Ok(found)
}

impl Jwk {
    fn is_for_ed25519_signatures(&self) -> bool {
        self.kty == "OKP"
            && self.crv == "Ed25519"
            && self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.alg.as_deref().is_none_or(|alg| alg == "EdDSA")
    }

    fn public(&self) -> Result<VerifyingKey, TaskError> {
        let invalid = |cause: String| TaskError::fatal(INVALID_KEY, cause);
        let bytes = URL_SAFE_NO_PAD.decode(&self.x).map_err(|e| invalid(format!("`x`: {e}")))?;
        let bytes: [u8; PUBLIC_KEY_LENGTH] = bytes
            .try_into()
            .map_err(|_| invalid("`x`: an Ed25519 public key has 32 bytes".to_owned()))?;
        VerifyingKey::from_bytes(&bytes).map_err(|e| invalid(format!("`x`: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// RFC 8037, appendix A.4.
    const TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0Jz\
        lnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    /// RFC 8037, appendix A.2.
    fn key() -> Value {
        json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        })
    }

    fn keys(keys: Value) -> Keys {
        serde_json::from_value(keys).expect("keys")
    }

    fn error(token: &str, with: Value) -> String {
        check(token, &keys(with)).expect_err("does not hold").name().to_owned()
    }

    #[test]
    fn the_example_of_the_rfc_holds() {
        for with in [key(), json!({"keys": [{"kty": "RSA", "n": "AQAB"}, key()]})] {
            let verified = check(TOKEN, &keys(with)).expect("holds");
            assert_eq!(verified.payload, b"Example of Ed25519 signing");
            assert_eq!(Value::Object(verified.header), json!({"alg": "EdDSA"}));
        }
    }

    #[test]
    fn anything_else_does_not() {
        let other = TOKEN.replace("RXhhbXBsZSBv", "RXhhbXBsZSBw");
        assert_eq!(error(&other, key()), BAD_SIGNATURE);
        let mut foreign = key();
        foreign["x"] = json!("O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik");
        assert_eq!(error(TOKEN, foreign), BAD_SIGNATURE);
        for wrong in
            ["", "a.b", "a.b.c.d", "!.!.!", &TOKEN[..TOKEN.len() - 4], &format!("{TOKEN}=")]
        {
            assert_eq!(error(wrong, key()), MALFORMED, "{wrong}");
        }
    }

    /// `s` plus the order of the group gives the same point: a second signature for the same text,
    /// that only a strict check refuses (RFC 8032, 5.1.7).
    #[test]
    fn a_signature_cannot_be_varied() {
        let (signed, signature) = TOKEN.rsplit_once('.').expect("parts");
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let order = 27_742_317_777_372_353_535_851_937_790_883_648_493_u128.to_le_bytes();
        let mut carry = 0_u16;
        for place in 0..32 {
            let add = order.get(place).copied().unwrap_or(if place == 31 { 0x10 } else { 0 });
            let sum = u16::from(bytes[32 + place]) + u16::from(add) + carry;
            bytes[32 + place] = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        let varied = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(error(&varied, key()), BAD_SIGNATURE);
    }

    #[test]
    fn no_other_algorithm_is_accepted() {
        for alg in ["none", "None", "HS256", "RS256", "eddsa", ""] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
            let rest = TOKEN.split_once('.').expect("parts").1;
            assert_eq!(error(&format!("{header}.{rest}"), key()), UNSUPPORTED_ALGORITHM, "{alg}");
        }
        let unsigned = format!("{}..", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
        assert_eq!(error(&unsigned, key()), UNSUPPORTED_ALGORITHM);
    }

    #[test]
    fn extensions_that_must_be_understood_are_refused() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#);
        let rest = TOKEN.split_once('.').expect("parts").1;
        assert_eq!(error(&format!("{header}.{rest}"), key()), MALFORMED);
    }

    #[test]
    fn keys_are_chosen_by_name_and_purpose() {
        assert_eq!(error(TOKEN, json!({"keys": []})), UNKNOWN_KEY);
        for (field, value) in [("use", "enc"), ("alg", "ES256"), ("crv", "X25519"), ("kty", "EC")] {
            let mut unfit = key();
            unfit[field] = json!(value);
            assert_eq!(error(TOKEN, unfit), UNKNOWN_KEY, "{field}");
        }
        let mut broken = key();
        broken["x"] = json!("AQAB");
        assert_eq!(error(TOKEN, broken), INVALID_KEY);
        let many: Vec<_> = (0..=MAX_KEYS).map(|_| key()).collect();
        assert_eq!(error(TOKEN, json!({"keys": many})), INVALID_KEY);
    }
}

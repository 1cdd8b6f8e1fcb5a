//! Objects by AWS's SDK.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::{RequestId as _, RequestIdExt as _};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::Object;

use crate::objects::{Listed, ListedPage, Listing, ObjectError, ObjectPart, ObjectPlace, Objects};

/// How long a connection to S3 may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for one try of a request, and for all that the SDK makes of it: a window has a megabyte, and
/// the task must end before its own time does.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(25);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(90);

/// What stands in the code of a refusal that passes by itself.
const PASSING: [&str; 5] =
    ["InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttl"];

/// Objects in Amazon S3. Requests change nothing when they are repeated, so the SDK tries them again
/// by itself.
#[derive(Debug, Clone)]
pub struct S3Objects(Client);

impl S3Objects {
    /// By this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        // An endpoint of somebody's own has no host for each bucket.
        let has_own_endpoint = config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(config).force_path_style(has_own_endpoint);
        Self(Client::from_conf(config.build()))
    }

    /// As the environment has it.
    pub(crate) async fn from_env() -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        Self::new(&config.load().await)
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn read(
        &self,
        place: &ObjectPlace,
        from: u64,
        most: usize,
        etag: Option<&str>,
    ) -> Result<ObjectPart, ObjectError> {
        let ObjectPlace { bucket, key, version, owner } = place;
        let last = from.saturating_add(most as u64).saturating_sub(1);
        let get = self.0.get_object().bucket(bucket).key(key).range(format!("bytes={from}-{last}"));
        let get = get.set_version_id(version.clone()).set_expected_bucket_owner(owner.clone());
        let mut object = match get.set_if_match(etag.map(str::to_owned)).send().await {
            Ok(object) => object,
            Err(error) => {
                return match error.code() {
                    // The range begins behind the end: the object has no more bytes.
                    Some("InvalidRange") => {
                        let etag = etag.map(str::to_owned);
                        Ok(ObjectPart { bytes: Vec::new(), is_last: true, etag })
                    }
                    Some("PreconditionFailed") => Err(ObjectError::Changed),
                    _ => Err(failed(&error)),
                };
            }
        };
        let (length, mut pass) = match object.content_range() {
            Some(range) => (length(range)?, 0),
            // Servers need not heed ranges; then all of the object comes, from its beginning.
            None => (object.content_length().unwrap_or_default().unsigned_abs(), from),
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = object.body.next().await {
            let broken = |error| ObjectError::Transient { message: told(&error) };
            let chunk = chunk.map_err(broken)?;
            let passed = usize::try_from(pass).unwrap_or(usize::MAX).min(chunk.len());
            pass -= passed as u64;
            bytes.extend_from_slice(&chunk[passed..]);
            if bytes.len() >= most {
                bytes.truncate(most);
                break;
            }
        }
        let is_last = from + bytes.len() as u64 >= length;
        Ok(ObjectPart { bytes, is_last, etag: object.e_tag })
    }

    async fn list(&self, listing: &Listing, most: u16) -> Result<ListedPage, ObjectError> {
        let Listing { bucket, prefix, start_after, owner } = listing;
        let list = self.0.list_objects_v2().bucket(bucket).max_keys(i32::from(most));
        let list = list.set_prefix(prefix.clone()).set_start_after(start_after.clone());
        let listed = list
            .set_expected_bucket_owner(owner.clone())
            .send()
            .await
            .map_err(|error| failed(&error))?;
        let is_last = !listed.is_truncated.unwrap_or_default();
        let objects: Vec<_> =
            listed.contents.unwrap_or_default().into_iter().filter_map(object).collect();
        // Without a key to go on after, the next page would be this one.
        if objects.is_empty() && !is_last {
            let message = "S3 lists no objects and says that there are more".to_owned();
            return Err(ObjectError::Client { message });
        }
        Ok(ListedPage { objects, is_last })
    }

    async fn put(&self, place: &ObjectPlace, kind: &str, text: String) -> Result<(), ObjectError> {
        let put = self.0.put_object().bucket(&place.bucket).key(&place.key).content_type(kind);
        let put = put.set_expected_bucket_owner(place.owner.clone());
        put.body(ByteStream::from(text.into_bytes()))
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(())
    }
}

/// The bytes of the whole object: of `bytes 0-99/1234`, 1234.
fn length(range: &str) -> Result<u64, ObjectError> {
    let length = range.rsplit('/').next().and_then(|length| length.parse().ok());
    let message = || format!("S3 does not say of how many bytes it gives some: {range}");
    length.ok_or_else(|| ObjectError::Client { message: message() })
}

fn object(object: Object) -> Option<Listed> {
    Some(Listed {
        etag: object.e_tag,
        last_modified_s: object.last_modified.map(|at| at.secs()),
        key: object.key?,
        size: object.size,
        storage_class: object.storage_class.map(|class| class.as_str().to_owned()),
    })
}

/// A failure, in the words that Step Functions has for one of S3.
fn failed<E>(error: &SdkError<E>) -> ObjectError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let SdkError::ServiceError(service) = error else {
        let message = told(error);
        return match error {
            SdkError::ConstructionFailure(_) => ObjectError::Client { message },
            _ => ObjectError::Transient { message },
        };
    };
    let (status, code) = (service.raw().status().as_u16(), error.code().unwrap_or_default());
    let said = error.message().filter(|said| !said.is_empty());
    let named = |name: &str, id: Option<&str>| id.map(|id| format!(", {name}: {id}"));
    let message = format!(
        "{} (Service: S3, Status Code: {status}{}{})",
        said.unwrap_or(if code.is_empty() { "no reason was given" } else { code }),
        named("Request ID", error.request_id()).unwrap_or_default(),
        named("Extended Request ID", error.extended_request_id()).unwrap_or_default(),
    );
    if status >= 500 || PASSING.iter().any(|part| code.contains(part)) {
        return ObjectError::Transient { message };
    }
    ObjectError::Refused { code: code.to_owned(), message }
}

fn told(error: &(impl std::error::Error + 'static)) -> String {
    DisplayErrorContext(error).to_string()
}

//! Large bodies in a bucket of Amazon S3.

use std::error::Error;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;

use super::batch::is_transient;
use crate::bodies::{Bodies, BodyError, BodyReference};

/// A bucket with large bodies. Its lifecycle rule removes objects under `bodies/` when they are 15
/// days old.
#[derive(Clone, Debug)]
pub struct S3Bodies {
    client: Client,
    bucket: String,
}

impl S3Bodies {
    /// The bodies of this bucket.
    pub fn new(config: &SdkConfig, bucket: &str) -> Self {
        // An endpoint of somebody's own has no host for each bucket.
        let has_own_endpoint = config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(config).force_path_style(has_own_endpoint);
        Self { client: Client::from_conf(config.build()), bucket: bucket.to_owned() }
    }

    fn error(
        &self,
        action: &'static str,
        key: &str,
        is_transient: bool,
    ) -> impl FnOnce(Box<dyn Error + Send + Sync>) -> BodyError {
        let (bucket, key) = (self.bucket.clone(), key.to_owned());
        move |source| BodyError { action, bucket, key, is_transient, source }
    }
}

#[async_trait]
impl Bodies for S3Bodies {
    async fn put(&self, body: &str) -> Result<BodyReference, BodyError> {
        let reference = BodyReference::to(&self.bucket, body);
        let put = self.client.put_object().bucket(&self.bucket).key(&reference.key);
        let put = put.content_type("application/json");
        let put = put.body(ByteStream::from(body.as_bytes().to_vec())).send();
        match put.await {
            Ok(_) => Ok(reference),
            Err(error) => {
                Err(self.error("put", &reference.key, is_transient(&error))(error.into()))
            }
        }
    }

    async fn get(&self, reference: &BodyReference) -> Result<String, BodyError> {
        let BodyReference { bucket, key, .. } = reference;
        let failed = |is_transient| self.error("get", key, is_transient);
        // Who can send a message could otherwise have other buckets read.
        if *bucket != self.bucket {
            return Err(failed(false)(format!("bodies are in `{}`", self.bucket).into()));
        }
        let got = self.client.get_object().bucket(bucket).key(key).send().await;
        let object = got.map_err(|error| {
            let is_gone = matches!(&error, SdkError::ServiceError(e) if e.err().is_no_such_key());
            failed(!is_gone && is_transient(&error))(error.into())
        })?;
        let bytes = object.body.collect().await.map_err(|error| failed(true)(error.into()))?;
        let body =
            String::from_utf8(bytes.to_vec()).map_err(|error| failed(false)(error.into()))?;
        if !reference.fits(&body) {
            return Err(failed(false)("it is not the body that was put there".into()));
        }
        Ok(body)
    }
}

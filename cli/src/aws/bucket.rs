//! The bucket for what is deployed.

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use super::bundle::{Artifact, Bucket};
use super::settings::Settings;
use super::tool::Aws;
use crate::exit::Usage;
use crate::output::note;

/// Uploads at a time: each is a process of its own.
const UPLOADS: usize = 4;

/// Who we are to AWS.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Identity {
    /// The account.
    pub account: String,
    /// The user or the role.
    pub arn: String,
}

/// Asks AWS who we are: whoever cannot be told has no credentials.
///
/// # Errors
/// Any [`AwsError`](super::tool::AwsError).
pub async fn identity(aws: &Aws) -> anyhow::Result<Identity> {
    Ok(aws.ask(&["sts", "get-caller-identity"]).await?)
}

/// The region that the AWS CLI would use where nobody names one: the profile's.
///
/// # Errors
/// [`Usage`] where there is none.
pub async fn region(aws: &Aws, settings: &Settings) -> anyhow::Result<String> {
    if let Some(region) = &settings.region {
        return Ok(region.clone());
    }
    let region = aws.text(&["configure", "get", "region"]).await.unwrap_or_default();
    if region.is_empty() {
        let what = "which region? give --region, `region` in fluxus.toml, or AWS_REGION";
        return Err(Usage(what.to_owned()).into());
    }
    Ok(region)
}

impl Bucket {
    /// The bucket that these settings mean.
    pub fn of(settings: &Settings, account: &str, region: &str) -> Self {
        let name = settings.bucket.clone();
        let name = name.unwrap_or_else(|| format!("fluxus-artifacts-{account}-{region}"));
        let ending = if region.starts_with("cn-") { ".cn" } else { "" };
        let url = match &settings.endpoint_url {
            Some(endpoint) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            None => format!("https://{name}.s3.{region}.amazonaws.com{ending}"),
        };
        Self { name, url }
    }

    /// Whether it is there and ours.
    ///
    /// # Errors
    /// Where AWS cannot be asked, or it belongs to somebody else.
    pub async fn exists(&self, aws: &Aws) -> anyhow::Result<bool> {
        match aws.tell(&["s3api", "head-bucket", "--bucket", &self.name]).await {
            Ok(()) => Ok(true),
            Err(error) if error.says_absent() => Ok(false),
            Err(error) => Err(error).with_context(|| format!("look for the bucket {}", self.name)),
        }
    }

    /// Creates it: private, encrypted.
    ///
    /// # Errors
    /// Any [`AwsError`](super::tool::AwsError).
    pub async fn create(&self, aws: &Aws, region: &str) -> anyhow::Result<()> {
        note(&format!("Creating the bucket {} for what is deployed", self.name));
        let bucket = ["--bucket", self.name.as_str()];
        let place = format!("LocationConstraint={region}");
        let mut create = [&["s3api", "create-bucket"], &bucket[..]].concat();
        // S3 refuses its first region by name.
        if region != "us-east-1" {
            create.extend(["--create-bucket-configuration", &place]);
        }
        aws.tell(&create).await?;
        const PRIVATE: &str = "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,\
                               RestrictPublicBuckets=true";
        let private = ["--public-access-block-configuration", PRIVATE];
        aws.tell(&[&["s3api", "put-public-access-block"], &bucket[..], &private].concat()).await?;
        const ENCRYPTED: &str =
            r#"{"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}"#;
        let encrypted = ["--server-side-encryption-configuration", ENCRYPTED];
        Ok(aws
            .tell(&[&["s3api", "put-bucket-encryption"], &bucket[..], &encrypted].concat())
            .await?)
    }

    /// Puts there what is not there yet, and says how many files that were.
    ///
    /// # Errors
    /// Any [`AwsError`](super::tool::AwsError).
    pub async fn upload(&self, aws: &Aws, artifacts: &[Artifact]) -> anyhow::Result<usize> {
        let there = self.keys(aws).await?;
        let missing: Vec<_> = artifacts.iter().filter(|one| !there.contains(&one.key)).collect();
        let mut uploads = JoinSet::new();
        for artifact in &missing {
            while uploads.len() >= UPLOADS {
                finish(&mut uploads).await?;
            }
            note(&format!("  uploading {} ({})", artifact.name, size(artifact.bytes.len())));
            let (aws, bucket) = (aws.clone(), self.name.clone());
            let mut file = tempfile::NamedTempFile::new().context("write an upload")?;
            file.write_all(&artifact.bytes).context("write an upload")?;
            let key = artifact.key.clone();
            uploads.spawn(async move {
                let body = file.path().to_string_lossy();
                let put =
                    ["s3api", "put-object", "--bucket", &bucket, "--key", &key, "--body", &body];
                aws.ask_long::<Value>(&put).await.with_context(|| format!("upload {key}"))
            });
        }
        while !uploads.is_empty() {
            finish(&mut uploads).await?;
        }
        Ok(missing.len())
    }

    async fn keys(&self, aws: &Aws) -> anyhow::Result<BTreeSet<String>> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(rename = "Contents", default)]
            contents: Vec<Object>,
        }
        #[derive(Deserialize)]
        struct Object {
            #[serde(rename = "Key")]
            key: String,
        }
        let list = ["s3api", "list-objects-v2", "--bucket", &self.name, "--prefix", "fluxus/"];
        // An empty bucket is no answer at all in some versions of the AWS CLI.
        let listed: Option<Listed> = aws.ask_long(&list).await?;
        let contents = listed.map(|listed| listed.contents).unwrap_or_default();
        Ok(contents.into_iter().map(|object| object.key).collect())
    }
}

async fn finish(uploads: &mut JoinSet<anyhow::Result<Value>>) -> anyhow::Result<()> {
    if let Some(upload) = uploads.join_next().await {
        upload.context("wait for an upload")??;
    }
    Ok(())
}

/// Bytes as people say them.
pub fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xF_FFFF) * 10) >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_name_and_address_from_where_it_is() {
        let bucket = |settings: &Settings, region| {
            let bucket = Bucket::of(settings, "123456789012", region);
            (bucket.name, bucket.url)
        };
        let name = "fluxus-artifacts-123456789012-eu-central-1".to_owned();
        let url = format!("https://{name}.s3.eu-central-1.amazonaws.com");
        assert_eq!(bucket(&Settings::default(), "eu-central-1"), (name, url));
        let local = Settings {
            endpoint_url: Some("http://localhost:4566/".into()),
            bucket: Some("mine".into()),
            ..Settings::default()
        };
        let want = ("mine".to_owned(), "http://localhost:4566/mine".to_owned());
        assert_eq!(bucket(&local, "eu-central-1"), want);
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [512, 2048, 1_048_576, 3_250_586].map(size);
        assert_eq!(sizes, ["512 B", "2 KiB", "1.0 MiB", "3.1 MiB"]);
    }
}

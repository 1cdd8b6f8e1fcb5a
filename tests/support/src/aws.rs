//! AWS's interfaces on this machine, for tests: one [ministack](https://pypi.org/project/ministack/)
//! for each test program, ended with the last test that uses it.

mod server;
mod tools;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Weak};

use anyhow::Context;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveSpecification,
};
use aws_sdk_sqs::types::QueueAttributeName;
use tokio::sync::Mutex;

use server::Server;
pub use tools::{Tools, tools};

/// The region that everything is in.
pub const REGION: &str = "us-east-1";

/// The account that everything is in.
pub const ACCOUNT: &str = "000000000000";

/// What key and secret are: the server takes any.
const CREDENTIALS: &str = "test";

/// A server of AWS's interfaces, ended when the last who holds it lets go.
#[derive(Debug)]
pub struct Aws {
    server: Server,
    config: SdkConfig,
    tools: Tools,
}

/// The server of this test program, which the first test starts.
///
/// # Panics
/// Where it cannot be had, saying what is missing.
pub async fn aws() -> Arc<Aws> {
    static RUNNING: Mutex<Weak<Aws>> = Mutex::const_new(Weak::new());
    let mut running = RUNNING.lock().await;
    if let Some(aws) = running.upgrade() {
        return aws;
    }
    let aws = Arc::new(Aws::start(None).await.unwrap_or_else(|error| give_up(&error)));
    *running = Arc::downgrade(&aws);
    aws
}

/// A server of a test's own, whose functions find AWS's interfaces at `gateway`, to see what they
/// send or to change it.
///
/// # Panics
/// Where it cannot be had, saying what is missing.
pub async fn aws_behind(gateway: &str) -> Aws {
    Aws::start(Some(gateway)).await.unwrap_or_else(|error| give_up(&error))
}

fn give_up(error: &anyhow::Error) -> ! {
    panic!(
        "\n\nThis test needs ministack, a server of AWS's interfaces, and has none: {error:#}\n\
         Put `ministack` on PATH, or have python3 with its venv module and a package index.\n"
    )
}

impl Aws {
    async fn start(gateway: Option<&str>) -> anyhow::Result<Self> {
        let tools = tokio::task::spawn_blocking(tools).await??;
        let server = Server::start(&tools, gateway).await?;
        let credentials = Credentials::new(CREDENTIALS, CREDENTIALS, None, None, "tests");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url(server.url())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Ok(Self { server, config, tools })
    }

    /// What clients are made from.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Where the server listens: `http://localhost:16123`.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// What a program needs in its environment to use this server.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        server::environment(self.server.url())
    }

    /// The tools that it was started with.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// A command that uses this server, and finds the tools.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let tools = self.tools.ministack().parent().map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(tools.into_iter().chain(std::env::split_paths(&path)));
        command.envs(self.environment()).env("PATH", path.unwrap_or_default());
        command
    }

    /// Makes a queue with its dead-letter queue, `NAME-dlq`, where messages go that were received
    /// so often. Returns its URL.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn create_queue(&self, name: &str, max_receives: u32) -> anyhow::Result<String> {
        let client = aws_sdk_sqs::Client::new(&self.config);
        let dead = format!("{name}-dlq");
        client.create_queue().queue_name(&dead).send().await.context("create a queue")?;
        let redrive = format!(
            r#"{{"deadLetterTargetArn":"arn:aws:sqs:{REGION}:{ACCOUNT}:{dead}","maxReceiveCount":{max_receives}}}"#
        );
        let queue = client.create_queue().queue_name(name);
        let queue = queue.attributes(QueueAttributeName::RedrivePolicy, redrive);
        let made = queue.send().await.context("create a queue")?;
        made.queue_url.context("a queue has a URL")
    }

    /// The URL of the queue whose name is empty: that of any queue without its name.
    pub fn queue_url_prefix(&self, prefix: &str) -> String {
        format!("{}/{ACCOUNT}/{prefix}", self.url())
    }

    /// Makes a table with a text for a key, and an attribute by which items expire.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn create_table(&self, name: &str, key: &str, expires: &str) -> anyhow::Result<()> {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let attribute = AttributeDefinition::builder().attribute_name(key);
        let attribute = attribute.attribute_type(ScalarAttributeType::S).build()?;
        let hash = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash);
        let table = client.create_table().table_name(name).key_schema(hash.build()?);
        let table = table.attribute_definitions(attribute).billing_mode(BillingMode::PayPerRequest);
        table.send().await.context("create a table")?;
        let expiry = TimeToLiveSpecification::builder().attribute_name(expires).enabled(true);
        let expiry = client
            .update_time_to_live()
            .table_name(name)
            .time_to_live_specification(expiry.build()?);
        expiry.send().await.context("let items expire")?;
        Ok(())
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true).build();
        let client = aws_sdk_s3::Client::from_conf(config);
        client.create_bucket().bucket(name).send().await.context("create a bucket")?;
        Ok(())
    }
}

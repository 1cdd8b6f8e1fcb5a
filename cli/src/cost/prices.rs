//! What AWS asks for what Fluxus uses: the one table of prices.

use serde::Serialize;

/// The region of the prices.
pub(super) const REGION: &str = "us-east-1";

/// When they were looked up. Free tiers and discounts for volume are left out.
pub(super) const DATE: &str = "2026-11-25";

/// One price.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Price {
    /// What is paid for.
    pub(super) what: &'static str,
    /// In US dollars, for each of `unit`.
    pub(super) usd: f64,
    pub(super) unit: &'static str,
    /// Where the price is published.
    pub(super) source: &'static str,
}

/// A request, of 64 KiB at most: a larger one counts for several. Those that Lambda's event source
/// makes to receive and to delete are requests as any other.
pub(super) const SQS_REQUEST: Price = Price {
    what: "SQS requests, standard queue",
    usd: 0.40 / 1e6,
    unit: "request",
    source: "https://aws.amazon.com/sqs/pricing/",
};

/// What a queue costs more whose messages name a group, as Fluxus' do: it is fair between tenants.
pub(super) const SQS_FAIR_REQUEST: Price = Price {
    what: "SQS requests, more for fair queues",
    usd: 0.10 / 1e6,
    unit: "request",
    source: "https://aws.amazon.com/sqs/pricing/",
};

pub(super) const LAMBDA_REQUEST: Price = Price {
    what: "Lambda invocations",
    usd: 0.20 / 1e6,
    unit: "invocation",
    source: "https://aws.amazon.com/lambda/pricing/",
};

pub(super) const LAMBDA_GB_SECOND: Price = Price {
    what: "Lambda time, arm64",
    usd: 0.000_013_333_4,
    unit: "GB-s",
    source: "https://aws.amazon.com/lambda/pricing/",
};

/// A request of up to 512 KB.
pub(super) const HTTP_API_REQUEST: Price = Price {
    what: "API Gateway, HTTP API",
    usd: 1.00 / 1e6,
    unit: "request",
    source: "https://aws.amazon.com/api-gateway/pricing/",
};

/// A write of up to 1 KiB.
pub(super) const DYNAMODB_WRITE: Price = Price {
    what: "DynamoDB writes, on demand",
    usd: 0.625 / 1e6,
    unit: "write unit",
    source: "https://aws.amazon.com/dynamodb/pricing/on-demand/",
};

/// RDS asks nothing for reads and writes on gp3, nor for what goes to the log.
pub(super) const RDS_STORAGE: Price = Price {
    what: "RDS storage, gp3",
    usd: 0.115,
    unit: "GB-month",
    source: "https://aws.amazon.com/rds/postgresql/pricing/",
};

/// Half a db.t4g.medium, which has two: 0.065 an hour; with RDS Proxy, 0.015 for each.
pub(super) const RDS_VCPU_HOUR: Price = Price {
    what: "RDS instance and proxy",
    usd: 0.065 / 2.0 + 0.015,
    unit: "vCPU-hour",
    source: "https://aws.amazon.com/rds/postgresql/pricing/",
};

pub(super) const LOGS_GB: Price = Price {
    what: "CloudWatch Logs, taken in",
    usd: 0.50,
    unit: "GB",
    source: "https://aws.amazon.com/cloudwatch/pricing/",
};

pub(super) const STEP_FUNCTIONS_TRANSITION: Price = Price {
    what: "Step Functions Standard",
    usd: 25.0 / 1e6,
    unit: "transition",
    source: "https://aws.amazon.com/step-functions/pricing/",
};

pub(super) const EXPRESS_REQUEST: Price = Price {
    what: "Step Functions Express, executions",
    usd: 1.00 / 1e6,
    unit: "execution",
    source: "https://aws.amazon.com/step-functions/pricing/",
};

/// Of memory in steps of 64 MB, and of time in steps of 100 ms.
pub(super) const EXPRESS_GB_SECOND: Price = Price {
    what: "Step Functions Express, time",
    usd: 0.000_016_67,
    unit: "GB-s",
    source: "https://aws.amazon.com/step-functions/pricing/",
};

/// All of them.
pub(super) const ALL: [Price; 12] = [
    SQS_REQUEST,
    SQS_FAIR_REQUEST,
    LAMBDA_REQUEST,
    LAMBDA_GB_SECOND,
    HTTP_API_REQUEST,
    DYNAMODB_WRITE,
    RDS_STORAGE,
    RDS_VCPU_HOUR,
    LOGS_GB,
    STEP_FUNCTIONS_TRANSITION,
    EXPRESS_REQUEST,
    EXPRESS_GB_SECOND,
];

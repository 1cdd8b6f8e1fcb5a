//! The system on AWS: `deploy`, `destroy`, `status`, `logs` and `invoke`.
//!
//! AWS is reached through the AWS CLI ([`tool`]), which knows every kind of credentials; SDKs for
//! six services would double the build of this program. What is deployed goes by its content
//! ([`bundle`]): whoever deploys the same twice changes nothing.

pub mod bucket;
pub mod build;
pub mod bundle;
mod cfn;
pub mod change;
pub mod deploy;
pub mod destroy;
pub mod events;
pub mod functions;
pub mod invoke;
pub mod lambda;
pub mod logs;
pub mod metrics;
pub mod queues;
pub mod recipes;
pub mod register;
pub mod rie;
pub mod settings;
pub mod stack;
pub mod status;
pub mod template;
pub mod tool;

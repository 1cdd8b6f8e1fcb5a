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
pub mod lambda;
pub mod recipes;
pub mod register;
pub mod settings;
pub mod stack;
pub mod template;
pub mod tool;

//! What is written for a new fluxling. Every line fits whatever the name, as rustfmt has it.

use super::NewName;

/// Its `Cargo.toml`.
pub fn manifest(name: &NewName) -> String {
    fill(include_str!("text/Cargo.toml.txt"), name)
}

/// Its `lib.rs`: the handler, the manifest, the test.
pub fn library(name: &NewName) -> String {
    fill(include_str!("text/lib.rs.txt"), name)
}

/// Its `main.rs`.
pub fn main(name: &NewName) -> String {
    fill(include_str!("text/main.rs.txt"), name)
}

/// Its sample event: a batch of SQS with one task.
pub fn event(name: &NewName) -> String {
    fill(include_str!("text/event.json"), name)
}

/// Its function, queue, role and alarms.
pub fn resources(name: &NewName) -> String {
    fill(include_str!("text/resources.yaml"), name)
}

/// Its name in AWS, by which `fluxus deploy` registers it.
pub fn output(name: &NewName) -> String {
    fill(include_str!("text/output.yaml"), name)
}

fn fill(text: &str, name: &NewName) -> String {
    text.replace("@NAME@", &name.to_string())
        .replace("@PACKAGE@", &name.package())
        .replace("@MODULE@", &name.module())
        .replace("@LOGICAL@", &name.logical())
}

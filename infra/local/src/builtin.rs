//! The fluxlings that every embedded run has.

use fluxling::Fluxling;
use fluxling_claims::ClaimsConfig;
use fluxling_http::{Allowed, HttpConfig};

use crate::{bench, shop};

/// The fluxlings of this repository and the demo ones. `http.request` reaches the public internet,
/// and of everything else only what is in `http_allow`.
pub fn builtin(http_allow: Vec<Allowed>) -> Vec<Fluxling> {
    vec![
        fluxling_claims::fluxling(ClaimsConfig::default()),
        fluxling_http::fluxling(HttpConfig { allow: http_allow, allow_private: false }),
        fluxling_recipes::fluxling(),
        shop::fluxling(),
        bench::fluxling(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_queues_are_all_different() {
        let manifests: Vec<_> = builtin(Vec::new()).iter().map(Fluxling::manifest).collect();
        let names: BTreeSet<_> = manifests.iter().map(|manifest| &manifest.name).collect();
        let queues: BTreeSet<_> = manifests.iter().map(|manifest| &manifest.queue).collect();
        assert_eq!((names.len(), queues.len()), (manifests.len(), manifests.len()));
    }
}

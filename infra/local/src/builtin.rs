//! The fluxlings that every embedded run has.

use std::path::PathBuf;

use fluxling::Fluxling;
use fluxling_claims::ClaimsConfig;
use fluxling_http::{Allowed, HttpConfig};
use fluxling_items::ItemsConfig;

use crate::bench;

/// The fluxlings of this repository and the demo ones. `http.request`, and Maps that read their
/// items, reach the public internet, and of everything else only what is in `http_allow`. Maps read
/// and write files below `items_folder` only.
pub fn builtin(http_allow: Vec<Allowed>, items_folder: Option<PathBuf>) -> Vec<Fluxling> {
    let http = HttpConfig { allow: http_allow, allow_private: false };
    let items = ItemsConfig { folder: items_folder, http: http.clone(), ..ItemsConfig::default() };
    vec![
        fluxling_claims::fluxling(ClaimsConfig::default()),
        fluxling_http::fluxling(http),
        fluxling_items::fluxling(items),
        fluxling_recipes::fluxling(),
        fluxling_shop::fluxling(),
        bench::fluxling(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_queues_are_all_different() {
        let manifests: Vec<_> = builtin(Vec::new(), None).iter().map(Fluxling::manifest).collect();
        let names: BTreeSet<_> = manifests.iter().map(|manifest| &manifest.name).collect();
        let queues: BTreeSet<_> = manifests.iter().map(|manifest| &manifest.queue).collect();
        assert_eq!((names.len(), queues.len()), (manifests.len(), manifests.len()));
    }
}

//! Objects as items: `s3:listObjectsV2`, page by page.

use ::fluxling::TaskError;
use fluxus_schema::items::{ItemsPage, ReadItems};
use serde::{Deserialize, Serialize};

use crate::objects::Listing;
use crate::place::{self, Places};
use crate::{PAGE_BYTES, after};

/// Objects that S3 lists in one answer at most.
const LISTED: u16 = 1000;

/// Where a page begins.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    /// Objects before it.
    items: u64,
    /// The last of them. Their order is that of their keys, so a page may end after any of them.
    key: Option<String>,
}

/// Some of the objects that are asked for: as many as fit in a page.
pub(crate) async fn page(places: &Places, asked: &ReadItems) -> Result<ItemsPage, TaskError> {
    let mut position: Position = after(asked)?;
    let listing = place::listing(&asked.arguments)?;
    let start_after = position.key.take().or(listing.start_after);
    let listing = Listing { start_after, ..listing };
    let wanted = asked.max_items.map(|most| most.saturating_sub(position.items));
    let most = wanted.and_then(|most| u16::try_from(most).ok()).map_or(LISTED, |n| n.min(LISTED));
    if most == 0 {
        return Ok(ItemsPage { items: Vec::new(), next: None });
    }
    let listed = places.list(&listing, most).await?;
    let (mut items, mut bytes, mut is_whole) = (Vec::new(), 0, true);
    for object in listed.objects {
        let key = object.key.clone();
        let item = object.into_item();
        bytes += item.to_string().len();
        if bytes > PAGE_BYTES && !items.is_empty() {
            is_whole = false;
            break;
        }
        items.push(item);
        position.items += 1;
        position.key = Some(key);
    }
    let has_all = asked.max_items.is_some_and(|most| position.items >= most);
    let has_ended = (is_whole && listed.is_last) || has_all;
    Ok(ItemsPage { items, next: (!has_ended).then(|| serde_json::json!(position)) })
}

//! What is in the objects of a listing, as items: `s3:listObjectsV2` with `LOAD_AND_FLATTEN`.

use ::fluxling::TaskError;
use fluxus_machine::items::PageBounds;
use fluxus_schema::items::{ItemsPage, ReadItems};
use serde::{Deserialize, Serialize};

use crate::error_name::READER_FAILED;
use crate::objects::{Listed, Listing, ObjectPlace};
use crate::place::{self, Place, Places};
use crate::{After, PAGE_BYTES, after, window};

/// Objects that are read for one page at most: each is a request, and the task has its time.
const OBJECTS: u16 = 100;

/// Where a page begins.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    /// Items before it.
    items: u64,
    /// The last object that was read to its end.
    key: Option<String>,
    /// The object that it begins in, where that was read in part.
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Open>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    key: String,
    after: After,
}

/// Some of the items in the objects that are asked for, object by object.
pub(crate) async fn page(places: &Places, asked: &ReadItems) -> Result<ItemsPage, TaskError> {
    let mut position: Position = after(asked)?;
    let listing = place::listing(&asked.arguments)?;
    let start_after = position.key.clone().or(listing.start_after);
    let listing = Listing { start_after, ..listing };
    // The object that is open is the first of them, unless it is gone by now: then S3 says so.
    let listed = places.list(&listing, OBJECTS).await?;
    let last = listed.objects.last().map(|object| object.key.clone());
    let objects = listed.objects.into_iter().filter(is_no_folder);
    let mut keys: Vec<_> = objects.map(|object| object.key).collect();
    if let Some(open) = &position.open {
        keys.retain(|key| *key > open.key);
        keys.insert(0, open.key.clone());
    }
    let (mut items, mut bytes) = (Vec::new(), 0);
    for key in keys {
        let has_all = asked.max_items.is_some_and(|most| position.items >= most);
        if has_all || bytes >= PAGE_BYTES {
            let next = (!has_all).then(|| serde_json::json!(position));
            return Ok(ItemsPage { items, next });
        }
        let from = position.open.take().map(|open| open.after).unwrap_or_default();
        let wanted = asked.max_items.map(|most| most - position.items + from.position.items);
        let bounds = PageBounds { bytes: PAGE_BYTES - bytes, max_items: wanted };
        let page = part(places, asked, &listing, &key, &from, bounds).await?;
        position.items += page.items.len() as u64;
        bytes += page.items.iter().map(|item| item.to_string().len()).sum::<usize>();
        items.extend(page.items);
        match page.next {
            Some(next) => {
                let after = serde_json::from_value(next)
                    .map_err(|wrong| TaskError::fatal(READER_FAILED, wrong))?;
                position.open = Some(Open { key, after });
                return Ok(ItemsPage { items, next: Some(serde_json::json!(position)) });
            }
            None => position.key = Some(key),
        }
    }
    // Folders at the end of the listing were passed over.
    position.key = position.key.max(last);
    let has_all = asked.max_items.is_some_and(|most| position.items >= most);
    let has_ended = listed.is_last || has_all;
    Ok(ItemsPage { items, next: (!has_ended).then(|| serde_json::json!(position)) })
}

/// Some of the items in one object.
async fn part(
    places: &Places,
    asked: &ReadItems,
    listing: &Listing,
    key: &str,
    from: &After,
    bounds: PageBounds,
) -> Result<ItemsPage, TaskError> {
    let (bucket, owner) = (listing.bucket.clone(), listing.owner.clone());
    let object = ObjectPlace { bucket, key: key.to_owned(), version: None, owner };
    window(places, &Place::Object(object), from, &asked.config, bounds, &format!("`{key}`: ")).await
}

/// Consoles put empty objects for folders.
fn is_no_folder(object: &Listed) -> bool {
    !object.key.ends_with('/') || object.size != Some(0)
}

//! Compiling a Map state.

use std::collections::BTreeMap;
use std::sync::Arc;

use fluxus_schema::items::{self, ReaderConfig};
use fluxus_schema::limits::MAX_BRANCHES;
use fluxus_schema::problem::FaultCode;
use serde_json::Value;

use super::field::Fields;
use super::machine::Scope;
use super::{Faults, MachineType, escape, resource, wording};
use crate::definition::{
    Batcher, Distributed, Items, ItemsTemplate, Kind, Language, Map, Number, PortResource, Reader,
    Share, Transformation, Writer,
};
use crate::resource::{Pattern, Resource};
use crate::template::jsonata_source;

/// Longest label of a distributed Map, in characters: the service's bound.
const MAX_LABEL_CHARS: usize = 40;

/// What a label must not hold, beside control characters and blanks: the service puts it in names.
const NOT_IN_LABELS: &str = "<>{}[]?*\"#%\\^|~`$&,;:/";

/// Most items of a data set that the service lets a reader take.
const MAX_ITEMS: u64 = 100_000_000;

/// Largest input of a batch, in bytes: the service's payload bound.
const MAX_BATCH_BYTES: u64 = 262_144;

/// The data sets that a reader reads, in the service's order.
const INPUT_TYPES: [&str; 5] = ["MANIFEST", "JSON", "CSV", "JSONL", "PARQUET"];

pub(crate) fn compile(
    fields: &mut Fields<'_>,
    scope: &Scope<'_, '_>,
    faults: &mut Faults,
) -> Option<Kind> {
    let items = own_items(fields, faults);
    let selector = fields.template("ItemSelector", faults);
    let item_selector = match fields.language {
        Language::Jsonata => selector,
        Language::JsonPath => {
            fields.only_one(&["ItemSelector", "Parameters"], faults);
            fields.template("Parameters", faults).or(selector)
        }
    };
    // The service takes any number; past our bound more at a time would not be more.
    let max_concurrency =
        fields.number("MaxConcurrency", "MaxConcurrencyPath", (0, u64::MAX), faults);
    let max_concurrency = max_concurrency.map(|number| match number {
        Number::Literal(number) => Number::Literal(number.min(MAX_BRANCHES as u64)),
        computed => computed,
    });
    let is_distributed = is_distributed(fields);
    let distributed = distributed(fields, faults);
    let distributed = if is_distributed { Some(Box::new(distributed?)) } else { None };
    let one = fields.exactly_one(&["ItemProcessor", "Iterator"], faults);
    fields.ignore("ItemProcessor");
    fields.ignore("Iterator");
    let processor = if fields.has("ItemProcessor") { "ItemProcessor" } else { "Iterator" };
    let start_at = scope.start_of(&format!("{}/{}", fields.pointer, escape(processor)))?;
    let map = Map { distributed, items: items?, item_selector, max_concurrency, start_at };
    one.then_some(Kind::Map(map))
}

fn own_items(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Items> {
    if !fields.is_jsonata() {
        return match fields.has("ItemsPath") {
            true => fields.path("ItemsPath", faults).map(Items::Path),
            false => Some(Items::Input),
        };
    }
    match fields.get("Items") {
        None => Some(Items::Input),
        Some(Value::Array(_)) => {
            let array = fields.template("Items", faults)?;
            Some(Items::Jsonata(ItemsTemplate::Array(array)))
        }
        Some(Value::String(text)) if jsonata_source(text).is_some() => {
            let expression = fields.expression("Items", faults)?;
            Some(Items::Jsonata(ItemsTemplate::Expression(expression)))
        }
        Some(value) => {
            fields.ignore("Items");
            let detail = if value.is_string() { wording::NOT_JSONATA } else { wording::ARRAY };
            faults.add(fields.at("Items"), detail);
            None
        }
    }
}

/// Checks how a Map's processor is to run.
pub(crate) fn processor_config(
    fields: &mut Fields<'_>,
    machine_type: MachineType,
    faults: &mut Faults,
) {
    let Some(mut config) = fields.object("ProcessorConfig", faults) else { return };
    let mode = config.text("Mode", faults);
    match mode {
        None | Some("INLINE") => {}
        Some("DISTRIBUTED") => {
            config.required("ExecutionType");
            config.one_of("ExecutionType", &["STANDARD", "EXPRESS"], faults);
            if machine_type == MachineType::Express {
                let detail = "The field 'Mode' with value 'DISTRIBUTED' is not supported inside \
                              'EXPRESS' state machines";
                faults.add(config.at("Mode"), detail);
            }
        }
        Some(_) => {
            config.ignore("ExecutionType");
            let detail = wording::field_one_of("Mode", &["INLINE", "DISTRIBUTED"]);
            faults.add(config.at("Mode"), detail);
        }
    }
    config.finish(&[], faults);
}

/// Checks what only a distributed Map has: where its items come from and go to, how they are
/// batched, and how many may fail.
fn distributed(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Distributed> {
    let label = label(fields, faults);
    const PERCENTAGE: &str = "ToleratedFailurePercentage";
    let mut tolerated_percentage = match fields.holds_expression(PERCENTAGE) {
        true => fields.expression(PERCENTAGE, faults).map(Share::Jsonata),
        false => fields.float(PERCENTAGE, 0.0, 100.0, faults).map(Share::Literal),
    };
    if !fields.is_jsonata() {
        fields.only_one(&[PERCENTAGE, "ToleratedFailurePercentagePath"], faults);
        let path = fields.reference("ToleratedFailurePercentagePath", faults).map(Share::Path);
        tolerated_percentage = tolerated_percentage.or(path);
    }
    let count = ("ToleratedFailureCount", "ToleratedFailureCountPath");
    let tolerated_count = fields.number(count.0, count.1, (0, u64::MAX), faults);
    let batcher = item_batcher(fields, faults);
    let reader = item_reader(fields, faults);
    let writer = result_writer(fields, faults);
    let is_whole = reader.is_some() == fields.has("ItemReader");
    is_whole.then_some(Distributed {
        label,
        reader,
        batcher,
        writer,
        tolerated_count,
        tolerated_percentage,
    })
}

/// Whether the processor asks for executions of their own.
fn is_distributed(fields: &Fields<'_>) -> bool {
    ["ItemProcessor", "Iterator"].into_iter().filter_map(|name| fields.get(name)).any(|processor| {
        processor.pointer("/ProcessorConfig/Mode").and_then(Value::as_str) == Some("DISTRIBUTED")
    })
}

fn label(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Arc<str>> {
    let label = fields.text("Label", faults)?;
    let barred = |c: char| c.is_control() || c.is_whitespace() || NOT_IN_LABELS.contains(c);
    let detail = if label.chars().count() > MAX_LABEL_CHARS {
        format!(
            "Invalid Label name: '{label}' exceeds the {MAX_LABEL_CHARS}-character limit allowed \
             by the service"
        )
    } else if label.is_empty() || label.contains(barred) {
        format!("Invalid Label name: '{label}'")
    } else {
        return Some(Arc::from(label));
    };
    faults.note(FaultCode::InvalidLabelName, fields.at("Label"), detail);
    None
}

fn item_batcher(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Batcher> {
    let mut batcher = fields.object("ItemBatcher", faults)?;
    let input = batcher.template("BatchInput", faults);
    let max_items = ("MaxItemsPerBatch", "MaxItemsPerBatchPath");
    let max_items = batcher.number(max_items.0, max_items.1, (0, u64::MAX), faults);
    let max_bytes = ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath");
    let max_bytes = batcher.number(max_bytes.0, max_bytes.1, (0, MAX_BATCH_BYTES), faults);
    batcher.finish(&["MaxItemsPerBatchPath", "MaxInputBytesPerBatchPath"], faults);
    Some(Batcher { max_items, max_bytes, input })
}

fn item_reader(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Reader> {
    let mut reader = fields.object("ItemReader", faults)?;
    reader.required("Resource");
    let port = port(&mut reader, (items::READ, &["getObject", "listObjectsV2"]), faults);
    let (mut config, mut max_items) = (ReaderConfig::default(), None);
    if let Some(mut given) = reader.object("ReaderConfig", faults) {
        max_items = reader_config(&mut given, faults);
        // What is wrong in it was said field by field.
        let value = reader.get("ReaderConfig").cloned().unwrap_or_default();
        config = serde_json::from_value(value).unwrap_or_default();
    }
    reader.finish(&["Parameters", "Arguments"], faults);
    Some(Reader { port: port?, config, max_items })
}

fn reader_config(config: &mut Fields<'_>, faults: &mut Faults) -> Option<Number> {
    let input_type = config.text("InputType", faults);
    if input_type.is_some_and(|named| !INPUT_TYPES.contains(&named)) {
        let detail = wording::field_one_of("InputType", &INPUT_TYPES);
        faults.add(config.at("InputType"), detail);
    }
    if input_type == Some("MANIFEST") {
        config.one_of("ManifestType", &["S3_INVENTORY", "ATHENA_DATA"], faults);
    }
    if matches!(input_type, Some("CSV" | "MANIFEST")) {
        let location = config.one_of("CSVHeaderLocation", &["FIRST_ROW", "GIVEN"], faults);
        if input_type == Some("CSV") && !config.has("CSVHeaderLocation") {
            faults.add(config.pointer.clone(), wording::field_required("CSVHeaderLocation"));
        }
        if location == Some("GIVEN") {
            config.required("CSVHeaders");
        }
        config.ignore("CSVHeaders");
        let delimiters = ["COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"];
        config.one_of("CSVDelimiter", &delimiters, faults);
    }
    config.one_of("Transformation", &["NONE", "LOAD_AND_FLATTEN"], faults);
    config.ignore("ItemsPointer");
    let max_items = config.number("MaxItems", "MaxItemsPath", (0, MAX_ITEMS), faults);
    config.finish(&["MaxItemsPath"], faults);
    max_items
}

fn result_writer(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Writer> {
    let mut writer = fields.object("ResultWriter", faults)?;
    let port = port(&mut writer, (items::WRITE, &["putObject"]), faults);
    let mut transformation = Transformation::None;
    let mut in_lines = false;
    if let Some(mut config) = writer.object("WriterConfig", faults) {
        let transformations = ["NONE", "COMPACT", "FLATTEN"];
        transformation = match config.one_of("Transformation", &transformations, faults) {
            Some("COMPACT") => Transformation::Compact,
            Some("FLATTEN") => Transformation::Flatten,
            _ => Transformation::None,
        };
        in_lines = config.one_of("OutputType", &["JSON", "JSONL"], faults) == Some("JSONL");
        config.finish(&[], faults);
    }
    writer.finish(&["Parameters", "Arguments"], faults);
    Some(Writer { port, transformation, in_lines })
}

/// Whom a Map has read or write: S3 stands for whoever has `capability`, and `fluxling:CAPABILITY`
/// names another.
fn port(
    fields: &mut Fields<'_>,
    (capability, actions): (&str, &[&str]),
    faults: &mut Faults,
) -> Option<PortResource> {
    let arguments = match fields.language {
        Language::JsonPath => fields.template("Parameters", faults),
        Language::Jsonata => fields.template("Arguments", faults),
    };
    let text = fields.get("Resource").and_then(Value::as_str);
    if let Some(Ok(Resource::Fluxling { capability, pattern: Pattern::RequestResponse, labels })) =
        text.filter(|text| text.starts_with("fluxling:")).map(resource::parse)
    {
        fields.ignore("Resource");
        let resource = Arc::from(text?);
        return Some(PortResource { resource, capability, labels, arguments });
    }
    s3_resource(fields, actions, faults);
    let capability = capability.parse().ok()?;
    let resource = Arc::from(text?);
    Some(PortResource { resource, capability, labels: BTreeMap::new(), arguments })
}

/// Beside fluxlings, a reader and a writer know S3 alone.
fn s3_resource(fields: &mut Fields<'_>, actions: &[&str], faults: &mut Faults) {
    let Some(resource) = fields.text("Resource", faults) else { return };
    let parts: Vec<_> = resource.split(':').collect();
    let known = match parts.as_slice() {
        ["arn", _, "states", "", "", "s3", action] => actions.contains(action),
        _ => false,
    };
    if !known {
        let arn = |action: &&str| format!("arn:<partition>:states:::s3:{action}");
        let examples: Vec<_> = actions.iter().map(arn).collect();
        let detail = format!(
            "The field 'Resource' does not match any of the allowed values. Examples: [{}]",
            examples.join(", ")
        );
        faults.add(fields.at("Resource"), detail);
    }
}

//! Compiling a Map state.

use fluxus_schema::limits::MAX_BRANCHES;
use fluxus_schema::problem::FaultCode;
use serde_json::Value;

use super::field::Fields;
use super::machine::Scope;
use super::{Faults, MachineType, escape, wording};
use crate::definition::{Items, ItemsTemplate, Kind, Language, Map, Number};
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
    let items = items(fields, faults);
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
    distributed(fields, faults);
    let one = fields.exactly_one(&["ItemProcessor", "Iterator"], faults);
    fields.ignore("ItemProcessor");
    fields.ignore("Iterator");
    let processor = if fields.has("ItemProcessor") { "ItemProcessor" } else { "Iterator" };
    let start_at = scope.start_of(&format!("{}/{}", fields.pointer, escape(processor)))?;
    let map = Map { items: items?, item_selector, max_concurrency, start_at };
    one.then_some(Kind::Map(map))
}

fn items(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Items> {
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
            let detail = match machine_type {
                MachineType::Standard => {
                    "DISTRIBUTED cannot be run yet; INLINE has no bound on items here but memory"
                }
                MachineType::Express => {
                    "The field 'Mode' with value 'DISTRIBUTED' is not supported inside 'EXPRESS' \
                     state machines"
                }
            };
            faults.add(config.at("Mode"), detail);
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
fn distributed(fields: &mut Fields<'_>, faults: &mut Faults) {
    label(fields, faults);
    if fields.holds_expression("ToleratedFailurePercentage") {
        fields.expression("ToleratedFailurePercentage", faults);
    } else {
        fields.float("ToleratedFailurePercentage", 0.0, 100.0, faults);
    }
    if !fields.is_jsonata() {
        let names = ["ToleratedFailurePercentage", "ToleratedFailurePercentagePath"];
        fields.only_one(&names, faults);
        fields.reference("ToleratedFailurePercentagePath", faults);
    }
    let count = ("ToleratedFailureCount", "ToleratedFailureCountPath");
    fields.number(count.0, count.1, (0, u64::MAX), faults);
    item_batcher(fields, faults);
    item_reader(fields, faults);
    result_writer(fields, faults);
}

fn label(fields: &mut Fields<'_>, faults: &mut Faults) {
    let Some(label) = fields.text("Label", faults) else { return };
    let barred = |c: char| c.is_control() || c.is_whitespace() || NOT_IN_LABELS.contains(c);
    let detail = if label.chars().count() > MAX_LABEL_CHARS {
        format!(
            "Invalid Label name: '{label}' exceeds the {MAX_LABEL_CHARS}-character limit allowed \
             by the service"
        )
    } else if label.is_empty() || label.contains(barred) {
        format!("Invalid Label name: '{label}'")
    } else {
        return;
    };
    faults.note(FaultCode::InvalidLabelName, fields.at("Label"), detail);
}

fn item_batcher(fields: &mut Fields<'_>, faults: &mut Faults) {
    let Some(mut batcher) = fields.object("ItemBatcher", faults) else { return };
    batcher.template("BatchInput", faults);
    batcher.number("MaxItemsPerBatch", "MaxItemsPerBatchPath", (0, u64::MAX), faults);
    let bytes = (0, MAX_BATCH_BYTES);
    batcher.number("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath", bytes, faults);
    batcher.finish(&["MaxItemsPerBatchPath", "MaxInputBytesPerBatchPath"], faults);
}

fn item_reader(fields: &mut Fields<'_>, faults: &mut Faults) {
    let Some(mut reader) = fields.object("ItemReader", faults) else { return };
    let actions: &[&str] = &["getObject", "listObjectsV2"];
    reader.required("Resource");
    s3_resource(&mut reader, actions, faults);
    payload(&mut reader, faults);
    if let Some(mut config) = reader.object("ReaderConfig", faults) {
        reader_config(&mut config, faults);
    }
    reader.finish(&["Parameters", "Arguments"], faults);
}

fn reader_config(config: &mut Fields<'_>, faults: &mut Faults) {
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
    config.ignore("Transformation");
    config.number("MaxItems", "MaxItemsPath", (0, MAX_ITEMS), faults);
    config.finish(&["MaxItemsPath"], faults);
}

fn result_writer(fields: &mut Fields<'_>, faults: &mut Faults) {
    let Some(mut writer) = fields.object("ResultWriter", faults) else { return };
    s3_resource(&mut writer, &["putObject"], faults);
    payload(&mut writer, faults);
    if let Some(mut config) = writer.object("WriterConfig", faults) {
        let transformations = ["NONE", "COMPACT", "FLATTEN"];
        config.one_of("Transformation", &transformations, faults);
        config.one_of("OutputType", &["JSON", "JSONL"], faults);
        config.finish(&[], faults);
    }
    writer.finish(&["Parameters", "Arguments"], faults);
}

fn payload(fields: &mut Fields<'_>, faults: &mut Faults) {
    match fields.language {
        Language::JsonPath => fields.template("Parameters", faults),
        Language::Jsonata => fields.template("Arguments", faults),
    };
}

/// A reader and a writer know S3 alone.
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

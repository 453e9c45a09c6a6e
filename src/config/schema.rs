//! The JSON Schema of the configuration: an editor that knows it completes and checks the file.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{file::File, settings::Settings, show::written};

/// The schema (draft 2020-12), with the meaning and the default of every key.
///
/// # Errors
/// The defaults could not be written as JSON; the known ones can.
pub fn schema() -> Result<Value, serde_json::Error> {
    let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    let defaults = serde_json::to_value(written(&Settings::default()))?;
    complete(&mut schema, Some(&defaults));
    Ok(schema)
}

/// Writes the defaults into the properties below.
fn complete(schema: &mut Value, defaults: Option<&Value>) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (key, property) in properties {
            let default = defaults.and_then(|defaults| defaults.get(key));
            let section = default.is_some_and(Value::is_object);
            if let (Some(default), false, Some(object)) = (default, section, property.as_object_mut()) {
                object.insert("default".to_owned(), default.clone());
            }
            complete(property, default.filter(|_| section));
        }
    }
    for inner in ["anyOf", "oneOf"] {
        for variant in schema.get_mut(inner).and_then(Value::as_array_mut).into_iter().flatten() {
            complete(variant, None);
        }
    }
    if let Some(items) = schema.get_mut("items") {
        complete(items, None);
    }
}

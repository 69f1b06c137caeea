//! Canonical JSON: keys sorted by their bytes, no spaces.
//!
//! Sorting is done here and not left to the map type of `serde_json`, which changes with a cargo
//! feature that any crate of a build may turn on.

use serde::Serialize;
use serde_json::Value;

/// Serializes `value` canonically. For types made of structs, lists, strings, integers and booleans,
/// whose serialization can't fail.
pub(super) fn to_string(value: &impl Serialize) -> String {
    let mut out = String::new();
    write(
        &serde_json::to_value(value).unwrap_or(Value::Null),
        &mut out,
    );
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_scalar(&Value::from(key.as_str()), out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        scalar => write_scalar(scalar, out),
    }
}

fn write_scalar(value: &Value, out: &mut String) {
    out.push_str(&value.to_string());
}

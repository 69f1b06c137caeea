//! The public contract in one line per field, value and method: `proto/wire.txt`.
//!
//! Clients in other languages are built from the `.proto` files and outlive ours, so within `squad.v1`
//! things are only added: a line that is in the file may not vanish. Renaming counts as vanishing, since
//! generated code and JSON forms use names.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    MethodDescriptorProto,
};

/// Everything that the files promise, sorted.
pub(crate) fn promises<'a>(
    files: impl IntoIterator<Item = &'a FileDescriptorProto>,
) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for file in files {
        for message in &file.message_type {
            add_message(file.package(), message, &mut lines);
        }
        for values in &file.enum_type {
            add_enum(file.package(), values, &mut lines);
        }
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            lines.extend(service.method.iter().map(|method| call(&name, method)));
        }
    }
    lines
}

fn add_message(scope: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    lines.extend(message.field.iter().map(|field| line(&name, field)));
    for nested in &message.nested_type {
        add_message(&name, nested, lines);
    }
    for values in &message.enum_type {
        add_enum(&name, values, lines);
    }
}

fn add_enum(scope: &str, values: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    for value in &values.value {
        lines.insert(format!(
            "{scope}.{} {} {}",
            values.name(),
            value.number(),
            value.name()
        ));
    }
}

fn line(message: &str, field: &FieldDescriptorProto) -> String {
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        simple => simple
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    };
    let label = match field.label() {
        Label::Repeated => "repeated ",
        _ if field.proto3_optional() => "optional ",
        _ if field.oneof_index.is_some() => "oneof ",
        _ => "",
    };
    format!(
        "{message} {} {} {label}{kind}",
        field.number(),
        field.name()
    )
}

fn call(service: &str, method: &MethodDescriptorProto) -> String {
    let side = |streams: bool, message: &str| {
        let message = message.trim_start_matches('.');
        format!("{}{message}", if streams { "stream " } else { "" })
    };
    format!(
        "{service} {} {} -> {}",
        method.name(),
        side(method.client_streaming(), method.input_type()),
        side(method.server_streaming(), method.output_type())
    )
}

/// Compares with the lines promised before.
///
/// # Errors
/// When one of them is gone.
pub(crate) fn check_kept(before: &str, now: &BTreeSet<String>) -> Result<()> {
    let gone: Vec<&str> = before.lines().filter(|line| !now.contains(*line)).collect();
    ensure!(
        gone.is_empty(),
        "the .proto files no longer say what proto/wire.txt promises:\n  {}",
        gone.join("\n  ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: i32, name: &str, kind: Type) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.into()),
            number: Some(number),
            r#type: Some(kind.into()),
            ..Default::default()
        }
    }

    fn file(fields: Vec<FieldDescriptorProto>) -> FileDescriptorProto {
        FileDescriptorProto {
            package: Some("p".into()),
            message_type: vec![DescriptorProto {
                name: Some("M".into()),
                field: fields,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn fields_may_be_added_but_not_changed() {
        let before = "p.M 1 height uint64\n";
        let kept = [
            field(1, "height", Type::Uint64),
            field(2, "hash", Type::Bytes),
        ];
        assert!(check_kept(before, &promises([&file(kept.to_vec())])).is_ok());
        for changed in [
            field(3, "height", Type::Uint64),
            field(1, "number", Type::Uint64),
            field(1, "height", Type::Uint32),
        ] {
            let error = check_kept(before, &promises([&file(vec![changed])])).unwrap_err();
            assert!(error.to_string().contains("p.M 1 height uint64"));
        }
    }
}

//! Messages of the protocol, made by what their descriptors say: valid ones with unlikely values, and such with bytes changed.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::chance::Chance;

/// A call that the services offer.
#[derive(Clone, Debug)]
pub(super) struct Method {
    /// As in the path of a request.
    pub(super) path: String,
    /// The type of its requests.
    pub(super) input: String,
}

/// All message types, and all methods.
pub(super) struct Messages {
    types: HashMap<String, DescriptorProto>,
    pub(super) methods: Vec<Method>,
}

/// Deeper than this no message is put into another.
const DEPTH: u32 = 6;

impl Messages {
    pub(super) fn new() -> Self {
        let set = FileDescriptorSet::decode(durawasm_proto::DESCRIPTORS).expect("the descriptors are valid");
        let (mut types, mut methods) = (HashMap::new(), Vec::new());
        for file in set.file {
            let package = file.package.clone().unwrap_or_default();
            let prefix = if package.is_empty() { String::new() } else { format!(".{package}") };
            for message in file.message_type {
                collect(&mut types, &prefix, message);
            }
            for service in file.service {
                let full = format!("{prefix}.{}", service.name()).trim_start_matches('.').to_owned();
                methods.extend(service.method.into_iter().map(|method| Method {
                    path: format!("/{full}/{}", method.name()),
                    input: method.input_type().to_owned(),
                }));
            }
        }
        Self { types, methods }
    }

    /// A message of a type, with a few bytes changed now and then.
    pub(super) fn message(&self, chance: &mut Chance<'_>, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.fields(chance, name, 0, &mut bytes);
        if chance.below(8) == 0 && !bytes.is_empty() {
            for _ in 0..=chance.below(3) {
                let at = chance.below(u32::try_from(bytes.len()).unwrap_or(u32::MAX)) as usize;
                bytes[at] = chance.byte();
            }
        }
        bytes
    }

    fn fields(&self, chance: &mut Chance<'_>, name: &str, depth: u32, bytes: &mut Vec<u8>) {
        let Some(message) = self.types.get(name) else { return };
        for field in &message.field {
            let several =
                if field.label() == Label::Repeated { chance.below(3) } else { u32::from(chance.below(3) > 0) };
            for _ in 0..several {
                if chance.is_over() {
                    return;
                }
                self.field(chance, field, depth, bytes);
            }
        }
    }

    fn field(&self, chance: &mut Chance<'_>, field: &FieldDescriptorProto, depth: u32, bytes: &mut Vec<u8>) {
        let number = u64::from(field.number().unsigned_abs());
        let mut with_length = |content: &[u8]| {
            varint(number << 3 | 2, bytes);
            varint(content.len() as u64, bytes);
            bytes.extend_from_slice(content);
        };
        match field.r#type() {
            Type::String => with_length(chance.text().as_bytes()),
            Type::Bytes => with_length(&chance.long().to_le_bytes()),
            Type::Message | Type::Group if depth >= DEPTH => {}
            Type::Message | Type::Group => {
                let mut content = Vec::new();
                self.fields(chance, field.type_name(), depth + 1, &mut content);
                with_length(&content);
            }
            Type::Double | Type::Fixed64 | Type::Sfixed64 => {
                varint(number << 3 | 1, bytes);
                bytes.extend_from_slice(&chance.float().to_le_bytes());
            }
            Type::Float | Type::Fixed32 | Type::Sfixed32 => {
                varint(number << 3 | 5, bytes);
                bytes.extend_from_slice(&[0xff; 4]);
            }
            Type::Enum | Type::Bool => {
                varint(number << 3, bytes);
                varint(u64::from(chance.byte() % 12), bytes);
            }
            _ => {
                varint(number << 3, bytes);
                varint(chance.long(), bytes);
            }
        }
    }
}

fn collect(types: &mut HashMap<String, DescriptorProto>, prefix: &str, message: DescriptorProto) {
    let name = format!("{prefix}.{}", message.name());
    for nested in &message.nested_type {
        collect(types, &name, nested.clone());
    }
    types.insert(name, message);
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

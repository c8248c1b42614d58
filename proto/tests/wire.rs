//! The compiled messages are the Durable Task protocol: compared with the recorded facts of `wire.json`.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value, json};

const WIRE: &str = include_str!("wire.json");

fn files() -> FileDescriptorSet {
    FileDescriptorSet::decode(durawasm_proto::DESCRIPTORS).expect("descriptors decode")
}

/// The facts of all files without a package, in the form of `wire.json`.
fn compiled() -> Value {
    let mut messages = Map::new();
    let mut enums = Map::new();
    let mut services = Map::new();
    for file in files().file.iter().filter(|f| f.package().is_empty()) {
        for message in &file.message_type {
            messages.insert(message.name().into(), message_facts(message));
            for nested in &message.enum_type {
                enums.insert(format!("{}.{}", message.name(), nested.name()), enum_facts(nested));
            }
        }
        for e in &file.enum_type {
            enums.insert(e.name().into(), enum_facts(e));
        }
        for service in &file.service {
            let methods: Map<String, Value> = service
                .method
                .iter()
                .map(|m| {
                    let facts = json!({
                        "path": format!("/{}/{}", service.name(), m.name()),
                        "request": m.input_type().trim_start_matches('.'),
                        "response": m.output_type().trim_start_matches('.'),
                        "client_streaming": m.client_streaming(),
                        "server_streaming": m.server_streaming(),
                    });
                    (m.name().to_owned(), facts)
                })
                .collect();
            services.insert(service.name().into(), json!({ "methods": methods }));
        }
    }
    json!({ "messages": messages, "enums": enums, "services": services })
}

fn enum_facts(e: &EnumDescriptorProto) -> Value {
    let values: BTreeMap<&str, i32> = e.value.iter().map(|v| (v.name(), v.number())).collect();
    json!({ "values": values })
}

fn message_facts(message: &DescriptorProto) -> Value {
    let fields: Map<String, Value> =
        message.field.iter().map(|f| (f.name().to_owned(), field_facts(message, f))).collect();
    let mut facts = json!({ "fields": fields });
    if !message.reserved_range.is_empty() {
        let mut ranges: Vec<[i32; 2]> = message.reserved_range.iter().map(|r| [r.start(), r.end() - 1]).collect();
        ranges.sort_unstable();
        facts["reserved"] = json!(ranges);
    }
    facts
}

fn field_facts(message: &DescriptorProto, field: &FieldDescriptorProto) -> Value {
    let entry = message.nested_type.iter().find(|n| {
        n.options.as_ref().is_some_and(|o| o.map_entry()) && field.type_name().ends_with(&format!(".{}", n.name()))
    });
    let (ty, label) = match (entry, field.label()) {
        (Some(entry), _) => (format!("map<{}, {}>", type_name(&entry.field[0]), type_name(&entry.field[1])), "map"),
        (None, Label::Repeated) => (type_name(field), "repeated"),
        (None, _) if field.proto3_optional() => (type_name(field), "optional"),
        (None, _) if field.oneof_index.is_some() => (type_name(field), "oneof"),
        (None, _) => (type_name(field), "singular"),
    };
    let mut facts = json!({ "number": field.number(), "type": ty, "label": label });
    if label == "oneof" {
        let index = usize::try_from(field.oneof_index()).expect("an index");
        facts["oneof"] = json!(message.oneof_decl[index].name());
    }
    facts
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

/// Lines that say what differs; `tolerated` members may be there or not.
fn differences(want: &Value, got: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, inner) in [("messages", "fields"), ("enums", "values"), ("services", "methods")] {
        let (want_kind, got_kind) = (object(&want[kind]), object(&got[kind]));
        for name in want_kind.keys().chain(got_kind.keys()) {
            let (w, g) = (&want_kind.get(name), &got_kind.get(name));
            let (Some(w), Some(g)) = (w, g) else {
                found.push(format!("{kind} {name}: recorded {}, compiled {}", w.is_some(), g.is_some()));
                continue;
            };
            if w.get("reserved") != g.get("reserved") {
                found.push(format!("{kind} {name}: reserved numbers differ"));
            }
            let (w, g) = (object(&w[inner]), object(&g[inner]));
            for member in w.keys().chain(g.keys()) {
                let tolerated = want["tolerated"][name].get(member).is_some();
                if w.get(member) != g.get(member) && !tolerated {
                    found.push(format!("{name}.{member}: recorded {:?}, compiled {:?}", w.get(member), g.get(member)));
                }
            }
        }
    }
    found
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

#[test]
fn the_compiled_protocol_equals_the_recorded_one() {
    let want: Value = serde_json::from_str(WIRE).expect("wire.json parses");
    let found = differences(&want, &compiled());
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(object(&want["messages"]).len(), 118, "wire.json is complete");
}

#[test]
fn a_changed_number_or_a_missing_method_is_found() {
    let want: Value = serde_json::from_str(WIRE).expect("wire.json parses");
    let mut got = compiled();
    got["messages"]["TimerFiredEvent"]["fields"]["timerId"]["number"] = json!(7);
    got["services"]["TaskHubSidecarService"]["methods"].as_object_mut().expect("methods").remove("Hello");
    let found = differences(&want, &got);
    assert!(found.iter().any(|l| l.starts_with("TimerFiredEvent.timerId")), "{found:?}");
    assert!(found.iter().any(|l| l.starts_with("TaskHubSidecarService.Hello")), "{found:?}");
}

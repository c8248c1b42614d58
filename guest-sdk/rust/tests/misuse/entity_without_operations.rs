use durawasm_guest::prelude::*;

#[entity]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Counter(i64);

durawasm_guest::component!(Counter);

fn main() {}

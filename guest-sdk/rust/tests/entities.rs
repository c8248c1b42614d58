//! Entities as user code writes them, natively.

use durawasm_guest::__private::{Offered, describe};
use durawasm_guest::prelude::*;
use durawasm_guest::{Entity, Sent, Start, TestEntity, serde_json};
use serde::{Deserialize, Serialize};

/// Counts.
#[entity]
#[derive(Default, Debug, PartialEq, Serialize, Deserialize)]
struct Counter {
    value: i64,
}

#[entity]
impl Counter {
    /// Adds, but never below zero.
    fn add(&mut self, amount: i64) -> Result<i64> {
        self.value += amount;
        ensure!(self.value >= 0, "Negative"; "it would be {}", self.value);
        Ok(self.value)
    }

    fn get(&self) -> Result<i64> {
        Ok(self.value)
    }

    fn rename(&mut self, ctx: &EntityContext, to: String) -> Result<()> {
        ctx.signal(Counter::id(to.clone())).add(self.value)?;
        ctx.signal_at(Audit::id("all"), Timestamp::from_unix_seconds(60)).note(to)?;
        ctx.delete();
        Ok(())
    }

    fn report(&self, ctx: EntityContext) -> Result<Vec<String>> {
        let first = ctx.start(tell, self.value)?;
        let options = Start::default().id("mine").at(Timestamp::from_unix_seconds(5)).version("2");
        Ok(vec![first, ctx.start_with(tell, self.value, options)?])
    }

    fn fail_late(&mut self, ctx: &EntityContext) -> Result<()> {
        self.value = 999;
        ctx.signal(Counter::id("b")).get()?;
        ctx.delete();
        bail!("too late")
    }

    /// The version before kept a number alone.
    fn migrate(old: serde_json::Value) -> Result<Self> {
        Ok(Self { value: serde_json::from_value(old)? })
    }
}

#[entity(name = "AuditTrail")]
#[derive(Default, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(durawasm_guest::schemars::JsonSchema),
    schemars(crate = "durawasm_guest::schemars")
)]
pub(crate) struct Audit {
    notes: Vec<String>,
}

#[entity]
impl Audit {
    fn note(&mut self, text: String) -> Result<()> {
        self.notes.push(text);
        Ok(())
    }

    /// Keeps the notes that are there.
    fn delete(&mut self) -> Result<()> {
        self.note("somebody tried to delete this".to_owned())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.notes.extend(other.notes);
        Ok(())
    }
}

/// A thermostat.
#[entity]
fn thermostat(ctx: &EntityContext, degrees: &mut i32) -> Result<i32> {
    match ctx.operation() {
        "set" => *degrees = ctx.input()?,
        "get" => {}
        _ => return ctx.unknown_operation(),
    }
    Ok(*degrees)
}

#[orchestrator]
async fn tell(ctx: Context, value: i64) -> Result<i64> {
    let from = Counter::id("a");
    let section = ctx.lock(&[from.clone(), Counter::id("b")]).await?;
    let added: i64 = ctx.entity(from.clone()).add(value).await?;
    section.release();
    ctx.signal(Audit::id("all")).note("told")?;
    ctx.signal(Counter::id("c")).delete()?;
    let _merged = ctx.entity(Audit::id("all")).merge(Audit::default());
    let degrees: i32 = ctx.entity(thermostat::id("kitchen")).call("set", &20).await?;
    Ok(added + i64::from(degrees))
}

durawasm_guest::component!(Counter, Audit, thermostat, tell);

fn main_counter() -> TestEntity<Counter> {
    TestEntity::new("a")
}

#[test]
fn operations_change_the_state_and_a_failed_one_changes_nothing() {
    let mut counter = main_counter();
    assert_eq!(counter.state(), None);
    assert_eq!(counter.run::<i64>("add", &5).expect("adds"), 5);
    assert_eq!(counter.run::<i64>("Add", &2).expect("names have no case"), 7);
    assert_eq!(counter.run::<i64>("add", &-10).expect_err("below zero").error_type(), "Negative");
    let error = counter.run::<()>("fail_late", &()).expect_err("fails");
    assert_eq!(error.message(), "too late");
    assert_eq!(counter.run::<i64>("get", &()).expect("looks"), 7);
    assert_eq!(counter.state(), Some(Counter { value: 7 }));
    assert_eq!(counter.take_sent(), []);
}

#[test]
fn an_operation_that_only_looks_creates_nothing() {
    let mut counter = main_counter();
    assert_eq!(counter.run::<i64>("get", &()).expect("looks"), 0);
    assert_eq!(counter.state(), None);
}

#[test]
fn delete_is_there_by_default_and_can_be_overridden() {
    let mut counter = main_counter();
    counter.run::<i64>("add", &5).expect("adds");
    counter.run::<()>("delete", &()).expect("deletes");
    assert_eq!(counter.state(), None);
    let mut audit = TestEntity::<Audit>::new("all");
    audit.run::<()>("delete", &()).expect("is its own");
    assert_eq!(audit.state().expect("is still there").notes, ["somebody tried to delete this"]);
}

#[test]
fn what_an_operation_sends_is_collected() {
    let mut counter = main_counter();
    counter.run::<i64>("add", &5).expect("adds");
    let ids: Vec<String> = counter.run("report", &()).expect("reports");
    assert_eq!(ids, ["operation-2:1", "mine"]);
    counter.run::<()>("rename", "b").expect("renames");
    assert_eq!(counter.state(), None);
    let sent = counter.take_sent();
    let [Sent::Started { at: None, .. }, Sent::Started { at: Some(_), .. }, moved, noted] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    let expected = Sent::Signal {
        entity: EntityId::new("counter", "b"),
        operation: "add".to_owned(),
        input: Some("5".to_owned()),
        at: None,
    };
    assert_eq!(*moved, expected);
    let Sent::Signal { entity, at, .. } = noted else { panic!("{noted:?}") };
    assert_eq!((entity.to_string().as_str(), *at), ("@audittrail@all", Some(Timestamp::from_unix_seconds(60))));
}

#[test]
fn unknown_operations_and_wrong_inputs_and_states_say_what_is_wrong() {
    let mut counter = main_counter();
    let error = counter.run::<()>("multiply", &2).expect_err("there is none");
    assert_eq!(error.error_type(), "UnknownOperation");
    assert!(error.message().contains("`@counter@a`") && error.message().contains("`add`, `get`"), "{error}");
    let error = counter.run::<i64>("add", "five").expect_err("is no number");
    assert_eq!(error.error_type(), "InvalidPayload");
    let mut audit = TestEntity::<Audit>::new("all");
    audit.set_state_text("[1]");
    let error = audit.run::<()>("note", "x").expect_err("is no state");
    assert_eq!(error.error_type(), "InvalidState");
    assert!(error.message().contains("fn migrate"), "{error}");
}

#[test]
fn the_state_of_an_older_version_is_migrated() {
    let mut counter = main_counter();
    counter.set_state_text("40");
    assert_eq!(counter.run::<i64>("add", &2).expect("adds"), 42);
    assert_eq!(counter.state(), Some(Counter { value: 42 }));
    counter.set_state_text("\"nonsense\"");
    assert!(counter.run::<i64>("get", &()).is_err());
}

#[test]
fn a_function_can_be_an_entity() {
    let mut kitchen = TestEntity::<thermostat>::new("kitchen");
    assert_eq!(kitchen.run::<i32>("set", &21).expect("sets"), 21);
    assert_eq!(kitchen.run::<i32>("get", &()).expect("gets"), 21);
    assert_eq!(kitchen.run::<i32>("heat", &()).expect_err("unknown").error_type(), "UnknownOperation");
    kitchen.run::<i32>("delete", &()).expect_err("the function decides what it knows");
    assert_eq!(kitchen.state(), Some(21));
}

#[test]
fn a_component_describes_its_entities_in_lower_case() {
    let offers = [Counter::OFFER, Audit::OFFER, thermostat::OFFER];
    let info = describe("c", "1.0.0", &offers);
    let names: Vec<_> = info.entities.iter().map(|entity| entity.name.as_str()).collect();
    assert_eq!(names, ["counter", "audittrail", "thermostat"]);
    assert_eq!(info.entities[0].description.as_deref(), Some("Counts."));
    assert_eq!(Counter::OPERATIONS, ["add", "get", "rename", "report", "fail_late", "delete"]);
}

#[test]
fn a_component_tells_the_operations_of_its_entities_and_their_types() {
    let info = describe("c", "1", &[Counter::OFFER, thermostat::OFFER]);
    let [counter, thermostat] = info.entities.as_slice() else { panic!("{info:?}") };
    let schema = |text: &Option<String>| -> serde_json::Value {
        serde_json::from_str(text.as_deref().expect("a schema")).expect("it is JSON")
    };
    let (input, output) = (schema(&counter.input_schema), schema(&counter.output_schema));
    let names: Vec<&String> = input["properties"].as_object().expect("operations").keys().collect();
    assert_eq!(names, ["add", "delete", "fail_late", "get", "rename", "report"]);
    let expected = |name: &str| if cfg!(feature = "schema") { name.into() } else { serde_json::Value::Null };
    assert_eq!(input["properties"]["add"]["type"], expected("integer"));
    assert_eq!(input["properties"]["get"]["type"], expected("null"));
    assert_eq!(output["properties"]["report"]["type"], expected("array"));
    assert_eq!(thermostat.input_schema, None, "what a function answers nobody can tell");
}

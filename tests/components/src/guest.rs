//! A core module in pieces, and the component made of it.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::command::{self, Call, Command};
use crate::{Image, world};

/// Where the answers `ok(none)`, an empty list of commands and "nothing changes" of an entity lie: zeroes.
pub const NOTHING: u32 = 64;
/// Where the answer "complete with none" lies.
pub const DONE: u32 = 4_096;
/// Where there is room for answers that a test makes up: 60 KiB up to the end of the first page, and all pages behind it.
pub const ANSWER: u32 = 8_192;

const INFO: u32 = 1_024;

/// A guest in pieces of WebAssembly text. The default one offers the orchestrators `attack` and `neighbour` and an activity
/// and an entity `attack`, and is honest: orchestrators complete, the others return none.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Imports, beside `$log` of the contract.
    pub imports: String,
    /// The memory's definition, exported as `memory`.
    pub memory: String,
    /// Functions, globals, tables and data.
    pub fields: String,
    /// The body of `cabi_realloc`: parameters `$old`, `$old_size`, `$align`, `$size`.
    pub realloc: String,
    /// What `describe` does before it answers.
    pub describe: String,
    /// The body of the orchestrator's `start`: parameter `$context`, a pointer. Leaves the answer's address.
    pub start: String,
    /// The body of the orchestrator's `resume`: parameters `$list` and `$length`.
    pub resume: String,
    /// The body of the activity's `run`: the last three parameters are `$given`, `$input` and `$length`.
    pub run: String,
    /// The body of the entity's `run`: parameter `$call`, a pointer to entity, state and operation. Leaves the answer's address.
    pub operate: String,
    /// The bodies of the functions that are called after an answer was read.
    pub post: String,
    /// The component's name.
    pub name: String,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            imports: String::new(),
            memory: r#"(memory (export "memory") 4)"#.to_owned(),
            fields: String::new(),
            // Room is taken from the heap and never given back; the heap grows with it.
            realloc: "(call $bump (local.get $align) (local.get $size))".to_owned(),
            describe: String::new(),
            start: format!("(i32.const {DONE})"),
            resume: format!("(i32.const {DONE})"),
            run: format!("(i32.const {NOTHING})"),
            operate: format!("(i32.const {NOTHING})"),
            post: String::new(),
            name: "guest".to_owned(),
        }
    }
}

impl Guest {
    /// A guest whose orchestrator does this first, and so do its activity and its entity. The instructions leave nothing on the stack.
    pub fn attacking(instructions: &str) -> Self {
        let guest = Self::default();
        Self {
            fields: format!("(func $attack {instructions})"),
            start: format!("(call $attack) {}", guest.start),
            run: format!("(call $attack) {}", guest.run),
            operate: format!("(call $attack) {}", guest.operate),
            ..guest
        }
    }

    /// The module's text.
    pub fn text(&self) -> String {
        let Self { imports, memory, fields, realloc, describe, start, resume, run, operate, post, name } = self;
        let (info, done) = (info(name), done());
        format!(
            r#"(module ${name}
  (import "durawasm:workflow/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32 i32 i32)))
  {imports}
  {memory}
  (global $heap (mut i32) (i32.const 131072))
  (func $bump (param $align i32) (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1)))))
    (local.get $at))
  {fields}
  (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    {realloc})
  (func $describe (export "durawasm:workflow/component@0.1.0#describe") (result i32)
    {describe} (i32.const {INFO}))
  (func $start (export "durawasm:workflow/orchestrator@0.1.0#start") (param $context i32) (result i32)
    {start})
  (func $resume (export "durawasm:workflow/orchestrator@0.1.0#resume") (param $list i32) (param $length i32) (result i32)
    {resume})
  (func $run (export "durawasm:workflow/activity@0.1.0#run")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (param $given i32) (param $input i32) (param $length i32) (result i32)
    {run})
  (func $operate (export "durawasm:workflow/entity@0.1.0#run") (param $call i32) (result i32)
    {operate})
  (func $after_start (export "cabi_post_durawasm:workflow/orchestrator@0.1.0#start") (param i32) {post})
  (func $after_resume (export "cabi_post_durawasm:workflow/orchestrator@0.1.0#resume") (param i32) {post})
  (func $after_run (export "cabi_post_durawasm:workflow/activity@0.1.0#run") (param i32) {post})
  (func $after_operate (export "cabi_post_durawasm:workflow/entity@0.1.0#run") (param i32) {post})
  {}
  {})"#,
            info.data(),
            done.data()
        )
    }

    /// The component.
    ///
    /// # Panics
    /// If the pieces do not make a valid module: the message shows the text.
    pub fn component(&self) -> Vec<u8> {
        let text = self.text();
        component(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

fn component(text: &str) -> Result<Vec<u8>, String> {
    let mut module = wat::parse_str(text).map_err(|error| error.to_string())?;
    let (resolve, world) = world::world();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| format!("{error:#}"))?;
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true);
    encoder.module(&module).and_then(ComponentEncoder::encode).map_err(|error| format!("{error:#}"))
}

fn info(name: &str) -> Image {
    let mut image = Image::new(INFO);
    let info = image.reserve(40, 4);
    image.text(info, name);
    image.text(info + 8, "1.0.0");
    let definitions = [&["attack", "neighbour"][..], &["attack"], &["attack"]];
    for (at, names) in (info + 16..).step_by(8).zip(definitions) {
        let list = image.reserve(names.len() * 44, 4);
        for (place, name) in (list..).step_by(44).zip(names) {
            image.text(place, name);
        }
        image.list(at, list, names.len());
    }
    image
}

fn done() -> Image {
    command::image(DONE, &[Command::Complete(Ok(None))])
}

/// A guest that answers the bytes that it is told, in hexadecimal: the orchestrator those of its input and then those of the last
/// result that it is given, the activity and the entity those of their input. They are put at [`ANSWER`], which is also the answer's address.
pub fn echo() -> Guest {
    let digit = |offset: u32| {
        format!(
            "(local.set $digit (i32.load8_u offset={offset} (local.get $from)))
             (local.set $digit (select (i32.sub (local.get $digit) (i32.const 48)) (i32.sub (local.get $digit) (i32.const 87))
                (i32.lt_u (local.get $digit) (i32.const 58))))"
        )
    };
    Guest {
        memory: r#"(memory (export "memory") 16)"#.to_owned(),
        fields: format!(
            "(func $decode (param $from i32) (param $length i32) (result i32) (local $to i32) (local $end i32) (local $digit i32) (local $byte i32)
               (local.set $to (i32.const {ANSWER}))
               (local.set $end (i32.add (local.get $from) (local.get $length)))
               (block $done (loop $next
                 (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
                 {} (local.set $byte (i32.shl (local.get $digit) (i32.const 4)))
                 {} (i32.store8 (local.get $to) (i32.or (local.get $byte) (local.get $digit)))
                 (local.set $from (i32.add (local.get $from) (i32.const 2)))
                 (local.set $to (i32.add (local.get $to) (i32.const 1)))
                 (br $next)))
               (i32.const {ANSWER}))",
            digit(0),
            digit(1)
        ),
        start: "(call $decode (i32.load offset=32 (local.get $context)) (i32.load offset=36 (local.get $context)))".to_owned(),
        resume: format!(
            "(local $last i32)
             (local.set $last (i32.add (local.get $list) (i32.mul (i32.const 40) (i32.sub (local.get $length) (i32.const 1)))))
             (if (result i32) (i32.and (i32.eqz (i32.load8_u offset=24 (local.get $last))) (i32.load8_u offset=28 (local.get $last)))
               (then (call $decode (i32.load offset=32 (local.get $last)) (i32.load offset=36 (local.get $last))))
               (else (i32.const {NOTHING})))"
        ),
        run: "(call $decode (local.get $input) (local.get $length))".to_owned(),
        operate: "(call $decode (i32.load offset=44 (local.get $call)) (i32.load offset=48 (local.get $call)))".to_owned(),
        name: "echo".to_owned(),
        ..Guest::default()
    }
}

/// A guest whose orchestrator fills 128 KiB of its memory at its start, and changes each word of it whenever something happens: it calls an
/// activity whose name is the sum of all of them, for ever. Any byte that somebody else changes, and any step that is lost
/// or done twice, is seen in all names after it.
pub fn neighbour() -> Guest {
    let place = 262_144;
    let call = command::image(
        ANSWER,
        &[Command::Issue(1, command::Request::Activity(Call { name: "0".repeat(16), ..Call::default() }))],
    );
    let (list, name) = (ANSWER + 8, ANSWER + 8 + 152);
    Guest {
        memory: r#"(memory (export "memory") 8)"#.to_owned(),
        fields: format!(
            "(global $op (mut i64) (i64.const 0))
             (func $step (result i32) (local $at i32) (local $sum i64) (local $word i64)
               (global.set $op (i64.add (global.get $op) (i64.const 1)))
               (global.set $heap (i32.const 131072))
               (local.set $at (i32.const {place}))
               (loop $next
                 (local.set $word (i64.add (i64.mul (i64.load (local.get $at)) (i64.const 6364136223846793005))
                   (i64.add (global.get $op) (i64.extend_i32_u (local.get $at)))))
                 (i64.store (local.get $at) (local.get $word))
                 (local.set $sum (i64.add (i64.rotl (local.get $sum) (i64.const 5)) (local.get $word)))
                 (local.set $at (i32.add (local.get $at) (i32.const 8)))
                 (br_if $next (i32.lt_u (local.get $at) (i32.const {}))))
               (i64.store (i32.const {}) (global.get $op))
               (local.set $at (i32.const {name}))
               (loop $digit
                 (i32.store8 (local.get $at) (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (local.get $sum) (i64.const 15)))))
                 (local.set $sum (i64.shr_u (local.get $sum) (i64.const 4)))
                 (local.set $at (i32.add (local.get $at) (i32.const 1)))
                 (br_if $digit (i32.lt_u (local.get $at) (i32.const {}))))
               (i32.const {ANSWER}))
             {}",
            place + (128 << 10),
            list + 8,
            name + 16,
            call.data()
        ),
        start: "(call $step)".to_owned(),
        resume: "(call $step)".to_owned(),
        name: "neighbour".to_owned(),
        ..Guest::default()
    }
}

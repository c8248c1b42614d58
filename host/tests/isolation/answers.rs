//! Attacks by answers: pointers, lengths and numbers of cases that mean nothing, and answers that are larger outside than inside.

use durawasm_test_components::command::{self, Call, Command, Request, SIZE};
use durawasm_test_components::{ANSWER, Guest, Image};

use crate::attack::{Attack, answering, operating};

const REFUSED: &str = "parked: contract";
const BREACH: &str = "failed: ContractBreach";

/// Fields with a function `$call` whose answer calls the activity `attack`.
pub fn call() -> String {
    let call = Call { name: "attack".to_owned(), ..Call::default() };
    let image = command::image(ANSWER, &[Command::Issue(1, Request::Activity(call))]);
    format!("(func $call (result i32) (i32.const {ANSWER})) {}", image.data())
}

pub fn all() -> Vec<Attack> {
    let mut all = addresses();
    all.extend(commands());
    all.extend(outcomes());
    all.extend(results());
    all.extend(amplifications());
    all.extend(rooms());
    all
}

/// The answer's own address, and that of its list.
fn addresses() -> Vec<Attack> {
    let mut all: Vec<Attack> = [
        ("answers outside of its memory", 0x7fff_fff8_u32),
        ("answers at the end of its memory", 262_140),
        ("answers at the end of addresses", 0xffff_fff8),
        ("answers at an odd address", ANSWER + 1),
    ]
    .into_iter()
    .map(|(name, at)| answering(name, &Image::new(ANSWER), at, REFUSED, BREACH))
    .collect();
    for (name, place, length) in [
        ("answers a list outside of its memory", 0xffff_0000_u32, 1_u32),
        ("answers a list at an odd address", ANSWER + 9, 1),
        ("answers a list of 2^32 - 1", 0, u32::MAX),
        ("answers a list of 2^31", ANSWER, 1 << 31),
        ("answers a list whose bytes overflow", ANSWER, u32::MAX / SIZE + 2),
        ("answers a list one longer than its memory", 0, 262_144 / SIZE + 1),
    ] {
        let mut image = Image::new(ANSWER);
        let answer = image.reserve(8, 8);
        image.word(answer, place);
        image.word(answer + 4, length);
        all.push(answering(name, &image, ANSWER, REFUSED, ""));
    }
    all
}

/// One command with one thing wrong: its place counts from the command's first byte.
fn commands() -> Vec<Attack> {
    let issue = || Command::Issue(1, Request::Activity(Call { name: "n".to_owned(), ..Call::default() }));
    let complete = || Command::Complete(Ok(Some("x".to_owned())));
    let odd = |name: &str, command: Command, wrong: &[(u32, u32)]| {
        let mut image = command::image(ANSWER, &[command]);
        for (at, value) in wrong {
            image.word(ANSWER + 8 + at, *value);
        }
        answering(name, &image, ANSWER, REFUSED, "")
    };
    vec![
        odd("answers an unknown command", issue(), &[(0, 8)]),
        odd("answers command 255", issue(), &[(0, 255)]),
        odd("answers an unknown request", issue(), &[(16, 6)]),
        odd("answers an option that is neither", issue(), &[(32, 2)]),
        odd("answers a result that is neither", complete(), &[(8, 2)]),
        odd("answers an unknown version", Command::ContinueAsNew(None, false, 3, String::new()), &[]),
        odd("answers a name outside of its memory", issue(), &[(24, 0xffff_ff00), (28, 16)]),
        odd("answers a name of 2^32 - 1 bytes", issue(), &[(24, 0), (28, u32::MAX)]),
        odd("answers a name that is longer than its memory", issue(), &[(24, 1), (28, 262_144)]),
        odd("answers tags of 2^32 - 1", issue(), &[(24 + 104, 0), (24 + 108, u32::MAX)]),
        odd("answers an output outside of its memory", complete(), &[(16, u32::MAX), (20, 1)]),
        // A list without elements is one, wherever it claims to be.
        Attack { orchestrator: "*", ..odd("answers an empty name at no address", issue(), &[(24, u32::MAX), (28, 0)]) },
        utf8("answers half a character", &[0xe2, 0x82]),
        utf8("answers a byte that begins nothing", &[0x80]),
        utf8("answers a surrogate", &[0xed, 0xa0, 0x80]),
        utf8("answers a character in too many bytes", &[0xc0, 0xaf]),
    ]
}

fn utf8(name: &str, bytes: &[u8]) -> Attack {
    let mut image = Image::new(ANSWER);
    let outcome = image.reserve(16, 8);
    let list = image.reserve(SIZE as usize, 8);
    let text = image.reserve(bytes.len(), 1);
    image.put(text, bytes);
    image.list(outcome, list, 1);
    image.byte(list, 7);
    // `complete`, `ok`, `some`, and the text.
    image.byte(list + 12, 1);
    image.list(list + 16, text, bytes.len());
    answering(name, &image, ANSWER, REFUSED, "")
}

/// What an activity may answer wrongly.
fn outcomes() -> Vec<Attack> {
    let odd = |name: &str, words: [u32; 4], expected| {
        let mut image = Image::new(ANSWER);
        let answer = image.reserve(16, 4);
        for (at, word) in (answer..).step_by(4).zip(words) {
            image.word(at, word);
        }
        Attack { orchestrator: "", ..answering(name, &image, ANSWER, "", expected) }
    };
    vec![
        odd("returns a result that is neither", [2, 0, 0, 0], BREACH),
        odd("returns an option that is neither", [0, 2, 0, 0], BREACH),
        odd("returns an output outside of its memory", [0, 1, 0xffff_fff0, 16], BREACH),
        odd("returns an output of 2^32 - 1 bytes", [0, 1, 0, u32::MAX], BREACH),
        odd("returns failures of 2^32 - 1", [1, 0, u32::MAX, 0], BREACH),
        odd("returns failures at an odd address", [1, 1, 1, 0], BREACH),
        odd("returns failures outside of its memory", [1, 0xffff_fff0, 4, 0], BREACH),
    ]
}

/// What an entity's operation may answer wrongly: outcome (16 bytes), change (12) and actions.
fn results() -> Vec<Attack> {
    let odd = |name: &str, words: &[(u32, u32)], expected| {
        let mut image = Image::new(ANSWER);
        let answer = image.reserve(36, 4);
        for (at, word) in words {
            image.word(answer + at, *word);
        }
        operating(name, &image, ANSWER, expected)
    };
    vec![
        operating("operates outside of its memory", &Image::new(ANSWER), 0x7fff_fff8, BREACH),
        operating("operates at an odd address", &Image::new(ANSWER), ANSWER + 1, BREACH),
        odd("operates with a result that is neither", &[(0, 2)], BREACH),
        odd("operates with an unknown change", &[(16, 3)], BREACH),
        odd("operates with a state outside of its memory", &[(16, 1), (20, 0xffff_fff0), (24, 16)], BREACH),
        odd("operates with a state of 2^32 - 1 bytes", &[(16, 1), (20, 0), (24, u32::MAX)], BREACH),
        odd("operates with a state that is not JSON", &[(16, 1), (20, 0), (24, 64)], "failed: InvalidPayload"),
        odd("operates with a state that is too large", &[(16, 1), (20, 1 << 16), (24, (1 << 20) + 1)], "failed: *"),
        odd("operates with actions outside of its memory", &[(28, 0xffff_fff0), (32, 4)], BREACH),
        odd("operates with 2^32 - 1 actions", &[(28, 0), (32, u32::MAX)], BREACH),
        odd("operates with actions that are nothing of the kind", &[(28, 1024), (32, 1000)], BREACH),
    ]
}

/// Small in the guest's memory, and gigabytes if each element were copied.
fn amplifications() -> Vec<Attack> {
    // 2,000 commands, and each has the same 2 MiB for its text: 4 GB. They begin behind all data, so that they are UTF-8.
    let (place, long) = (1 << 20, 2 << 20);
    let count = 2_000_u32;
    let mut image = Image::new(ANSWER);
    let answer = image.reserve(8, 8);
    let list = image.reserve((count * SIZE) as usize, 8);
    image.list(answer, list, count as usize);
    for at in (list..list + count * SIZE).step_by(SIZE as usize) {
        image.byte(at, 5);
        image.byte(at + 8, 1);
        image.word(at + 12, place);
        image.word(at + 16, long);
    }
    let memory = r#"(memory (export "memory") 48)"#.to_owned();
    let mut many = answering("answers one text two thousand times", &image, ANSWER, "parked: answer", "");
    many.guest.memory = memory.clone();
    // The same over the guest's data, part of which is no text: the first of them is refused.
    for at in (list..list + count * SIZE).step_by(SIZE as usize) {
        image.word(at + 12, 0);
    }
    let mut bytes = answering("answers all of its bytes as a text two thousand times", &image, ANSWER, REFUSED, "");
    bytes.guest.memory = memory.clone();

    let mut image = Image::new(ANSWER);
    let answer = image.reserve(16, 4);
    let failures = image.reserve(40 * 2_000, 4);
    image.byte(answer, 1);
    image.list(answer + 4, failures, 2_000);
    for at in (failures..failures + 40 * 2_000).step_by(40) {
        for text in [at, at + 8] {
            image.word(text, place);
            image.word(text + 4, long);
        }
    }
    let mut failing = answering("returns one text in two thousand failures", &image, ANSWER, "", "failed: AnswerLimit");
    failing.guest.memory = memory;
    vec![many.slow(), bytes, failing.slow()]
}

/// What a guest may answer when it is asked for room.
fn rooms() -> Vec<Attack> {
    [
        ("gives room outside of its memory", "(i32.const 0x7ffffff8)", REFUSED, BREACH),
        ("gives room at the end of addresses", "(i32.const -8)", REFUSED, BREACH),
        ("gives room at an odd address", "(i32.const 8193)", REFUSED, "*"),
        // Then the arguments overwrite each other, or the guest's data: its own affair.
        ("gives the same room twice", "(i32.const 8192)", "ok", "ok"),
        ("gives room where its own data lies", "(i32.const 1024)", "ok", "ok"),
        ("gives room at nought", "(i32.const 0)", "*", "*"),
    ]
    .into_iter()
    .map(|(name, realloc, orchestrator, activity)| {
        let guest = Guest { realloc: realloc.to_owned(), ..Guest::default() };
        Attack::new(name, guest, orchestrator, activity)
    })
    .collect()
}

//! What the compiler says when the macros are misused is part of the product: each case of `misuse/` fails to compile with
//! exactly the message beside it. After a change that is meant, run with `TRYBUILD=overwrite` and read the difference.

#[test]
fn misuse_gives_a_clear_message() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}

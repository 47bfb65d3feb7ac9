//! What the types forbid: each file in `compile_fail/` must not compile, for the reason beside it.

#[test]
fn a_key_without_toolchain_and_options_and_other_mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/it/compile_fail/*.rs");
}
